"""What batch normalisation does to a gradient, in closed form.

Source of truth: science.md section 0. Per channel with yhat = (y - mean)/sigma, z = gamma yhat + beta
and g = dE/dz: `dE/dy = (gamma/sigma) (g - mean(g) - yhat mean(g yhat))` (eps = 0); so the Jacobian has
m - 2 singular values gamma/sigma and two zeros, along 1 and yhat; and Santurkar et al. 2018, theorem 4.1.
"""

import math

import pytest
import torch
from tests.probes.recording import inner, record
from torch import Tensor, nn

import skipnorm as sn

DOUBLE = torch.float64
SAMPLES, CHANNELS = 12, 3
EPS = 1e-30  # torch asks for a positive one; beside a variance of 1 it is nothing


def normalised(affine: bool = True) -> tuple[nn.Sequential, Tensor, Tensor]:
    """A BatchNorm behind a linear layer, eps 0; a batch, and a covector."""
    norm = nn.BatchNorm1d(CHANNELS, eps=EPS, affine=affine)
    network = nn.Sequential(nn.Linear(5, CHANNELS, bias=False), norm).double()
    if affine:
        nn.init.uniform_(norm.weight, 0.5, 2.0)
        nn.init.normal_(norm.bias)
    x, covector = torch.randn(SAMPLES, 5), torch.randn(SAMPLES, CHANNELS)
    return network, x.double(), covector.double()


@pytest.mark.parametrize("affine", [True, False])
def test_the_gradient_before_the_norm_is_the_formula(affine: bool) -> None:
    network, x, covector = normalised(affine)
    found = record(network, (x, covector), loss=inner)
    y, g = found.values["1:input"], found.gradients["1:output"]
    assert torch.equal(g, covector)
    sigma = y.std(0, correction=0)
    yhat = (y - y.mean(0)) / sigma
    gamma = network[1].weight.detach() if affine else torch.ones(CHANNELS, dtype=DOUBLE)
    expected = gamma / sigma * (g - g.mean(0) - yhat * (g * yhat).mean(0))
    torch.testing.assert_close(found.gradients["1:input"], expected, rtol=1e-12, atol=1e-13)


def test_singular_values_of_the_jacobian() -> None:
    """Read one covector at a time: row by row the Jacobian of each channel."""
    network, x, _ = normalised()
    rows = torch.eye(SAMPLES * CHANNELS, dtype=DOUBLE).reshape(-1, SAMPLES, CHANNELS)
    jacobian = torch.stack(
        [record(network, (x, row), loss=inner).gradients["1:input"] for row in rows]
    )
    jacobian = jacobian.reshape(SAMPLES, CHANNELS, SAMPLES, CHANNELS)
    y = network[0](x).detach()
    sigma = y.std(0, correction=0)
    for channel in range(CHANNELS):
        one = jacobian[:, channel, :, channel]
        level = float(network[1].weight[channel].detach() / sigma[channel])
        values = torch.linalg.svdvals(one)
        assert values[:-2].tolist() == pytest.approx([level] * (SAMPLES - 2), rel=1e-12)
        assert values[-2:].tolist() == pytest.approx([0, 0], abs=1e-12)
        yhat = (y[:, channel] - y[:, channel].mean()) / sigma[channel]
        for direction in (torch.ones(SAMPLES, dtype=DOUBLE), yhat):
            assert float((one @ direction).abs().max()) < 1e-12 * level * SAMPLES
        others = [other for other in range(CHANNELS) if other != channel]
        assert float(jacobian[:, channel][:, :, others].abs().max()) == 0


def test_santurkar_theorem_4_1_is_an_equality() -> None:
    """||dE/dy||^2 = gamma^2/sigma^2 (||g||^2 - <1, g>^2/m - <g, yhat>^2/m), channel by channel."""
    network, x, covector = normalised()
    found = record(network, (x, covector), loss=inner)
    y, g = found.values["1:input"], found.gradients["1:output"]
    sigma = y.std(0, correction=0)
    yhat = (y - y.mean(0)) / sigma
    rest = g.square().sum(0) - g.sum(0).square() / SAMPLES - (g * yhat).sum(0).square() / SAMPLES
    gamma = network[1].weight.detach()
    expected = gamma.square() / sigma.square() * rest
    torch.testing.assert_close(found.gradients["1:input"].square().sum(0), expected)
    seen = sn.measure(network, (x, covector), loss="inner_product", probes="gradient")
    number = float(seen.gradient_mean_square.sel(site="1", port="input"))
    assert number == pytest.approx(float(expected.sum()) / (SAMPLES * CHANNELS), rel=1e-12)


def test_what_a_norm_removes_from_the_gradient_is_at_right_angles_to_it() -> None:
    network, x, covector = normalised()
    found = record(network, (x, covector), loss=inner)
    gradient, y = found.gradients["1:input"], found.values["1:input"]
    assert float(gradient.sum(0).abs().max()) < 1e-13
    assert float((gradient * (y - y.mean(0))).sum(0).abs().max()) < 1e-13


@pytest.mark.parametrize("scale", [0.1, 7.0])
def test_scale_invariance(scale: float) -> None:
    """BN(aWu) = BN(Wu); dBN/du unchanged; dBN/dy and dBN/dW 1/a times (Ioffe & Szegedy 2015, 3.3)."""
    network, x, covector = normalised()
    root = x.clone().requires_grad_()

    def outcome() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        found = record(network, (x, covector), loss=inner)
        at_weight, at_input = torch.autograd.grad(
            inner(network(root), covector), [network[0].weight, root]
        )
        return found.values["1:output"], found.gradients["1:input"], at_weight, at_input

    before = outcome()
    with torch.no_grad():
        network[0].weight.mul_(scale)
    after = outcome()
    for index, power in enumerate((0, -1, -1, 0)):
        torch.testing.assert_close(after[index], before[index] * scale**power)


def test_weights_before_a_norm_are_orthogonal_to_their_gradient() -> None:
    """<w_j, dE/dw_j> = 0 for every neuron: the gradient read at the norm's input, times the input."""
    network, x, covector = normalised()
    found = record(network, (x, covector), loss=inner)
    at_weight = found.gradients["1:input"].T @ x
    (by_torch,) = torch.autograd.grad(inner(network(x), covector), network[0].weight)
    torch.testing.assert_close(at_weight, by_torch)
    products = (network[0].weight.detach() * at_weight).sum(1)
    lengths = network[0].weight.detach().norm(dim=1) * at_weight.norm(dim=1)
    assert float((products / lengths).abs().max()) < 1e-13


def test_layer_norm_annihilates_per_sample() -> None:
    """The same formula with samples and channels exchanged: gain 1/sigma, N - 2 of N directions."""
    width = 6
    network = nn.Sequential(nn.Linear(4, width), nn.LayerNorm(width, eps=EPS)).double()
    x, covector = torch.randn(3, 4, dtype=DOUBLE), torch.randn(3, width, dtype=DOUBLE)
    found = record(network, (x, covector), loss=inner)
    y, gradient = found.values["1:input"], found.gradients["1:input"]
    sigma = y.std(1, correction=0, keepdim=True)
    yhat = (y - y.mean(1, keepdim=True)) / sigma
    expected = covector - covector.mean(1, keepdim=True)
    expected = (expected - yhat * (covector * yhat).mean(1, keepdim=True)) / sigma
    torch.testing.assert_close(gradient, expected)


def test_batch_norm_of_a_gaussian_before_relu() -> None:
    """BN then ReLU: mean square 1/2 of the input's 1, whatever the weights, as the moments say."""
    samples = 40_000
    network = nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4, eps=EPS), nn.ReLU()).double()
    x = torch.randn(samples, 1, dtype=DOUBLE)
    seen = sn.measure(network, (x, x), probes="moments")
    norm = seen.sel(site="1", port="output")
    assert float(norm.mean_square) == pytest.approx(1, rel=1e-12)
    assert float(norm.channel_squared_mean) == pytest.approx(0, abs=1e-24)
    assert float(norm.channel_variance) == pytest.approx(1, rel=1e-12)
    relu = seen.sel(site="2", port="output")
    assert float(relu.mean_square) == pytest.approx(0.5, rel=0.03)
    assert float(relu.channel_squared_mean) == pytest.approx(1 / (2 * math.pi), rel=0.03)
    assert float(relu.channel_variance) == pytest.approx((1 - 1 / math.pi) / 2, rel=0.03)
