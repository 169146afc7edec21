"""The bands that predictions allow, by arithmetic on paper."""

import math

import pytest

from skipnorm.verdicts import AtLeast, AtMost, Equivalent, Identity, Near
from skipnorm.verdicts.predictions import Band, Prediction


@pytest.mark.parametrize(
    ("prediction", "target", "low", "high", "words"),
    [
        (AtLeast(2.0), 2.0, 2.0, math.inf, "at least 2"),
        (AtMost(0.5), 0.5, -math.inf, 0.5, "at most 0.5"),
        (Near(2.0, 0.5), 2.0, 1.5, 2.5, "2 ± 0.5"),
        (Near(-2.0, 0.1, relative=True), -2.0, -2.2, -1.8, "−2 ± 10 %"),
        (Equivalent(0.5), 0.0, -0.5, 0.5, "equal within 0.5"),
        (Equivalent(factor=1.25), 1.0, 0.8, 1.25, "equal within a factor of 1.25"),
        (Identity(1e-10), 0.0, -1e-10, 1e-10, "0 ± 1 × 10⁻¹⁰"),
    ],
)
def test_bands(prediction: Prediction, target: float, low: float, high: float, words: str) -> None:
    band = prediction.band(target)
    assert (band.low, band.high) == pytest.approx((low, high))
    assert prediction.words(target) == words


def test_a_band_is_closed_and_nan_is_neither_inside_nor_outside() -> None:
    band = Band(1.0, 2.0)
    assert band.holds(1.0, 2.0)
    assert not band.excludes(0.0, 1.0)
    assert not band.holds(math.nan, 1.5)
    assert not band.excludes(math.nan, math.nan)
    assert Band(-math.inf, 2.0).edges == (2.0,)
