"""The sites of an audited network as the marks of its picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skipnorm.anatomy.sites import Skip
from skipnorm.audit.wording import effect_words
from skipnorm.figures.circuit import Mark

if TYPE_CHECKING:
    from skipnorm.audit.audit import Audit

__all__ = ["marks_of"]


def marks_of(audit: Audit) -> list[Mark]:
    """Every site with the ruling of the narrowest group that was tested with it."""
    marks: list[Mark] = []
    since = -0.5
    for site in audit.anatomy.sites:
        at = float(site.index)
        if isinstance(site, Skip):
            for kind, word in (("shortcuts", "shortcut"), ("branches", "branch")):
                ruling, says = _narrowest(audit, site.name, kind)
                start = since if word == "shortcut" else since + 0.25
                end = at if word == "shortcut" else at - 0.25
                if word == "shortcut" or ruling != "not tested":
                    marks.append(Mark(site.name, word, start, max(start, end), ruling, says))
            since = at
        elif site.kind == "norm":
            ruling, says = _narrowest(audit, site.name, "norms")
            marks.append(Mark(site.name, "norm", at, at, ruling, says))
        else:
            marks.append(Mark(site.name, "activation", at, at))
    return marks


def _narrowest(audit: Audit, site: str, kind: str) -> tuple[str, str]:
    found = [each for each in audit.answers if each.group.kind == kind and site in each.group.sites]
    if not found:
        return "not tested", ""
    answer = min(found, key=lambda each: len(each.group.sites))
    assert answer.removal is not None
    effect = effect_words(answer.removal.standing.effect, audit.score)
    return answer.ruling, f"{answer.group.name}: {answer.ruling}, {effect}"
