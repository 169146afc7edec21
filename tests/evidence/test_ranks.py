"""Intervals over seeds where some diverged; the second opinions are scipy and printed tables."""

import math

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from skipnorm.errors import EvidenceError
from skipnorm.evidence.ranks import RANKS, STUDENT, intervals_over_seeds, median_interval


@pytest.mark.parametrize(("seeds", "rank"), [(6, 1), (8, 1), (9, 2), (12, 3), (20, 6), (25, 8)])
def test_the_ranks_are_those_of_printed_tables(seeds: int, rank: int) -> None:
    """Order statistics for the median at 95 %: Conover 1999, table A3 and the sign test's."""
    values = np.random.default_rng(0).permutation(np.arange(1.0, seeds + 1))
    assert median_interval(values) == (np.median(values), rank, seeds + 1 - rank)


def test_without_divergence_it_is_students_interval() -> None:
    values = np.random.default_rng(1).lognormal(size=(3, 8))
    found = intervals_over_seeds(xr.DataArray(values, dims=("variant", "seed")), scale="log")
    expected = stats.ttest_1samp(np.log(values), 0, axis=1).confidence_interval(0.95)
    np.testing.assert_allclose(found["low"], np.exp(expected.low), rtol=1e-12)
    np.testing.assert_allclose(found["high"], np.exp(expected.high), rtol=1e-12)
    assert found["method"].values.tolist() == [STUDENT] * 3


def test_a_diverged_seed_keeps_its_rank_and_a_missing_one_is_left_out() -> None:
    rows = [
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, math.inf],
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, math.nan],
        [0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
        [math.nan] * 7,
    ]
    found = intervals_over_seeds(xr.DataArray(rows, dims=("variant", "seed")), scale="log")
    assert found["method"].values.tolist() == [RANKS, STUDENT, RANKS, ""]
    assert found["seeds"].values.tolist() == [7, 6, 7, 0]
    assert found["not_finite"].values.tolist() == [1, 0, 0, 0]
    assert (found["centre"][0], found["low"][0], found["high"][0]) == (4.0, 1.0, math.inf)
    assert (found["centre"][2], found["low"][2]) == (4.0, 0.0)
    assert np.isnan(found["centre"][3])


def test_a_missing_dimension_is_named() -> None:
    with pytest.raises(EvidenceError, match=r"expected a dimension 'seed', found .*'step'"):
        intervals_over_seeds(xr.DataArray([1.0], dims="step"))
