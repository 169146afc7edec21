"""Convnets: shapes, invariances of convolutions, and agreement with a perceptron at kernel 1."""

import pytest
import torch

from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.networks.vocabulary import RESIDUAL_ORDERS

NORMS = ["none", "batch", "layer", "group", "instance", "rms", "centre"]


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("residual", [False, True])
def test_every_norm_learns(dims, norm, residual):
    recipe = ConvNet(
        inputs=2, outputs=3, width=8, depth=2, dims=dims, norm=norm, groups=2, residual=residual
    )
    network = recipe.build(0)
    output = network(torch.randn(5, 2, *[6] * dims))
    assert output.shape == (5, 3)
    (output * torch.randn(5, 3)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("order", RESIDUAL_ORDERS)
def test_every_order_keeps_the_map(order):
    recipe = ConvNet(
        width=4, depth=2, dims=2, residual=True, order=order, norm="batch", stem=False, head=False
    )
    assert recipe.build(0)(torch.randn(3, 4, 5, 7)).shape == (3, 4, 5, 7)


def test_a_missing_channel_is_added():
    network = ConvNet(width=4, depth=1).build(0)
    series = torch.randn(3, 40)
    torch.testing.assert_close(network(series), network(series.unsqueeze(1)))


@pytest.mark.parametrize("dims", [1, 2])
def test_circular_convolutions_move_with_their_input(dims):
    recipe = ConvNet(
        width=4, depth=3, dims=dims, padding="circular", residual=True, norm="layer", head=False
    )
    network = recipe.build(0, dtype=torch.float64)
    x = torch.randn(2, 1, *[8] * dims, dtype=torch.float64)
    torch.testing.assert_close(network(x.roll(3, -1)), network(x).roll(3, -1))


@pytest.mark.parametrize("fields", [{}, {"residual": True}, {"residual": True, "norm": "batch"}])
def test_kernel_one_on_one_position_is_a_perceptron(fields):
    shared = {"inputs": 5, "outputs": 3, "width": 6, "depth": 2, **fields}
    convolutional = ConvNet(kernel=1, **shared).build(4, dtype=torch.float64)
    perceptron = Perceptron(**shared).build(4, dtype=torch.float64)
    x = torch.randn(7, 5, dtype=torch.float64)
    torch.testing.assert_close(convolutional(x.unsqueeze(-1)), perceptron(x))


def test_sites_have_readable_names():
    names = dict(ConvNet(residual=True, norm="batch", depth=4).build(0).named_modules())
    assert {"stem", "blocks.3.norm", "blocks.3.act", "head.norm", "head.pool"} <= set(names)


def test_normaliser_free_convolutions_keep_their_variance():
    recipe = ConvNet(
        width=64,
        depth=10,
        dims=2,
        residual=True,
        initializer="nf",
        branch_scale=0.5,
        stem=False,
        head=False,
        padding="circular",
    )
    x = torch.randn(32, 64, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        variance = recipe.build(0)(x).var(dim=(0, 2, 3)).mean()
    assert float(variance) == pytest.approx(1 + 10 / 4, rel=0.05)
