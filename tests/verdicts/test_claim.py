"""A claim that could not be judged or attributed is refused when it is written."""

import pytest
import xarray as xr

from skipnorm.errors import ClaimError
from skipnorm.verdicts import AtLeast, Claim, Equivalent, Identity, Near


def effect(evidence: xr.Dataset) -> xr.DataArray:
    return evidence["gain"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sentence": " "}, "empty sentence"),
        ({"source": ""}, "empty source"),
        ({"side": "esay"}, "Did you mean 'essay'"),
        ({"scale": "logarithmic"}, "expected one of 'linear', 'log'"),
        ({"prediction": 2.0}, "expected AtLeast, AtMost, Near, Equivalent or Identity"),
    ],
)
def test_an_ill_posed_claim_is_refused(changes: dict[str, object], message: str) -> None:
    words = {"name": "n", "sentence": "s", "source": "b", "side": "essay", "effect": effect}
    with pytest.raises(ClaimError, match=message):
        Claim(**{**words, "prediction": AtLeast(1.0), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan"), float("inf")])
def test_a_tolerance_that_nothing_or_everything_meets_is_refused(tolerance: float) -> None:
    with pytest.raises(ClaimError, match="tolerance above 0"):
        Near(1.0, tolerance)
    with pytest.raises(ClaimError, match="tolerance above 0"):
        Identity(tolerance)


@pytest.mark.parametrize("margin", [0.0, -1.0, float("nan"), float("inf")])
def test_a_margin_that_nothing_or_everything_meets_is_refused(margin: float) -> None:
    with pytest.raises(ClaimError, match="margin above 0"):
        Equivalent(margin)


@pytest.mark.parametrize("factor", [1.0, 0.5, float("nan"), float("inf")])
def test_a_factor_that_nothing_or_everything_meets_is_refused(factor: float) -> None:
    with pytest.raises(ClaimError, match="factor above 1"):
        Equivalent(factor=factor)


def test_equivalence_is_either_of_a_difference_or_of_a_ratio() -> None:
    for both in ({}, {"margin": 0.1, "factor": 1.1}):
        with pytest.raises(ClaimError, match=r"margin.*or a factor"):
            Equivalent(**both)


def test_a_margin_around_zero_does_not_exist_on_the_log_scale() -> None:
    with pytest.raises(ClaimError, match=r"use a ratio as the effect and Equivalent\(factor"):
        Claim("n", "s", "b", "essay", effect, Equivalent(0.1), scale="log")
    Claim("n", "s", "b", "essay", effect, Equivalent(factor=1.1), scale="log")
