"""A claim: a sentence that could come out false, with the prediction that would show it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import xarray as xr

from skipnorm.errors import ClaimError, nearest
from skipnorm.evidence.summaries import Scale
from skipnorm.verdicts.predictions import Equivalent, Prediction

Side = Literal["essay", "paper", "counter", "derived"]


@dataclass(frozen=True)
class Claim:
    """A sentence, who says it, what to measure for it, and what should come out.

    Args:
        name: a short identifier.
        sentence: what is claimed, as a sentence that evidence can contradict.
        source: who says it: author, year, equation or figure.
        side: `"essay"`, `"paper"`, `"counter"` (a counter-claim) or `"derived"`.
        effect: evidence in, one number per seed out: a DataArray over `seed` and, where the
            claim has several cases that must all hold, `case`. Compare variants within a seed
            (a difference, a ratio), so that the comparison is paired.
        prediction: `AtLeast`, `AtMost`, `Near`, `Equivalent` or `Identity`.
        scale: `"linear"`, or `"log"` for what multiplies: losses, gains, ratios.
        figure: the name of the figure that shows it, in the section that holds the verdict.
        caveats: what a reader should know before believing the ruling.
        unit: the unit of the effect; empty for a pure number.
        topic: what it is about, in a few words; rival claims of one topic stand side by side.

    Raises:
        ClaimError: an empty sentence, an unknown side, scale or prediction, or a margin around 0
            on the log scale, which has no 0.
    """

    name: str
    sentence: str
    source: str
    side: Side
    effect: Callable[[xr.Dataset], xr.DataArray]
    prediction: Prediction
    scale: Scale = "linear"
    figure: str = ""
    caveats: tuple[str, ...] = ()
    unit: str = ""
    topic: str = ""

    def __post_init__(self) -> None:
        """Refuse what could not be judged or attributed."""
        for field in ("name", "sentence", "source"):
            if not getattr(self, field).strip():
                raise ClaimError(f"claim {self.name!r} has an empty {field}; write it down")
        for word, choices in ((self.side, get_args(Side)), (self.scale, get_args(Scale))):
            if word not in choices:
                raise ClaimError(f"claim {self.name!r}: {nearest(word, choices)}")
        if not isinstance(self.prediction, Prediction):
            raise ClaimError(
                f"claim {self.name!r}: expected AtLeast, AtMost, Near, Equivalent or Identity as "
                f"prediction, found {self.prediction!r}"
            )
        if (
            self.scale == "log"
            and isinstance(self.prediction, Equivalent)
            and self.prediction.margin is not None
        ):
            raise ClaimError(
                f"claim {self.name!r} is on the log scale, where 0 does not exist, and allows a "
                f"difference of {self.prediction.margin}; use a ratio as the effect and "
                "Equivalent(factor=...), or scale='linear'"
            )
