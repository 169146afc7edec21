"""Gaussian averages against scipy's adaptive quadrature and against torch's activations."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from skipnorm.errors import NetworkError
from skipnorm.formulas import quadrature
from skipnorm.formulas.quadrature import SCALAR_ACTIVATIONS


@pytest.mark.parametrize("name", SCALAR_ACTIVATIONS)
def test_averages_are_scipys(name):
    phi = SCALAR_ACTIVATIONS[name]
    for power in (1, 2):

        def integrand(z, power=power):
            return float(phi(np.array(z)) ** power) * scipy.stats.norm.pdf(z)

        expected, _ = scipy.integrate.quad(integrand, -12, 12, points=[0], epsabs=1e-12)
        found = quadrature.gaussian_mean(lambda z, power=power: phi(z) ** power)
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in SCALAR_ACTIVATIONS if name != "identity"])
def test_functions_are_torchs(name):
    z = torch.linspace(-5, 5, 101, dtype=torch.float64)
    expected = getattr(torch.nn.functional, name)(z)
    np.testing.assert_allclose(SCALAR_ACTIVATIONS[name](z.numpy()), expected.numpy(), atol=1e-9)


def test_gains_of_relu_in_closed_form():
    assert quadrature.variance_gain("relu") == pytest.approx(math.sqrt(2 / (1 - 1 / math.pi)))
    assert quadrature.second_moment_gain("relu") == pytest.approx(math.sqrt(2))
    assert quadrature.variance_gain("identity") == pytest.approx(1)


@pytest.mark.parametrize("gain", [0.25, 0.5, 1, 2, 4, 8])
def test_nonlinearity_of_sigmoid_is_that_of_tanh_at_half_the_gain(gain):
    # sigmoid(x) = (1 + tanh(x/2)) / 2, and an affine map changes no R^2.
    half = quadrature.nonlinearity_index("tanh", gain / 2)
    assert quadrature.nonlinearity_index("sigmoid", gain) == pytest.approx(half, rel=1e-9)


@pytest.mark.parametrize("gain", [0.25, 1, 8])
def test_nonlinearity_of_tanh_is_what_scipy_integrates(gain):
    def mean(function):
        def integrand(z):
            return function(np.tanh(gain * z), z) * scipy.stats.norm.pdf(z)

        return 2 * scipy.integrate.quad(integrand, 0, 12, epsabs=1e-12, limit=200)[0]

    expected = 1 - mean(lambda t, z: t * z) ** 2 / mean(lambda t, z: t * t)
    assert quadrature.nonlinearity_index("tanh", gain) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("shift", "index"),
    [(-3, 0.991), (-2, 0.909), (-1, 0.632), (0, 0.2665), (1, 0.0576), (2, 0.0054), (3, 0.0002)],
)
def test_nonlinearity_of_a_shifted_relu(shift, index):
    assert quadrature.nonlinearity_index("relu", shift=shift) == pytest.approx(index, abs=5e-4)
    # Only the ratio of shift and gain matters: ReLU is homogeneous.
    doubled = quadrature.nonlinearity_index("relu", gain=2, shift=2 * shift)
    assert doubled == pytest.approx(quadrature.nonlinearity_index("relu", shift=shift))
    assert quadrature.on_fraction(2, 2 * shift) == pytest.approx(scipy.stats.norm.cdf(shift))


def test_straight_lines_are_linear():
    assert quadrature.nonlinearity_index("identity", 3, 1) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("weights", "slope"), [(1.3, 0.880), (1.7610, 1.0), (2.5, 1.1335)])
def test_mean_field_slope_of_tanh(weights, slope):
    assert quadrature.mean_field_slope(weights, 0.05) == pytest.approx(slope, abs=1e-3)


def test_mean_field_without_bias_vanishes_below_one():
    assert quadrature.mean_field_slope(0.5) == pytest.approx(0.5, abs=1e-6)


def test_unknown_activation_names_the_nearest():
    with pytest.raises(NetworkError, match="Did you mean 'relu'"):
        quadrature.variance_gain("rel")
