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
    """What an inquiry asks, and what its answer costs in core-seconds at quick and full scale.

    Core-seconds are seconds of one core, as measured on a machine of two without a GPU: by half, with two.
    """

    name: str
    question: str
    quick: int
    full: int

    @property
    def cost(self) -> str:
        """Both costs in words."""
        return f"{self.quick} core-seconds quick, {self.full:,} full"


CATALOGUE: tuple[Entry, ...] = (
    Entry(
        "stability",
        "Does the product over layers vanish or explode, and does batch norm mend it?",
        quick=110,
        full=370,
    ),
    Entry(
        "shift",
        "Does batch norm reduce internal covariate shift, and does that matter?",
        quick=70,
        full=200,
    ),
    Entry(
        "identical",
        "Does batch norm make activations identically distributed, and does that help to generalise?",
        quick=55,
        full=110,
    ),
    Entry(
        "landscape",
        "Do norms and skips make the loss landscape smoother?",
        quick=100,
        full=280,
    ),
    Entry(
        "rates",
        "Do norms allow larger learning rates and flatter minima, and is training faster for it?",
        quick=90,
        full=150,
    ),
    Entry(
        "nonlinearity",
        "Do scale and shift make better use of the non-linearity?",
        quick=45,
        full=80,
    ),
    Entry(
        "placement",
        "Where does the norm belong: before the activation or after, inside the branch or outside?",
        quick=65,
        full=140,
    ),
    Entry(
        "flow",
        "Do skips keep the gradient from vanishing?",
        quick=45,
        full=250,
    ),
    Entry(
        "degradation",
        "Why do deeper plain networks train worse: for want of the identity?",
        quick=110,
        full=650,
    ),
    Entry(
        "shattering",
        "Are gradients shattered with depth, and do skips mend them?",
        quick=85,
        full=290,
    ),
    Entry(
        "lesions",
        "Are residual networks ensembles of shallow ones?",
        quick=32,
        full=130,
    ),
    Entry(
        "rescaling",
        "Which technique brings which benefit, and how common are norms and skips?",
        quick=95,
        full=280,
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
