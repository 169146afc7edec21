"""The networks that lose blocks, at two scales. Read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from skipnorm.inquiries.inquiry import Scale
from skipnorm.inquiries.lesions.readings import of_plain, of_residual
from skipnorm.inquiries.subjects import SEEDS, learner, taught
from skipnorm.studies.study import Study

__all__ = ["FULL", "QUICK", "RATE", "RESIDUAL", "Size", "study", "study_of"]

RATE = 0.1
"""Of all three networks: on tried seeds each ends with its smallest validation loss of 0.03 and 0.1 there."""

RESIDUAL = ("residual BN", "SkipInit")


@dataclass(frozen=True)
class Size:
    """How deep the networks are, how long they learn, and how many blocks are chosen how often."""

    seeds: int
    teaching: Scale
    depth: int = 16
    draws: int = 10
    walks: int = 4


SIZES: Mapping[Scale, Size] = {
    "quick": Size(len(SEEDS["quick"]), "quick"),
    "full": Size(len(SEEDS["full"]), "full", draws=30, walks=10),
}
QUICK, FULL = SIZES["quick"], SIZES["full"]


def study(scale: Scale) -> Study:
    """The study of the inquiry `lesions`."""
    return study_of(SIZES[scale])


def study_of(size: Size) -> Study:
    """The same comparisons at any size."""
    residual = partial(of_residual, walks=size.walks, draws=size.draws)
    read = {**dict.fromkeys(RESIDUAL, residual), "plain BN": partial(of_plain, draws=size.draws)}
    variants = {
        family: taught(learner(family, size.depth), size.teaching, rates=(RATE,), probes=(probe,))
        for family, probe in read.items()
    }
    return Study("lesions", variants, seeds=range(size.seeds), at=("end",))
