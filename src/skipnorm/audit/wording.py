"""Rulings and effects in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from skipnorm.evidence.wording import number

if TYPE_CHECKING:
    from skipnorm.audit.audit import Trialled
    from skipnorm.audit.groups import Group
    from skipnorm.audit.rulings import Standing

__all__ = ["as_good", "effect_words", "interval_words", "margin_words", "more_words", "reason"]

_SHOWN = 3


def as_good(ruling: str) -> str:
    """A ruling, said of what stands in for a group.

    >>> as_good("idle"), as_good("harmful"), as_good("undecided")
    ('as good', 'better', 'undecided')
    """
    words = {
        "load-bearing": "worse",
        "helpful": "rather worse",
        "idle": "as good",
        "harmful": "better",
    }
    return words.get(ruling, ruling)


def effect_words(value: float, score: str) -> str:
    """What an absence costs, in print: points of accuracy, or per cent of the loss.

    >>> effect_words(0.0312, "accuracy"), effect_words(-0.004, "accuracy"), effect_words(0.0953, "loss")
    ('−0.031 accuracy', '+0.004 accuracy', '+10 % loss')
    """
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "diverges" if value > 0 else "only the original diverges"
    if score == "accuracy":
        sign = "−" if value > 0 else "+" if value < 0 else "±"
        return f"{sign}{abs(value):.3f} accuracy"
    share = math.expm1(min(value, 50.0))
    if share > 10:
        return f"{number(1 + share)} times the loss"
    return f"{'+' if share >= 0 else '−'}{abs(share):.0%} loss".replace("%", " %")


def interval_words(found: Standing, score: str) -> str:
    """The ends of an interval, in print, with the sign of what happens to the score."""
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        ends = [effect_words(end, score) for end in (found.low, found.high)]
        return f"{ends[0]} throughout" if ends[0] == ends[1] else " to ".join(ends)
    if score == "accuracy":
        return f"{0 - found.high:+.3f} to {0 - found.low:+.3f}".replace("-", "−")
    low, high = (math.expm1(min(end, 50.0)) for end in (found.low, found.high))
    return f"{low:+.0%} to {high:+.0%}".replace("-", "−").replace("%", " %")


def margin_words(margin: float, score: str) -> str:
    """The margin in print.

    >>> margin_words(0.02, "accuracy")
    '0.02 of accuracy'
    """
    return (
        f"{margin:g} of accuracy"
        if score == "accuracy"
        else f"{math.expm1(margin):.0%} of the loss".replace("%", " %")
    )


def more_words(found: Standing, seconds: float) -> str:
    """What would settle an open question."""
    if not math.isfinite(found.more):
        return "more seeds would not settle it as it stands"
    minutes = max(1, math.ceil(found.more * seconds / 60))
    return f"about {found.more:.0f} more seeds, {minutes} min, would settle it"


def reason(group: Group, removal: Trialled, score: str) -> str:
    """Why this ruling, in a sentence or two: what the absence costs, and which mechanisms changed."""
    found = removal.standing
    told = f"without {group.name}: {effect_words(found.effect, score)}"
    if found.diverged:
        told = f"without {group.name} {found.diverged} of {found.seeds} runs diverge"
    changed = [change.sentence for change in removal.changes if change.sentence][:_SHOWN]
    if changed:
        return f"{told}; at initialisation {'; '.join(changed)}"
    if removal.changes:
        return f"{told}; no mechanism that is read at initialisation changes"
    return told
