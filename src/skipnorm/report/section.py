"""A section of the page: one question with its verdicts, its figures and its command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from skipnorm.errors import ClaimError, EvidenceError, nearest
from skipnorm.verdicts import Verdict


@dataclass(frozen=True)
class Section:
    """One inquiry as the page shows it.

    Args:
        name: a short identifier; also the section's anchor.
        question: what is asked, with its question mark.
        method: how it was measured, in a few lines; blank lines part paragraphs.
        command: the one line that reproduces it.
        verdicts: the rulings, in the order of reading.
        figures: figures by name; a claim points to one of them with `Claim.figure`.
        captions: what each figure shows, by the figure's name.
        alts: each figure in a sentence for someone who cannot see it; written from the axes and
            the series where left out.
        essay: what the essay says on the question, in one sentence; empty where it is not about the essay.
        headline: the name of the claim whose ruling answers the question first.
        answers: what was found, in one sentence for each ruling of the headline.
        evidence: where the page's reader finds the evidence, as an address relative to the page.

    Raises:
        EvidenceError: a caption or an alternative text without a figure.
        ClaimError: a claim that points to a figure which the section has not, or a headline that is no claim of it.
    """

    name: str
    question: str
    method: str
    command: str
    verdicts: Sequence[Verdict] = ()
    figures: Mapping[str, go.Figure] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    alts: Mapping[str, str] = field(default_factory=dict)
    essay: str = ""
    headline: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    evidence: str = ""

    def __post_init__(self) -> None:
        """Refuse words without a figure and claims that point nowhere."""
        for kind, words in (("caption", self.captions), ("alternative text", self.alts)):
            for name in words:
                if name not in self.figures:
                    raise EvidenceError(
                        f"section {self.name!r} has a {kind} without a figure: "
                        f"{nearest(name, self.figures)}"
                    )
        for verdict in self.verdicts:
            claim = verdict.claim
            if claim.figure and claim.figure not in self.figures:
                raise ClaimError(
                    f"claim {claim.name!r} points to a figure that section {self.name!r} has "
                    f"not: {nearest(claim.figure, self.figures)}"
                )
        names = [verdict.claim.name for verdict in self.verdicts]
        if self.headline and self.headline not in names:
            raise ClaimError(
                f"the headline of section {self.name!r} is no claim of it: "
                f"{nearest(self.headline, names)}"
            )
