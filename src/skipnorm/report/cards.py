"""Verdicts as the page words them: everything a card says, ready for the template."""

import math
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from skipnorm.evidence.wording import number, percent, span
from skipnorm.report.embedding import slug
from skipnorm.report.glance import glance
from skipnorm.report.section import Section
from skipnorm.verdicts import RULINGS, Identity, Verdict
from skipnorm.verdicts.sentences import measured
from skipnorm.verdicts.verdict import Ruling

SIDES = {
    "essay": "The essay",
    "paper": "A paper",
    "counter": "A counter-claim",
    "derived": "Derived",
}


@dataclass(frozen=True)
class Card:
    """What the page says about one verdict."""

    anchor: str
    ruling: Ruling
    sentence: str
    source: str
    side: str
    case: str
    measured: str
    level: str
    interval: str
    predicted: str
    seeds: str
    method: str
    reason: str
    caveats: tuple[str, ...]
    figure: str
    glance: Markup
    cases: tuple[dict[str, str], ...]


def card(section: Section, verdict: Verdict) -> Card:
    """One verdict in words, with anchors to itself and to the figure that shows it."""
    claim = verdict.claim
    unit = f" {claim.unit}" if claim.unit else ""
    return Card(
        anchor=f"{slug(section.name)}-claim-{slug(claim.name)}",
        ruling=verdict.ruling,
        sentence=claim.sentence,
        source=claim.source,
        side=SIDES[claim.side],
        case=verdict.case if len(verdict.cases) > 1 else "",
        measured=measured(verdict.effect, verdict.low, verdict.high, unit),
        level="All values" if math.isnan(verdict.level) else f"{percent(verdict.level)} interval",
        interval="" if math.isnan(verdict.low) else span(verdict.low, verdict.high),
        predicted=verdict.predicted + unit,
        seeds="not needed" if isinstance(claim.prediction, Identity) else str(verdict.seeds),
        method=verdict.method,
        reason=verdict.reason,
        caveats=tuple(claim.caveats),
        figure=figure_anchor(section, claim.figure) if claim.figure else "",
        glance=glance(verdict),
        cases=tuple(_case(row) for row in verdict.cases) if len(verdict.cases) > 1 else (),
    )


def figure_anchor(section: Section, name: str) -> str:
    """Where in the page a figure is found."""
    return f"{slug(section.name)}-figure-{slug(name)}"


def tally(sections: list[Section]) -> list[tuple[Ruling, int]]:
    """How many claims came out each way, in the fixed order of rulings."""
    rulings = [verdict.ruling for section in sections for verdict in section.verdicts]
    return [(ruling, rulings.count(ruling)) for ruling in RULINGS]


def _case(row: dict[str, Any]) -> dict[str, str]:
    level = row["level"]
    return {
        "case": row["case"],
        "ruling": row["ruling"],
        "effect": measured(row["effect"], row["low"], row["high"]),
        "interval": "" if math.isnan(row["low"]) else span(row["low"], row["high"]),
        "level": "" if math.isnan(level) else percent(level),
        "predicted": _band(row["predicted_low"], row["predicted_high"]),
        "seeds": str(row["seeds"]) if not math.isnan(level) else "",
    }


def _band(low: float, high: float) -> str:
    if math.isinf(high):
        return f"at least {number(low)}"
    return f"at most {number(high)}" if math.isinf(low) else f"{number(low)} to {number(high)}"
