"""The page is one file that holds everything it promises, without asking the network."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from skipnorm.errors import EvidenceError
from skipnorm.report import Section, write_page


class Outline(HTMLParser):
    """Collects anchors, links and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append((tag, named))
        self.anchors += [named["id"] or ""] if "id" in named else []
        self.links += [named["href"] or ""] if tag == "a" else []
        self.loads += [
            v or "" for k, v in attrs if k in ("src", "href") and tag not in ("a", "use")
        ]


@pytest.fixture(scope="module")
def page(sections: list[Section], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(
        tmp_path_factory.mktemp("page") / "new" / "report.html",
        "Skip & norm",
        sections,
        provenance={"python": "3.11"},
    )


@pytest.fixture(scope="module")
def outline(page: Path) -> Outline:
    found = Outline()
    found.feed(page.read_text("utf-8"))
    return found


def test_every_link_leads_somewhere_and_every_anchor_is_unique(outline: Outline) -> None:
    assert len(set(outline.anchors)) == len(outline.anchors)
    assert {link for link in outline.links if link[1:] not in outline.anchors} == set()
    assert all(link.startswith("#") for link in outline.links)


def test_nothing_is_loaded_from_elsewhere(outline: Outline) -> None:
    assert outline.loads == ["data:,"]


def test_every_figure_has_words_and_a_table(outline: Outline) -> None:
    plots = [attrs for tag, attrs in outline.tags if attrs.get("class") == "plot"]
    assert len(plots) == 4
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in plots)
    assert sum(name.endswith("-table") for name in outline.anchors) == 4


def test_the_library_is_there_once_and_the_page_is_not_too_large(page: Path) -> None:
    text = page.read_text("utf-8")
    assert len(re.findall(r"\* plotly\.js v\d", text)) == 1
    assert len(text.encode()) < 6_000_000


def test_verdicts_stand_before_figures(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text.index('class="card ') < text.index("<figure")


def test_words_are_escaped(page: Path) -> None:
    text = page.read_text("utf-8")
    assert "<img src=x" not in text
    assert "Skip &amp; norm" in text


def test_an_empty_report_is_a_page_and_two_sections_of_one_name_are_none(
    sections: list[Section], tmp_path: Path
) -> None:
    assert write_page(tmp_path / "empty.html", "Empty", []).is_file()
    with pytest.raises(EvidenceError, match="two sections are called 'propagation'"):
        write_page(tmp_path / "twice.html", "Twice", [sections[0], sections[0]])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EvidenceError, match="cannot write the page"):
        write_page(tmp_path / "file" / "report.html", "Nowhere", [])
