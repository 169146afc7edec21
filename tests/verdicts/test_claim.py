"""A claim that could not be judged or attributed is refused when it is written."""

import pytest
import xarray as xr

from skipnorm.errors import ClaimError
from skipnorm.verdicts import AtLeast, Claim, Identity, Near


def effect(evidence: xr.Dataset) -> xr.DataArray:
    return evidence["gain"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sentence": " "}, "empty sentence"),
        ({"source": ""}, "empty source"),
        ({"side": "esay"}, "Did you mean 'essay'"),
        ({"scale": "logarithmic"}, "expected one of 'linear', 'log'"),
        ({"prediction": 2.0}, "expected AtLeast, AtMost, Near or Identity"),
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
