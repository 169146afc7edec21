"""The page as a whole: sections in, one HTML file out that needs nothing but itself."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from skipnorm.errors import EvidenceError
from skipnorm.evidence.wording import number
from skipnorm.figures import palette
from skipnorm.figures.layout import alt_text
from skipnorm.report.cards import (
    Answer,
    Topic,
    answer,
    card,
    claim_anchor,
    figure_anchor,
    tally,
    topics,
)
from skipnorm.report.embedding import guarded, json_text, slug
from skipnorm.report.remark import Remark
from skipnorm.report.section import Section
from skipnorm.report.tables import Table, numbers_of

_ROOM = "skipnorm.report"
LEAD = "What theory and literature predict, held against what was measured."


@dataclass(frozen=True)
class Plate:
    """A figure as the template needs it."""

    anchor: str
    number: int
    caption: str
    alt: str
    height: int
    data: Markup
    table: Table


@dataclass(frozen=True)
class Part:
    """A section as the template needs it."""

    anchor: str
    section: Section
    paragraphs: tuple[str, ...]
    answer: Answer | None
    topics: tuple[Topic, ...]
    plates: tuple[Plate, ...]


def write_page(
    path: str | Path,
    title: str,
    sections: Sequence[Section],
    *,
    lead: str = "",
    notes: Sequence[str] = (),
    remarks: Sequence[Remark] = (),
    provenance: Mapping[str, str] | None = None,
    counts: bool = True,
) -> Path:
    """The report, written as one self-contained HTML file; returns where it lies.

    The page opens from the disk without a network: styles, figures and the drawing library are
    in it. It begins with an answer to every question; each section then gives claims with their
    rulings, figures and method; remarks on the essay follow, and all claims in one table.

    Args:
        path: where to write; the folder is made if need be, and an old page is replaced whole.
        title: the heading.
        sections: one per question, in the order of reading.
        lead: the sentence under the heading.
        notes: sentences under the count of rulings.
        remarks: what the essay says less exactly than it could, each with the claims that show it.
        provenance: what the evidence was made with, for the foot of the page.
        counts: whether the rulings on all claims are counted under the heading.

    Raises:
        EvidenceError: two sections share a name, or the file cannot be written.
    """
    names = [slug(section.name) for section in sections]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise EvidenceError(
            f"two sections are called {twice[0]!r}; every section needs its own name"
        )
    text = (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            lead=lead or LEAD,
            notes=notes,
            tally=tally(list(sections)) if counts else [],
            parts=_parts(sections),
            remarks=[_shown(remark, sections) for remark in remarks],
            provenance=dict(provenance or {}),
            colours=palette,
            twins=json_text(palette.twins()),
            style=_text("style.css"),
            script=_text("page.js"),
            plotly=Markup(get_plotlyjs()),
        )
    )
    return _replace(Path(path), text)


def _shown(remark: Remark, sections: Sequence[Section]) -> dict[str, Any]:
    """A remark with links to those of its claims that are on the page."""
    there = {(s.name, v.claim.name): v for s in sections for v in s.verdicts}
    links = [
        {
            "anchor": claim_anchor(section, name),
            "claim": there[section, name].claim.sentence,
            "ruling": there[section, name].ruling,
        }
        for section, name in remark.claims
        if (section, name) in there
    ]
    return {"remark": remark, "links": links}


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_ROOM),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _cell
    return environment


def _text(name: str) -> Markup:
    loader = PackageLoader(_ROOM)
    return Markup(loader.get_source(Environment(autoescape=True), name)[0])


def _cell(value: Any) -> str:
    return number(float(value)) if isinstance(value, int | float) else str(value)


def _parts(sections: Sequence[Section]) -> list[Part]:
    parts, count = [], 0
    for section in sections:
        plates = tuple(
            _plate(section, name, count + place)
            for place, name in enumerate(section.figures, start=1)
        )
        count += len(plates)
        parts.append(
            Part(
                anchor=slug(section.name),
                section=section,
                paragraphs=tuple(p.strip() for p in section.method.split("\n\n") if p.strip()),
                answer=answer(section),
                topics=topics([card(section, verdict) for verdict in section.verdicts]),
                plates=plates,
            )
        )
    return parts


def _plate(section: Section, name: str, count: int) -> Plate:
    figure = section.figures[name]
    return Plate(
        anchor=figure_anchor(section, name),
        number=count,
        caption=section.captions.get(name, ""),
        alt=section.alts.get(name) or alt_text(figure),
        height=int(figure.layout.height or 400),
        data=guarded(_drawable(figure)),
        table=numbers_of(figure),
    )


def _drawable(figure: go.Figure) -> str:
    slim = go.Figure(figure)
    slim.layout.template = None
    return str(slim.to_json())


def _replace(target: Path, text: str) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        return Path(name).replace(target)
    except OSError as cause:
        raise EvidenceError(f"cannot write the page to {target}: {cause}") from cause
