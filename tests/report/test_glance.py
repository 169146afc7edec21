"""The drawing in a card puts inside what is inside: positions checked by hand."""

import math
import re

import xarray as xr

from skipnorm.report.glance import Ruler, glance
from skipnorm.verdicts import AtLeast, Claim, Near, judge
from skipnorm.verdicts.predictions import Prediction


def drawn(prediction: Prediction, values: list[float]) -> str:
    claim = Claim("c", "s", "b", "paper", lambda e: e["x"], prediction)
    return str(glance(judge(claim, xr.Dataset({"x": ("seed", values)}))))


def test_a_ruler_is_linear_or_logarithmic_and_knows_its_sides() -> None:
    linear, log = Ruler(0.0, 10.0, False), Ruler(1.0, 100.0, True)
    assert [linear.place(v) for v in (0.0, 5.0, 10.0)] == [22.0, 50.0, 78.0]
    assert [round(log.place(v), 9) for v in (1.0, 10.0, 100.0)] == [22.0, 50.0, 78.0]
    assert [linear.place(v) for v in (-math.inf, math.inf, math.nan)] == [0.0, 100.0, 50.0]
    assert log.place(0.0) == 0.0


def test_the_dot_lies_in_the_band_of_a_supported_claim() -> None:
    svg = drawn(Near(2.0, 0.5), [2.0, 2.1, 1.9, 2.0, 2.05])
    start, width = map(
        float, re.search(r'rect class="band" x="([\d.]+)%".*?width="([\d.]+)%"', svg).groups()
    )  # type: ignore[union-attr]
    dot = float(re.search(r'cx="([\d.]+)%"', svg).group(1))  # type: ignore[union-attr]
    assert start < dot < start + width


def test_an_open_band_runs_off_the_side_and_what_is_not_finite_is_not_drawn_as_a_dot() -> None:
    svg = drawn(AtLeast(2.0), [math.inf] * 8)
    assert "circle" not in svg
    assert 'x1="100.00%"' in svg
