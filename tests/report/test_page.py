"""The page is one file that holds everything it promises, without asking the network."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from skipnorm.errors import EvidenceError
from skipnorm.report import Remark, Section, write_page


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
def page(
    sections: list[Section], remarks: list[Remark], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write_page(
        tmp_path_factory.mktemp("page") / "new" / "report.html",
        "Skip & norm",
        sections,
        notes=["At full scale <all> are ruled."],
        remarks=remarks,
        provenance={"python": "3.11"},
    )


@pytest.fixture(scope="module")
def outline(page: Path) -> Outline:
    found = Outline()
    found.feed(page.read_text("utf-8"))
    return found


def test_every_link_leads_somewhere_and_every_anchor_is_unique(outline: Outline) -> None:
    assert len(set(outline.anchors)) == len(outline.anchors)
    inside = [link for link in outline.links if link.startswith("#")]
    assert {link for link in inside if link[1:] not in outline.anchors} == set()
    assert set(outline.links) - set(inside) == {"propagation/evidence.nc"}


def test_nothing_is_loaded_from_elsewhere(outline: Outline) -> None:
    assert outline.loads == ["data:,"]


def test_every_figure_has_words_and_a_table(outline: Outline) -> None:
    plots = [attrs for tag, attrs in outline.tags if attrs.get("class") == "plot"]
    assert len(plots) == 4
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in plots)
    tables = [name for name in outline.anchors if name.endswith("-table")]
    assert sum("-figure-" in name for name in tables) == 4


def test_the_library_is_there_once_and_the_page_is_not_too_large(page: Path) -> None:
    text = page.read_text("utf-8")
    assert len(re.findall(r"\* plotly\.js v\d", text)) == 1
    assert len(text.encode()) < 6_000_000


def test_verdicts_stand_before_figures(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text.index('class="card ') < text.index("<figure")


def test_the_page_opens_with_an_answer_to_every_question_that_has_one(page: Path) -> None:
    text = page.read_text("utf-8")
    rows = text[text.index('id="answers-table"') : text.index('class="inquiry"')]
    assert rows.count("<tr") == 2  # the heading, and the one section with a headline
    assert "Batch norm itself makes gradients explode." in rows
    assert "Batch norm keeps the product in scale." not in text
    assert 'href="#propagation-claim-bn-mitigates"' in rows


def test_rivals_stand_side_by_side_the_essay_first(page: Path) -> None:
    text = page.read_text("utf-8")
    topic = text[text.index("Gradients with batch norm</h3>") :]
    topic = topic[: topic.index("</section>")]
    essay, counter = (topic.index(f"claim-{name}") for name in ("bn-mitigates", "bn-relu-rate"))
    assert essay < counter
    assert "claim-doubling" not in topic


def test_remarks_lead_to_the_claims_that_show_them(page: Path) -> None:
    text = page.read_text("utf-8")
    part = text[text.index('id="imprecise"') : text.index('id="all-claims"')]
    assert part.count('href="#propagation-claim-bn-mitigates"') == 1
    assert "not on this page" not in part
    assert "A &lt;b&gt;citation&lt;/b&gt;." in part


def test_all_claims_stand_in_one_table(page: Path, sections: list[Section]) -> None:
    text = page.read_text("utf-8")
    body = text[text.index('id="all-claims-table"') :].partition("</table>")[0]
    assert body.count("<tr>") == 1 + sum(len(section.verdicts) for section in sections)


def test_rulings_are_counted_under_the_heading_unless_told_not_to(
    page: Path, sections: list[Section], tmp_path: Path
) -> None:
    assert page.read_text().count('class="tally"') == 1
    other = write_page(tmp_path / "page.html", "No counts", sections, counts=False)
    assert 'class="tally"' not in other.read_text()


def test_words_are_escaped(page: Path) -> None:
    text = page.read_text("utf-8")
    assert "<img src=x" not in text
    assert "Skip &amp; norm" in text
    assert "At full scale &lt;all&gt; are ruled." in text


def test_an_empty_report_is_a_page_and_two_sections_of_one_name_are_none(
    sections: list[Section], tmp_path: Path
) -> None:
    assert write_page(tmp_path / "empty.html", "Empty", []).is_file()
    with pytest.raises(EvidenceError, match="two sections are called 'propagation'"):
        write_page(tmp_path / "twice.html", "Twice", [sections[0], sections[0]])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EvidenceError, match="cannot write the page"):
        write_page(tmp_path / "file" / "report.html", "Nowhere", [])
