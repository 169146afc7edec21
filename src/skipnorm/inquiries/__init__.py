"""The essay's questions: one short module each, listed here by hand.

The list holds what `skipnorm list` prints, so that it answers without importing xarray, scipy or
torch; `load` imports the inquiry itself. A test proves that both say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from skipnorm.errors import StudyError, nearest
from skipnorm.inquiries.inquiry import Inquiry

__all__ = ["CATALOGUE", "Entry", "Inquiry", "load"]


@dataclass(frozen=True)
class Entry:
    """What an inquiry asks, and what its answer costs on two cores at quick and full scale."""

    name: str
    question: str
    cost: str


CATALOGUE: tuple[Entry, ...] = (
    Entry(
        name="propagation",
        question="How do signals and gradients scale with depth, "
        "and what do norms and skips change?",
        cost="2 minutes quick, 7 minutes full",
    ),
    Entry(
        name="shattering",
        question="Are gradients shattered with depth, and do skips mend them?",
        cost="half a minute quick, 2 minutes full",
    ),
)


def load(name: str) -> Inquiry:
    """The inquiry of that name, imported from the module of the same name.

    Raises:
        StudyError: no inquiry has this name, or its module holds none.
    """
    known = [entry.name for entry in CATALOGUE]
    if name not in known:
        raise StudyError(f"There is no such inquiry: {nearest(name, known)} Try `skipnorm list`.")
    module = import_module(f"skipnorm.inquiries.{name}")
    for value in vars(module).values():
        if isinstance(value, Inquiry) and value.name == name:
            return value
    raise StudyError(
        f"The module {module.__name__} should hold an Inquiry named {name!r}, but holds none."
    )
