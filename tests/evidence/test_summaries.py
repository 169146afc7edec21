"""Means and intervals over seeds; the second opinion is scipy's t-test interval."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from skipnorm.errors import EvidenceError
from skipnorm.evidence import interval_over, student


@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
def test_the_interval_is_scipys(level: float) -> None:
    values = np.random.default_rng(0).normal(3, 2, size=(4, 9))
    mean, low, high = student(values, level)
    expected = stats.ttest_1samp(values, 0, axis=1).confidence_interval(level)
    np.testing.assert_allclose(mean, values.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(low, expected.low, rtol=1e-12)
    np.testing.assert_allclose(high, expected.high, rtol=1e-12)


def test_the_log_scale_is_the_interval_of_the_logarithms() -> None:
    values = np.random.default_rng(1).lognormal(size=12)
    expected = stats.ttest_1samp(np.log(values), 0).confidence_interval(0.95)
    mean, low, high = student(values, scale="log")
    np.testing.assert_allclose(mean, stats.gmean(values), rtol=1e-12)
    np.testing.assert_allclose([low, high], np.exp([expected.low, expected.high]), rtol=1e-12)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_divergence_is_not_averaged_away(broken: float) -> None:
    values = xr.DataArray(
        [[1.0, 2.0, broken], [1.0, 2.0, 3.0]],
        dims=("step", "seed"),
        coords={"step": [10, 20]},
    )
    summary = interval_over(values)
    assert summary["step"].values.tolist() == [10, 20]
    assert np.isnan(summary[["mean", "low", "high"]].isel(step=0).to_array()).all()
    assert float(summary["mean"][1]) == 2.0
    assert summary["broken"].values.tolist() == [1, 0]
    assert int(summary["count"]) == 3


def test_one_seed_has_a_mean_and_no_interval() -> None:
    mean, low, high = student([[4.0]])
    assert mean.tolist() == [4.0]
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_a_missing_dimension_is_named() -> None:
    with pytest.raises(EvidenceError, match=r"expected a dimension 'seed', found .*'step'"):
        interval_over(xr.DataArray([1.0], dims="step"))
