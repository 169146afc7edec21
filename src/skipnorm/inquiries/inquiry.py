"""One question, how it is asked, what is claimed about it, and what its answer looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from skipnorm.errors import ClaimError, nearest

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import xarray as xr

    from skipnorm.studies.study import Study
    from skipnorm.verdicts.claim import Claim

__all__ = ["WAYS", "Inquiry", "Scale"]

Scale = Literal["quick", "full", "paper"]
"""The demo; the essay whole, within 90 minutes on two cores; networks as published, for a GPU or a cluster."""


WAYS = ("supported", "refuted", "undecided")


@dataclass(frozen=True)
class Inquiry:
    """A question with the study that answers it, the claims it judges and the figures it draws.

    ``figures`` maps a name to a function from evidence to a plotly figure; ``captions`` says in
    words what each figure shows. ``study`` takes
    a scale, one of ``scales``. A value, not a base class: an inquiry module
    makes one and imports torch only inside the functions that need it.

    ``essay`` is what the essay says about the question, in one sentence; ``headline`` the claim whose ruling answers
    it first; ``answers`` the sentence that says what was found, for each way in which that ruling can come out. All
    are written before the run.

    Raises:
        ClaimError: a claim names a figure that is not drawn, a figure has no caption, the headline is no claim, or
            one of its rulings has no answer.
    """

    name: str
    question: str
    method: str
    claims: tuple[Claim, ...]
    figures: Mapping[str, Callable[[xr.Dataset], go.Figure]]
    study: Callable[[Scale], Study]
    captions: Mapping[str, str]
    essay: str = ""
    headline: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    scales: tuple[Scale, ...] = ("quick", "full")

    def __post_init__(self) -> None:
        """Refuse claims without a figure and figures without a caption."""
        for claim in self.claims:
            if claim.figure not in self.figures:
                raise ClaimError(
                    f"The claim {claim.name!r} of the inquiry {self.name!r} is shown by no "
                    f"figure: {nearest(claim.figure, self.figures)}"
                )
        for figure in self.figures:
            if not self.captions.get(figure, "").strip():
                raise ClaimError(
                    f"The figure {figure!r} of the inquiry {self.name!r} has no caption: "
                    f"expected a sentence in captions[{figure!r}], found none. Say what it shows."
                )
        names = [claim.name for claim in self.claims]
        if len(set(names)) != len(names):
            raise ClaimError(
                f"Two claims of the inquiry {self.name!r} share a name: expected distinct names, "
                f"found {names}. Rename one."
            )
        if self.headline:
            self._check_headline(names)

    def _check_headline(self, names: list[str]) -> None:
        if self.headline not in names:
            raise ClaimError(
                f"The headline of the inquiry {self.name!r} is no claim of it: "
                f"{nearest(self.headline, names)}"
            )
        silent = [way for way in WAYS if not self.answers.get(way, "").strip()]
        if silent or not self.essay.strip():
            raise ClaimError(
                f"The inquiry {self.name!r} has a headline: expected what the essay says, and an answer for every "
                f"ruling, found none for {', '.join(silent) or 'the essay'}."
            )
