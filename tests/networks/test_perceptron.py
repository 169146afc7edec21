"""Perceptrons compute what their recipes say; truth: the formula written out with their weights."""

import pytest
import torch

from skipnorm.networks.recipe import OneLayer, Perceptron
from skipnorm.networks.vocabulary import PLAIN_ORDERS, RESIDUAL_ORDERS


def batchnorm(x):
    return (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()


def inputs(samples=9, features=6):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(samples, features, generator=generator, dtype=torch.float64)


def block_of(**fields):
    recipe = Perceptron(width=6, depth=1, stem=False, head=False, norm="batch", **fields)
    return recipe.build(0, dtype=torch.float64).blocks[0]


def test_plain_orders():
    x = inputs()
    block = block_of()
    torch.testing.assert_close(block(x), batchnorm(x @ block.weight.weight.T).relu())
    block = block_of(order="weight-act-norm")
    torch.testing.assert_close(block(x), batchnorm((x @ block.weight.weight.T).relu()))


def test_residual_orders_with_one_weight():
    x = inputs()
    block = block_of(residual=True, branch_scale=0.3, shortcut_scale=0.8)
    branch = batchnorm(x).relu() @ block.weight.weight.T
    torch.testing.assert_close(block(x), 0.8 * x + 0.3 * branch)
    block = block_of(residual=True, order="act-norm-weight")
    torch.testing.assert_close(block(x), x + batchnorm(x.relu()) @ block.weight.weight.T)
    block = block_of(residual=True, order="weight-norm-act")
    torch.testing.assert_close(block(x), x + batchnorm(x @ block.weight.weight.T).relu())


def placements(x, first, second):
    """He et al. 2016, figure 4, (a) to (e)."""
    bn, relu = batchnorm, torch.relu
    return {
        "original": relu(x + bn(relu(bn(x @ first)) @ second)),
        "norm-after-addition": relu(bn(x + relu(bn(x @ first)) @ second)),
        "act-before-addition": x + relu(bn(relu(bn(x @ first)) @ second)),
        "act-only-preactivation": x + bn(relu(bn(relu(x) @ first)) @ second),
        "full-preactivation": x + relu(bn(relu(bn(x)) @ first)) @ second,
    }


@pytest.mark.parametrize("order", ["original", "norm-after-addition", "act-before-addition",
                                   "act-only-preactivation", "full-preactivation"])  # fmt: skip
def test_placements_of_he(order):
    block = block_of(residual=True, order=order)
    x = inputs()
    expected = placements(x, block.weight1.weight.T, block.weight2.weight.T)[order]
    torch.testing.assert_close(block(x), expected)


def test_sites_have_readable_names():
    names = dict(Perceptron(residual=True, norm="batch", depth=4).build(0).named_modules())
    assert {"stem", "blocks.3.norm", "blocks.3.act", "blocks.3.weight", "head.norm"} <= set(names)
    names = dict(Perceptron(residual=True, norm="layer", order="original").build(0).named_modules())
    assert {"blocks.0.norm1", "blocks.0.norm2", "blocks.0.act2", "head.weight"} <= set(names)
    assert "head.act" not in names


@pytest.mark.parametrize(
    ("residual", "order"),
    [(False, order) for order in PLAIN_ORDERS] + [(True, order) for order in RESIDUAL_ORDERS],
)
@pytest.mark.parametrize("norm", ["none", "batch", "layer", "group", "rms", "centre"])
def test_every_order_and_norm_learns(residual, order, norm):
    recipe = Perceptron(
        inputs=6, outputs=3, width=8, depth=3, norm=norm, groups=2, residual=residual, order=order
    )
    network = recipe.build(0)
    output = network(torch.randn(5, 2, 3))  # anything but a vector is flattened
    assert output.shape == (5, 3)
    (output * torch.randn(5, 3)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    kinds = [name.split(".")[-1].rstrip("12") for name, _ in network.named_modules()]
    counted = recipe.placement.branch + recipe.placement.after
    assert kinds.count("weight") == 3 * counted.count("weight") + 1
    closing = recipe.placement.closing
    expected = 0 if norm == "none" else 3 * counted.count("norm") + closing.count("norm")
    assert kinds.count("norm") == expected
    assert kinds.count("act") == 3 * counted.count("act") + closing.count("act")


def test_identity_activation_is_no_module():
    names = [
        name for name, _ in Perceptron(activation="identity", depth=2).build(0).named_modules()
    ]
    assert not any("act" in name for name in names)


def test_no_blocks_is_a_linear_network():
    network = Perceptron(inputs=5, outputs=2, depth=0).build(0, dtype=torch.float64)
    x = inputs(4, 5)
    torch.testing.assert_close(network(2 * x), 2 * network(x))


def test_one_layer_is_sigma_of_a_product():
    network = OneLayer(inputs=6, outputs=2).build(0, dtype=torch.float64)
    x = inputs()
    torch.testing.assert_close(network(x), torch.sigmoid(x @ network.weight.weight.T))
    assert list(dict(OneLayer(activation="identity").build(0).named_children())) == ["weight"]
