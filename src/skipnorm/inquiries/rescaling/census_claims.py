"""What the essay says about how common norms and skips are, judged over families of architectures."""

from __future__ import annotations

from skipnorm.inquiries.rescaling.effects import share_with
from skipnorm.verdicts import AtLeast, AtMost, Claim

__all__ = ["CENSUS"]

_FAMILIES = (
    "What stands for seeds are architecture families: those of the library `transformers` that are built in our tests, "
    "which were chosen for their different sites, and not at random.",
    "A small configuration of each; variants of one family count once.",
)
_TOPIC = "how common they are"

CENSUS = (
    Claim(
        name="most-have-norms",
        sentence="Rescaling (as normalisation) appears in most neural networks: in more than half of all families.",
        source="The essay, first version, the opening",
        side="essay",
        effect=lambda evidence: share_with(evidence, "norms"),
        prediction=AtLeast(0.5),
        figure="census",
        topic=_TOPIC,
        caveats=_FAMILIES,
    ),
    Claim(
        name="most-have-skips",
        sentence="Skip connections appear in most neural networks: in more than half of all families.",
        source="The essay, first version, the opening",
        side="essay",
        effect=lambda evidence: share_with(evidence, "identity", "projection", "concat"),
        prediction=AtLeast(0.5),
        figure="census",
        topic=_TOPIC,
        caveats=_FAMILIES,
    ),
    Claim(
        name="most-have-batch-norm",
        sentence="Batch norm in particular is in most networks, as one of the two most important elements should be.",
        source="The essay, second version, the opening",
        side="essay",
        effect=lambda evidence: share_with(evidence, "batch"),
        prediction=AtLeast(0.5),
        figure="census",
        topic="which norm they have",
        caveats=_FAMILIES,
    ),
    Claim(
        name="few-have-batch-norm",
        sentence="Batch norm is in less than half of the families: layer norm and its kin have taken its place.",
        source="Derived: Transformers, which have layer or RMS norm, are most of the library",
        side="counter",
        effect=lambda evidence: share_with(evidence, "batch"),
        prediction=AtMost(0.5),
        figure="census",
        topic="which norm they have",
        caveats=_FAMILIES,
    ),
)
