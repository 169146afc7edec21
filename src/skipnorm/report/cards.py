"""Verdicts as the page words them: everything a card says, ready for the template."""

import math
from collections.abc import Sequence
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
    topic: str


@dataclass(frozen=True)
class Topic:
    """Claims about one thing, side by side: the essay's first, then a paper's, then what speaks against it."""

    title: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Answer:
    """A question in one row: what the essay says, what was found, and the card that says how."""

    question: str
    anchor: str
    essay: str
    found: str
    card: Card


def card(section: Section, verdict: Verdict) -> Card:
    """One verdict in words, with anchors to itself and to the figure that shows it."""
    claim = verdict.claim
    unit = f" {claim.unit}" if claim.unit else ""
    return Card(
        anchor=claim_anchor(section.name, claim.name),
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
        topic=claim.topic,
    )


def topics(cards: Sequence[Card]) -> tuple[Topic, ...]:
    """The cards by topic, in the order in which topics first appear; those without one come last."""
    titles = sorted(dict.fromkeys(card.topic for card in cards), key=lambda title: not title)
    sides = list(SIDES.values())
    found = []
    for title in titles:
        rivals = [card for card in cards if card.topic == title]
        rivals.sort(key=lambda card: sides.index(card.side) if title else 0)
        found.append(Topic(title, tuple(rivals)))
    return tuple(found)


def answer(section: Section) -> Answer | None:
    """What the section answers to its question, first of all; None where it has no headline."""
    for verdict in section.verdicts:
        if section.headline and verdict.claim.name == section.headline:
            return Answer(
                question=section.question,
                anchor=slug(section.name),
                essay=section.essay,
                found=section.answers.get(verdict.ruling, verdict.reason),
                card=card(section, verdict),
            )
    return None


def claim_anchor(section: str, claim: str) -> str:
    """Where in the page a claim is found."""
    return f"{slug(section)}-claim-{slug(claim)}"


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
