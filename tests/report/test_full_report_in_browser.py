"""The committed report of the full run, walked through as a reader would: every section, drawn and quiet."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skipnorm.inquiries import CATALOGUE

REPORT = Path(__file__).parents[2] / "docs" / "results" / "report.html"
pytestmark = pytest.mark.skipif(not REPORT.exists(), reason="no full run is committed")


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["desktop", "phone"])
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, has_touch=width < 500
    )
    opened = context.new_page()
    opened.complaints = []
    opened.on("console", lambda said: said.type == "error" and opened.complaints.append(said.text))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    yield opened
    context.close()


def test_it_is_light_enough_to_be_sent() -> None:
    assert REPORT.stat().st_size <= 12e6


def test_every_section_is_drawn_without_a_complaint(page: Any) -> None:
    page.goto(REPORT.as_uri())
    rows = page.locator("#answers-table tbody tr")
    assert rows.count() == len(CATALOGUE)
    for entry in CATALOGUE:
        section = page.locator(f"#{entry.name}")
        section.scroll_into_view_if_needed()
        assert section.locator(".card").count() > 0
        figures = section.locator("figure")
        for number in range(figures.count()):
            figures.nth(number).scroll_into_view_if_needed()
            figures.nth(number).locator(".plot.js-plotly-plot").wait_for(timeout=30_000)
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


def test_a_series_can_be_taken_out_of_a_figure(page: Any) -> None:
    page.goto(REPORT.as_uri())
    plot = page.locator("figure .plot").first
    plot.scroll_into_view_if_needed()
    plot.locator(".legendtoggle").first.wait_for(timeout=30_000)
    plot.locator(".legendtoggle").first.click()
    page.wait_for_function(
        "() => document.querySelector('figure .plot').data.some(t => t.visible === 'legendonly')"
    )
    assert page.complaints == []


def test_the_surfaces_are_there_to_turn(page: Any) -> None:
    text = REPORT.read_text(encoding="utf-8")
    assert len(re.findall(r'"type":"surface"', text)) >= 4
