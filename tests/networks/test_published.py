"""ResNets for small images and VGG: counts as published, shapes, and what residual means.

Truth: parameter counts by He et al. 2015 (0.27, 0.46, 0.66, 0.85 and 1.7 million) and by hand; the anatomy by
definition. 14 714 688 weights and biases of VGG-16's convolutions is the published count.
"""

import pytest
import torch
from torch import nn

import skipnorm as sn
from skipnorm.errors import NetworkError
from skipnorm.networks.published import ResNet, Vgg


def parameters(recipe):
    return sum(weight.numel() for weight in recipe.build(seed=0).parameters())


@pytest.mark.parametrize(
    ("layers", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_parameters_are_as_many_as_published(layers, millions):
    assert parameters(ResNet(layers=layers)) / 1e6 == pytest.approx(millions, abs=0.03)


def test_projections_add_two_small_convolutions_with_norms():
    more = parameters(ResNet(shortcut="projection")) - parameters(ResNet())
    assert more == 16 * 32 + 32 * 64 + 2 * (32 + 64)


@pytest.mark.parametrize("order", ["original", "full-preactivation"])
@pytest.mark.parametrize("norm", ["none", "batch", "layer", "group"])
def test_every_layer_is_there(order, norm):
    network = ResNet(layers=14, norm=norm, order=order).build(seed=0)
    weights = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weights) == 14
    x = torch.randn(4, 3, 16, 16)
    anatomy = sn.anatomy(network, x)
    assert network(x).shape == (4, 10)
    assert (len(anatomy.skips), len(anatomy.activations)) == (6, 13)
    assert len(anatomy.norms) == (0 if norm == "none" else 13)
    assert {skip.shortcut for skip in anatomy.skips} == {"identity"}


def test_the_plain_network_is_the_residual_one_without_its_shortcuts():
    x = torch.randn(4, 3, 16, 16)
    residual, plain = (ResNet(layers=14, residual=r).build(seed=3) for r in (True, False))
    cut = sn.operate(residual, sn.CutSkips(), inputs=x)
    assert torch.equal(cut(x), plain(x))


def test_a_padded_shortcut_keeps_what_it_takes():
    block = ResNet(layers=8).build(seed=0).blocks[1]
    x = torch.randn(2, 16, 8, 8)
    made = block.shortcut(x)
    assert torch.equal(made[:, 8:24], x[:, :, ::2, ::2])
    assert not made[:, :8].any()
    assert not made[:, 24:].any()


@pytest.mark.parametrize(("layers", "convolutions"), [(11, 8), (13, 10), (16, 13), (19, 16)])
def test_vgg_has_its_columns(layers, convolutions):
    network = Vgg(layers=layers, width=4, norm="none").build(seed=0)
    assert sum(isinstance(m, nn.Conv2d) for m in network.modules()) == convolutions
    x = torch.randn(2, 3, 32, 32)
    assert network(x).shape == (2, 10)
    assert len(sn.anatomy(network, x).activations) == convolutions


def test_vgg_16_has_as_many_parameters_as_published():
    assert parameters(Vgg(norm="none")) == 14_714_688 + 512 * 10 + 10


def test_weights_depend_on_the_seed_alone():
    one, again, other = (ResNet(layers=8).build(seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not torch.equal(one["stem.weight.weight"], other["stem.weight.weight"])


def test_impossible_recipes_are_refused():
    with pytest.raises(NetworkError, match=r"6n \+ 2 layers .* found 18"):
        ResNet(layers=18)
    with pytest.raises(NetworkError, match="expected one of 11, 13, 16, 19 layers, found 12"):
        Vgg(layers=12)
    with pytest.raises(NetworkError, match="Did you mean 'batch'"):
        Vgg(norm="bach")
