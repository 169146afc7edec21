"""Kernels against Monte-Carlo integrals, derivatives and published values."""

import numpy as np
import pytest

from skipnorm.formulas import kernels


@pytest.mark.parametrize("c", [-0.7, 0.0, 0.3, 0.95])
def test_kernel_is_the_correlation_behind_a_relu(c):
    # J(c) = 2 E relu(u) relu(v), J'(c) = 2 P(u > 0, v > 0) for unit Gaussians of correlation c.
    numbers = np.random.default_rng(0).standard_normal((2, 2_000_000))
    u, v = numbers[0], c * numbers[0] + np.sqrt(1 - c * c) * numbers[1]
    product = 2 * (np.maximum(u, 0) * np.maximum(v, 0)).mean()
    both = 2 * ((u > 0) & (v > 0)).mean()
    assert float(kernels.arc_cosine_kernel(c)) == pytest.approx(product, abs=3e-3)
    assert float(kernels.arc_cosine_slope(c)) == pytest.approx(both, abs=3e-3)


def test_slope_is_the_derivative():
    c, step = np.linspace(-0.9, 0.9, 19), 1e-6
    up, down = kernels.arc_cosine_kernel(c + step), kernels.arc_cosine_kernel(c - step)
    np.testing.assert_allclose((up - down) / (2 * step), kernels.arc_cosine_slope(c), atol=1e-8)


def test_channel_variance_share_has_its_asymptote():
    share = kernels.channel_variance_share(2000)
    np.testing.assert_allclose(share[[9, 19, 49]], [0.145, 0.0555, 0.0126], rtol=5e-3)
    assert share[-1] * 2000**2 == pytest.approx(9 * np.pi**2 / 2, rel=0.02)


def test_gradients_of_plain_networks_decorrelate_as_a_cube():
    ratio = kernels.plain_gradient_correlation(4000) / kernels.plain_gradient_correlation(2000)
    assert np.log2(ratio) == pytest.approx(-3, abs=0.05)


def test_residual_correlations_start_as_balduzzi_says():
    # (3/4)^L for one block, slower from then on.
    assert kernels.residual_gradient_correlation(1) == pytest.approx(0.75)
    assert kernels.residual_gradient_correlation(5) > 0.75**5


@pytest.mark.parametrize(
    ("depth", "scale", "expected"),
    [(5, 1, 0.403), (10, 1, 0.271), (25, 1, 0.149), (50, 1, 0.092), (50, 0.1, 0.805)],
)
def test_refined_correlation_of_normed_residual_networks(depth, scale, expected):
    found = kernels.batchnorm_residual_gradient_correlation(depth, scale)
    assert found == pytest.approx(expected, abs=1e-3)


def test_no_depth_no_change():
    assert kernels.plain_gradient_correlation(0) == 1
    assert kernels.residual_gradient_correlation(0) == 1
    assert kernels.correlations(0, 0.2).tolist() == [0.2]
