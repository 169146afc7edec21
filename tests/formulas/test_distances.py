"""Distances between distributions against scipy, numpy and closed forms for Gaussians."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skipnorm.formulas.distances import (
    gaussian_wasserstein,
    percentiles,
    wasserstein,
    wasserstein_to_gaussian,
    wasserstein_to_pool,
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 40), m=st.integers(1, 40), seed=st.integers(0, 99), coarse=st.booleans())
def test_wasserstein_agrees_with_scipy_for_any_two_sizes(n: int, m: int, seed: int, coarse: bool):
    first, second = draw(3, n, seed=seed), 2 * draw(3, m, seed=seed + 1) + 1
    if coarse:  # ties
        first, second = first.round(), second.round()
    expected = [
        scipy.stats.wasserstein_distance(a.numpy(), b.numpy())
        for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(wasserstein(first, second), expected, rtol=1e-12, atol=1e-13)


@settings(deadline=None, max_examples=30)
@given(units=st.integers(1, 7), n=st.integers(1, 30), seed=st.integers(0, 99))
def test_the_distance_to_the_pool_is_that_of_scipy(units: int, n: int, seed: int):
    values = draw(units, n, seed=seed) * torch.arange(1, units + 1)[:, None]
    values = values.round(decimals=1)
    pool = values.flatten().numpy()
    expected = [scipy.stats.wasserstein_distance(row.numpy(), pool) for row in values]
    np.testing.assert_allclose(wasserstein_to_pool(values), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("shift", "widening"), [(0.0, 1.0), (2.0, 0.0), (0.5, -0.3), (-1.0, 2.0)])
def test_shifted_and_widened_gaussians(shift: float, widening: float):
    """Closed form: the quantile functions differ by shift + widening * z."""
    z = torch.special.ndtri((torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000)[None]
    found = wasserstein(2 * z, (2 + widening) * z + shift).item()
    assert found == pytest.approx(gaussian_wasserstein(shift, widening), rel=1e-4)
    assert gaussian_wasserstein(-shift, widening) == pytest.approx(
        gaussian_wasserstein(shift, widening), rel=1e-15
    )


def test_the_distance_to_the_gaussian_by_quadrature():
    values = draw(4, 17) * 1.7 + 0.4
    grid = (np.arange(2_000_000) + 0.5) / 2_000_000
    normal = scipy.stats.norm.ppf(grid)
    for row, found in zip(values, wasserstein_to_gaussian(values), strict=True):
        stairs = np.sort(row.numpy())[(grid * 17).astype(int)]
        assert found.item() == pytest.approx(np.abs(stairs - normal).mean(), rel=1e-5)


def test_a_gaussian_sample_comes_near_the_gaussian_and_a_shifted_one_does_not():
    """W1(N(s, w^2), N(0, 1)) in closed form."""
    z = torch.special.ndtri((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)[None]
    assert wasserstein_to_gaussian(z).item() < 1e-3
    expected = gaussian_wasserstein(0.7, 0.5)
    assert wasserstein_to_gaussian(1.5 * z + 0.7).item() == pytest.approx(expected, abs=1e-3)


def test_percentiles_are_those_of_numpy():
    values, levels = draw(5, 23), (0.0, 0.15, 0.5, 0.85, 1.0)
    expected = np.quantile(values.numpy(), levels, axis=1).T
    np.testing.assert_allclose(percentiles(values, levels), expected, rtol=1e-14, atol=1e-15)


def test_what_is_no_number_is_not_hidden():
    spoilt = torch.tensor([[0.0, math.nan, 1.0], [0.0, 1.0, 2.0]])
    fine = torch.zeros(2, 3)
    for found in (
        wasserstein(spoilt, fine),
        wasserstein(spoilt, fine[:, :2]),
        wasserstein_to_gaussian(spoilt),
        percentiles(spoilt).sum(dim=1),
    ):
        assert found[0].isnan()
        assert found[1].isfinite()
    assert wasserstein_to_pool(spoilt).isnan().any()
    assert wasserstein(torch.tensor([[math.inf]]), torch.tensor([[0.0]])).item() == math.inf
