"""The page in a real browser, from the disk: drawn, quiet, readable on a phone, themed."""

from pathlib import Path
from typing import Any

import pytest

from skipnorm.evidence import provenance
from skipnorm.report import Section, write_page

DRAWN = "() => [...document.querySelectorAll('.plot')].every(p => p.querySelector('svg.main-svg'))"


@pytest.fixture(scope="module")
def address(sections: list[Section], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("browser")
    page = write_page(folder / "report.html", "Skip and norm", sections, provenance=provenance())
    return page.as_uri()


class Visit:
    """One opened page, with everything it complained of or asked for."""

    def __init__(self, browser: Any, address: str, width: int, scheme: str) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, has_touch=width < 500
        )
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)

    def __enter__(self) -> "Visit":
        return self

    def __exit__(self, *reason: object) -> None:
        self.context.close()


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
)
def test_the_page_draws_itself_in_silence(
    browser: Any, address: str, width: int, scheme: str
) -> None:
    with Visit(browser, address, width, scheme) as visit:
        visit.page.wait_for_function(DRAWN, timeout=15_000)
        assert visit.complaints == []
        assert [url for url in visit.requests if not url.startswith(("file:", "data:"))] == []
        assert visit.page.locator(".card").count() == 6
        first_card = visit.page.locator(".card").first.bounding_box()["y"]
        first_figure = visit.page.locator("figure").first.bounding_box()["y"]
        assert first_card < first_figure
        overflow = "document.documentElement.scrollWidth - window.innerWidth"
        assert visit.page.evaluate(overflow) <= 0
        visit.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert visit.page.evaluate(overflow) <= 0


def test_the_toggle_changes_page_and_figures(browser: Any, address: str) -> None:
    with Visit(browser, address, 1280, "light") as visit:
        visit.page.wait_for_function(DRAWN, timeout=15_000)
        paper = "getComputedStyle(document.body).backgroundColor"
        line = "document.querySelector('.plot .scatterlayer .lines path').style.stroke"
        before = visit.page.evaluate(f"[{paper}, {line}]")
        assert before == ["rgb(251, 250, 247)", "rgb(27, 74, 152)"]
        visit.page.get_by_role("button", name="Dark page").click()
        visit.page.wait_for_function(f"() => {line} === 'rgb(143, 188, 255)'")
        assert visit.page.evaluate(paper) == "rgb(20, 22, 25)"
        assert visit.page.locator("#theme").get_attribute("aria-pressed") == "true"
        visit.page.reload()
        assert visit.page.evaluate(paper) == "rgb(20, 22, 25)"
        assert visit.complaints == []


def test_the_keyboard_reaches_content_theme_and_tables(browser: Any, address: str) -> None:
    with Visit(browser, address, 1280, "light") as visit:
        visit.page.keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.textContent") == "Skip to the content"
        visit.page.keyboard.press("Enter")
        assert visit.page.evaluate("document.activeElement.id") == "content"
        summary = visit.page.locator("figure summary").first
        summary.focus()
        visit.page.keyboard.press("Enter")
        assert visit.page.locator("figure details[open] table").first.is_visible()


def test_figures_can_be_saved_as_data_and_as_drawings(browser: Any, address: str) -> None:
    with Visit(browser, address, 1280, "dark") as visit:
        visit.page.wait_for_function(DRAWN, timeout=15_000)
        with visit.page.expect_download() as told:
            visit.page.get_by_role("button", name="Save as CSV").first.click()
        lines = Path(told.value.path()).read_text("utf-8").splitlines()
        assert lines[0].startswith("series,layer,")
        assert lines[1].startswith("batch norm,1,")
        with visit.page.expect_download() as told:
            visit.page.get_by_role("button", name="Save as SVG").first.click()
        assert Path(told.value.path()).read_text("utf-8").startswith("<svg")
        with visit.page.expect_download() as told:
            visit.page.get_by_role("button", name="Save as PNG").first.click()
        assert Path(told.value.path()).read_bytes().startswith(b"\x89PNG")
        with visit.page.expect_download() as told:
            visit.page.locator("[data-csv='all-claims']").click()
        assert Path(told.value.path()).read_text("utf-8").startswith("Section,Topic,Side,Claim")
        assert visit.complaints == []


def test_printing_draws_every_figure_in_light(browser: Any, address: str) -> None:
    with Visit(browser, address, 1280, "dark") as visit:
        visit.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        visit.page.wait_for_function(
            "() => [...document.querySelectorAll('.plot')].every(p => p.dataset.drawn === 'light')"
        )
        assert visit.complaints == []
