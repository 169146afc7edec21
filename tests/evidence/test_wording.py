"""Numbers in print, as one would write them by hand."""

import math

import pytest

from skipnorm.evidence.wording import number, resolution, span


@pytest.mark.parametrize(
    ("value", "width", "text"),
    [
        (1.788, None, "1.788"),
        (1.78823, 0.3, "1.79"),
        (1234.4, 100.0, "1234"),
        (0.00012, None, "0.00012"),
        (-0.5, None, "−0.5"),
        (0.0, None, "0"),
        (123456789.0, None, "1.235 × 10⁸"),
        (1.5e-9, 1e-10, "1.50 × 10⁻⁹"),
        (math.nan, None, "not a number"),
        (math.inf, 1.0, "∞"),
    ],
)
def test_numbers(value: float, width: float | None, text: str) -> None:
    assert number(value, width) == text


def test_an_interval_over_decades_keeps_the_digits_of_both_ends() -> None:
    assert resolution(1e-5, 3.0) is None
    assert span(2e-5, 3.0) == "2 × 10⁻⁵ to 3"
    assert span(-0.1, 3.0) == "−0.1 to 3.0"


def test_an_interval_that_is_endless_or_a_point_says_nothing_of_digits():
    for width in (float("inf"), float("nan"), 0.0):
        assert number(0.12345, width) == number(0.12345)
