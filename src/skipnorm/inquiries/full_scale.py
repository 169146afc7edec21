"""What the last full run ruled, as the page compares a smaller one with it. Needs nothing but the standard library."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["comparison", "full_rulings"]

Name = tuple[str, str]
"""An inquiry and a claim of it."""


@cache
def full_rulings() -> Mapping[Name, str]:
    """Ruling by inquiry and claim; empty where the package carries no full run.

    The file is what ``skipnorm report runs/full --json`` prints.
    """
    file = files("skipnorm.inquiries") / "full_scale.json"
    if not file.is_file():
        return {}
    rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["verdicts"]
    return {(row["inquiry"], row["claim"]): row["ruling"] for row in rows}


def comparison(found: Iterable[tuple[Name, str]], full: Mapping[Name, str]) -> str:
    """In one or two sentences: how many claims are ruled here and at full scale, and where they disagree.

    >>> here = {("a", "x"): "supported", ("a", "y"): "undecided"}
    >>> comparison(here.items(), {("a", "x"): "supported", ("a", "y"): "refuted"})
    'Here 1 of 2 claims is ruled. At full scale 2 of 2 are; of these 1 is ruled here, none otherwise.'
    """
    here = dict(found)
    ruled = [name for name, ruling in here.items() if ruling != "undecided"]
    sentence = f"Here {len(ruled)} of {len(here)} claims {_are(len(ruled))} ruled."
    known = [name for name in here if name in full]
    if not known:
        return sentence
    there = [name for name in known if full[name] != "undecided"]
    both = [name for name in there if name in ruled]
    otherwise = [f"{name[0]}/{name[1]}" for name in both if here[name] != full[name]]
    names = (
        f"{len(otherwise)} otherwise ({', '.join(otherwise)})" if otherwise else "none otherwise"
    )
    return (
        f"{sentence} At full scale {len(there)} of {len(known)} {_are(len(there))}; of these {len(both)} "
        f"{_are(len(both))} ruled here, {names}."
    )


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
