"""A strip shows every seed; none is dropped, and means are scipy's."""

import math

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from skipnorm.errors import EvidenceError
from skipnorm.figures import strip


def losses() -> xr.DataArray:
    values = np.random.default_rng(0).lognormal(size=(2, 5))
    coords = {"variant": ["plain", "skip"], "seed": range(5)}
    return xr.DataArray(values, coords, ("variant", "seed"), name="loss")


def test_every_seed_is_a_dot_and_the_mean_is_geometric_on_a_log_axis() -> None:
    array = losses()
    figure = strip(array, log_y=True)
    dots = [t for t in figure.data if t.meta["role"] == "seeds"]
    means = [t for t in figure.data if t.meta["role"] == "measured"]
    np.testing.assert_array_equal(np.stack([t.y for t in dots]), array.values)
    np.testing.assert_allclose([t.y[0] for t in means], stats.gmean(array.values, axis=1))


def test_a_diverged_seed_is_a_cross_and_its_variant_has_no_mean() -> None:
    array = losses()
    array[1, 3] = math.nan
    figure = strip(array, theory=xr.DataArray([1.0, 2.0], {"variant": ["plain", "skip"]}))
    (cross,) = [t for t in figure.data if t.meta["role"] == "diverged"]
    assert cross.text[0] == "1 of 5 diverged"
    means = [t for t in figure.data if t.meta["role"] == "measured"]
    assert np.isfinite(means[0].y[0])
    assert np.isnan(means[1].y[0])
    assert [t.y[0] for t in figure.data if t.meta["role"] == "theory"] == [1.0, 2.0]


def test_a_wrong_dimension_is_named() -> None:
    with pytest.raises(EvidenceError, match=r"over 'variant' and seed, found \('seed',\)"):
        strip(losses().isel(variant=0))
