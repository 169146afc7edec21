"""The essay's closed-form gradients against autograd, and against the network itself."""

import pytest
import torch

from skipnorm.formulas.layers import (
    ACTIVATIONS,
    chain,
    first_layer_gradient,
    half_squared_error,
    one_layer,
    one_layer_gradient,
)
from skipnorm.networks.recipe import OneLayer


def gaussian(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def error(found, expected):
    return float(((found - expected).abs().max() / expected.abs().max()).detach())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_one_layer_gradient_is_autograds(name):
    sigma, slope = ACTIVATIONS[name]
    weight, inputs, targets = gaussian(5, 7), gaussian(7, 11, seed=1), gaussian(5, 11, seed=2)
    weight.requires_grad_()
    loss = half_squared_error(one_layer(weight, inputs, sigma), targets)
    (expected,) = torch.autograd.grad(loss, weight)
    found = one_layer_gradient(weight, inputs, targets, sigma, slope)
    assert error(found, expected) < 1e-10


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("depth", [1, 2, 6])
def test_first_layer_gradient_is_autograds(name, depth):
    sigma, slope = ACTIVATIONS[name]
    widths = [7, *[6] * depth]
    weights = [gaussian(widths[i + 1], widths[i], seed=i) for i in range(depth)]
    inputs, targets = gaussian(7, 9, seed=50), gaussian(6, 9, seed=51)
    first = weights[0].requires_grad_()
    loss = half_squared_error(chain(weights, inputs, sigma)[-1], targets)
    (expected,) = torch.autograd.grad(loss, first)
    found = first_layer_gradient(weights, inputs, targets, sigma, slope)
    assert error(found, expected) < 1e-10


def test_one_layer_is_the_chain_of_one():
    sigma, slope = ACTIVATIONS["tanh"]
    weight, inputs, targets = gaussian(2, 3), gaussian(3, 4, seed=1), gaussian(2, 4, seed=2)
    single = one_layer_gradient(weight, inputs, targets, sigma, slope)
    chained = first_layer_gradient([weight], inputs, targets, sigma, slope)
    torch.testing.assert_close(single, chained)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_networks_own_gradient_is_the_essays(name):
    # Rows are samples in a module, columns on paper.
    network = OneLayer(inputs=4, outputs=3, activation=name).build(0, dtype=torch.float64)
    inputs, targets = gaussian(8, 4), gaussian(8, 3, seed=1)
    half_squared_error(network(inputs), targets).backward()
    weight = network.weight.weight
    found = one_layer_gradient(weight.detach(), inputs.T, targets.T, *ACTIVATIONS[name])
    assert error(found, weight.grad) < 1e-10


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "identity"])
def test_gradient_is_a_finite_difference(name):
    sigma, slope = ACTIVATIONS[name]
    weights = [gaussian(3, 3, seed=i) for i in range(3)]
    inputs, targets, step = gaussian(3, 4, seed=7), gaussian(3, 4, seed=8), 1e-6
    direction = gaussian(3, 3, seed=9)

    def loss(shift):
        moved = [weights[0] + shift * direction, *weights[1:]]
        return half_squared_error(chain(moved, inputs, sigma)[-1], targets)

    numeric = (loss(step) - loss(-step)) / (2 * step)
    exact = (first_layer_gradient(weights, inputs, targets, sigma, slope) * direction).sum()
    assert float(numeric) == pytest.approx(float(exact), rel=1e-6)
