"""Axes that can be read: ticks where a person would put them."""

import pytest

from skipnorm.figures.layout import alt_text, blank, log_ticks


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.5, 30.0, ["0.5", "1", "2", "5", "10", "20"]),
        (1e-6, 1.0, ["10⁻⁶", "10⁻⁵", "10⁻⁴", "0.001", "0.01", "0.1", "1"]),
        (0.95, 1.31, ["1", "1.1", "1.2", "1.3"]),
        (1.0, 1e30, ["1", "10⁴", "10⁸", "10¹²", "10¹⁶", "10²⁰", "10²⁴", "10²⁸"]),
    ],
)
def test_ticks_of_a_logarithmic_axis(low: float, high: float, texts: list[str]) -> None:
    assert log_ticks(low, high)["ticktext"] == texts


def test_an_axis_without_a_logarithm_is_left_alone() -> None:
    assert log_ticks(0.0, 1.0) == {}
    assert log_ticks(1.0, 1.0) == {}


def test_the_alternative_text_names_axes_and_series() -> None:
    figure = blank("depth", "gain")
    for name in ("plain", "skip", "both"):
        figure.add_scatter(x=[1], y=[1], name=name)
    assert alt_text(figure) == "Chart of gain against depth, with plain, skip and both."
