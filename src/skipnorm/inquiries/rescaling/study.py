"""Every technique in a plain and in a residual network: read at initialisation, and taught."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from skipnorm.inquiries.inquiry import Scale
from skipnorm.inquiries.rescaling.census import Families, census
from skipnorm.inquiries.rescaling.readings import in_training, mechanisms
from skipnorm.inquiries.rescaling.techniques import (
    KINDS,
    TECHNIQUES,
    Columns,
    Draws,
    named,
    recipe,
)
from skipnorm.studies.study import Study, Variant
from skipnorm.training import Training

__all__ = ["FULL", "QUICK", "Size", "study", "study_of"]


@dataclass(frozen=True)
class Size:
    """How much is drawn and taught; a smaller size is for tests of the pipeline."""

    seeds: int = 6
    draws: int = 4
    steps: int = 40
    rates: tuple[float, ...] = (0.03, 0.1, 0.3)
    batch: int = 64


QUICK = Size()
FULL = Size(seeds=10, steps=120, rates=(0.01, 0.03, 0.1, 0.3))


def study(scale: Scale) -> Study:
    """The study of the inquiry `rescaling`."""
    return study_of({"quick": QUICK, "full": FULL}[scale])


def study_of(size: Size) -> Study:
    """The same comparisons at any size."""
    variants = dict(_variants(size))
    variants["census"] = Variant(Families(), Columns(), batch=2, probes=(census,))
    return Study("rescaling", variants, seeds=range(size.seeds), at=("end",))


def _variants(size: Size) -> Iterator[tuple[str, Variant]]:
    training = Training(steps=size.steps, batch=size.batch, settings={"momentum": 0.9})
    for kind, technique in ((one, each) for one in KINDS for each in TECHNIQUES[one]):
        network = recipe(kind, technique)
        yield (
            named(kind, technique),
            Variant(
                Draws(network, size.draws),
                Columns(),
                batch=size.batch,
                probes=(mechanisms,),
            ),
        )
        yield (
            named(kind, technique, trained=True),
            Variant(
                network,
                Columns(),
                batch=size.batch,
                training=training,
                rates=size.rates,
                probes=(in_training,),
            ),
        )
