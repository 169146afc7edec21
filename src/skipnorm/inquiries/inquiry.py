"""One question, how it is asked, what is claimed about it, and what its answer looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from skipnorm.errors import ClaimError, nearest

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import xarray as xr

    from skipnorm.studies.study import Study
    from skipnorm.verdicts.claim import Claim

__all__ = ["Inquiry", "Scale"]

Scale = Literal["quick", "full"]


@dataclass(frozen=True)
class Inquiry:
    """A question with the study that answers it, the claims it judges and the figures it draws.

    ``figures`` maps a name to a function from evidence to a plotly figure; ``captions`` says in
    words what each figure shows. ``study`` takes
    a scale, ``"quick"`` (the demo) or ``"full"``. A value, not a base class: an inquiry module
    makes one and imports torch only inside the functions that need it.

    Raises:
        ClaimError: a claim names a figure that is not drawn, or a figure has no caption.
    """

    name: str
    question: str
    method: str
    claims: tuple[Claim, ...]
    figures: Mapping[str, Callable[[xr.Dataset], go.Figure]]
    study: Callable[[Scale], Study]
    captions: Mapping[str, str]

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
