"""Laws that networks obey exactly, at any width: linearity, isometry, invariance, pairing."""

import itertools

import pytest
import torch

from skipnorm.formulas import theory
from skipnorm.networks.recipe import Perceptron


def bare(**fields):
    """A perceptron of blocks alone, its norms without eps."""
    return Perceptron(stem=False, head=False, eps=0.0, **fields)


def test_scaled_shortcuts_damp_the_direct_path_exactly():
    recipe = bare(
        width=16, depth=6, residual=True, initializer="rezero", shortcut_scale=0.5
    )  # a zero branch leaves the shortcut alone
    network = recipe.build(0, dtype=torch.float64)
    inputs = torch.randn(4, 16, dtype=torch.float64, requires_grad=True)
    output = network(inputs)
    covector = torch.randn_like(output)
    (gradient,) = torch.autograd.grad((output * covector).sum(), inputs)
    share = float(gradient.norm() / covector.norm())
    assert share == pytest.approx(float(theory.direct_path_gradient(6, 0.5)), rel=1e-12)


def test_looks_linear_networks_are_orthogonal_at_any_depth():
    # Balduzzi et al. 2017: [W, -W] behind [relu(x), relu(-x)] is W, so singular values are 1.
    for residual in (False, True):
        recipe = Perceptron(
            inputs=12,
            outputs=12,
            width=12,
            depth=30,
            activation="crelu",
            initializer="looks_linear",
            residual=residual,
        )
        network = recipe.build(0, dtype=torch.float64)
        x, y = torch.randn(2, 5, 12, dtype=torch.float64)
        both = network(2 * x - 3 * y)
        torch.testing.assert_close(both, 2 * network(x) - 3 * network(y), rtol=1e-9, atol=1e-9)
        if not residual:
            singular = torch.linalg.svdvals(network(torch.eye(12, dtype=torch.float64)))
            torch.testing.assert_close(singular, torch.ones_like(singular))


def test_orthogonal_linear_networks_are_isometries():
    recipe = bare(width=20, depth=40, activation="identity", initializer="orthogonal")
    product = recipe.build(0, dtype=torch.float64)(torch.eye(20, dtype=torch.float64))
    torch.testing.assert_close(product @ product.T, torch.eye(20, dtype=torch.float64))


def test_batch_statistics_leave_no_direction_of_rescaled_weights():
    # Ioffe & Szegedy 2015, section 3.3: BN((a W) u) = BN(W u), so <w_j, grad_{w_j}> = 0.
    network = bare(width=10, depth=3, norm="batch").build(0, dtype=torch.float64)
    inputs = torch.randn(16, 10, dtype=torch.float64)
    output = network(inputs)
    covector = torch.randn_like(output)
    weights = [block.weight.weight for block in network.blocks]
    gradients = torch.autograd.grad((output * covector).sum(), weights)
    for weight, gradient in zip(weights, gradients, strict=True):
        along = (weight * gradient).sum(1).abs().detach()
        size = (weight.norm() * gradient.norm()).detach()
        assert float(along.max()) < 1e-10 * float(size)


def test_protocol_pairs_norms_with_the_same_weights():
    normed = bare(width=8, depth=2, norm="batch").build(3)
    naked = bare(width=8, depth=2).build(3)
    for one, other in itertools.zip_longest(normed.blocks, naked.blocks):
        assert torch.equal(one.weight.weight, other.weight.weight)
