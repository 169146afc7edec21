"""Poisson-binomial: against enumeration, scipy's binomial, and numbers of Veit et al. 2016."""

from itertools import product
from math import prod

import numpy as np
import pytest
from scipy import stats

from skipnorm.errors import ProbeError
from skipnorm.formulas.binomial import log_path_counts, poisson_binomial, probabilities_of_odds
from skipnorm.formulas.propagation import expected_path_length


def test_against_all_outcomes():
    chances = np.random.default_rng(0).uniform(size=9)
    expected = np.zeros(10)
    for outcome in product((0, 1), repeat=9):
        expected[sum(outcome)] += prod(p if hit else 1 - p for p, hit in zip(chances, outcome))  # noqa: B905
    np.testing.assert_allclose(poisson_binomial(chances), expected, rtol=1e-13)


def test_equal_chances_are_the_binomial_of_scipy():
    expected = stats.binom.pmf(range(301), 300, 0.1)
    np.testing.assert_allclose(poisson_binomial([0.1] * 300), expected, rtol=1e-10, atol=1e-300)


def test_the_short_paths_of_a_resnet_110_are_half_a_percent():
    # Veit et al. 2016: most gradient of 54 blocks comes from 5 to 17 blocks, .45 % of all paths
    mass = poisson_binomial([0.5] * 54)
    assert mass[5:18].sum() == pytest.approx(0.004537, abs=5e-7)
    assert mass[19:36].sum() == pytest.approx(0.980, abs=5e-4)


def test_mean_and_variance():
    odds = np.random.default_rng(1).lognormal(size=40)
    chances, steps = probabilities_of_odds(odds), np.arange(41)
    mass = poisson_binomial(chances)
    mean = steps @ mass
    assert mass.sum() == pytest.approx(1, abs=1e-14)
    assert mean == pytest.approx(expected_path_length(odds), rel=1e-13)
    assert (steps - mean) ** 2 @ mass == pytest.approx((chances * (1 - chances)).sum(), rel=1e-12)


def test_counts_of_paths_beyond_what_a_float_holds():
    assert np.exp(log_path_counts(54)).sum() == pytest.approx(2.0**54, rel=1e-12)
    assert np.logaddexp.reduce(log_path_counts(5000)) == pytest.approx(5000 * np.log(2), rel=1e-12)


def test_extremes():
    assert poisson_binomial([]).tolist() == [1.0]
    assert probabilities_of_odds([0.0, np.inf]).tolist() == [0.0, 1.0]
    assert np.isnan(poisson_binomial([0.5, np.nan])).all()
    with pytest.raises(ProbeError, match="between 0 and 1"):
        poisson_binomial([1.5])
