"""A forest plot shows every case with its own numbers, also those that run off the page."""

import math

import numpy as np
import pytest
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.figures import intervals


def cases() -> xr.Dataset:
    columns = {
        "effect": [2.0, 3.0, math.nan],
        "low": [1.9, 2.5, -math.inf],
        "high": [2.1, math.inf, math.inf],
        "predicted_low": [1.8, 4.0, 1.0],
        "predicted_high": [2.2, math.inf, math.inf],
        "ruling": ["supported", "refuted", "undecided"],
    }
    return xr.Dataset({k: ("case", v) for k, v in columns.items()}, {"case": ["a", "b", "c"]})


@pytest.mark.parametrize("log_x", [False, True])
def test_every_case_is_drawn_with_its_ruling(log_x: bool) -> None:
    figure = intervals(cases(), log_x=log_x)
    drawn = {t.name: t for t in figure.data if t.meta["role"] == "measured"}
    assert set(drawn) == {"supported", "refuted", "undecided"}
    assert drawn["supported"].x[0] == 2.0
    assert drawn["supported"].error_x.array[0] == pytest.approx(0.1)
    assert len({t.marker.symbol for t in drawn.values()}) == 3
    left, right = figure.layout.xaxis.range
    assert np.isfinite([left, right]).all()
    assert "not finite" in drawn["undecided"].customdata[0][2]
    assert drawn["refuted"].customdata[0][1] == math.inf
    assert figure.layout.yaxis.categoryarray == ("c", "b", "a")


def test_the_predicted_bands_stand_behind() -> None:
    figure = intervals(cases())
    bands = [t for t in figure.data if t.meta["role"] == "band"]
    assert tuple(bands[0].x) == (1.8, 2.2)
    assert bands[1].x[0] == 4.0
    assert np.isfinite(bands[1].x).all()


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(EvidenceError, match="expected 'predicted_low'"):
        intervals(cases().drop_vars("predicted_low"))
