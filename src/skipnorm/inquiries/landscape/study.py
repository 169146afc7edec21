"""The networks whose landscapes are compared, at two scales. Read without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from skipnorm.inquiries.draws import Draws
from skipnorm.inquiries.inquiry import Scale
from skipnorm.inquiries.landscape.readings import initial_sharpness, slopes, symmetry, terrain
from skipnorm.inquiries.subjects import SEEDS, TASK, learner, taught
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.study import Study, Variant

__all__ = ["DEEP", "FULL", "QUICK", "RATE", "SHALLOW", "Size", "study", "study_of"]

RATE = 0.01
"""One small rate for all, at which each of them learns."""

SHALLOW, DEEP = 4, 16
"""In blocks: where a plain network learns without trouble, and where it nearly fails."""

_BATCH = 256


@dataclass(frozen=True)
class Size:
    """How many networks are trained, where they are read and how finely; smaller ones are for tests."""

    scale: Scale = "quick"
    seeds: Sequence[int] = SEEDS["quick"]
    at: tuple[int | str, ...] = (0, 20, "end")
    points: int = 13
    shallow: int = SHALLOW
    deep: int = DEEP
    width: int = 64
    draws: int = 4
    initial_depths: tuple[int, int] = (8, 26)
    batch: int = _BATCH


QUICK = Size()
FULL = Size("full", SEEDS["full"], (0, 20, 75, "end"), points=25)


def study(scale: Scale) -> Study:
    """The study of the inquiry `landscape`."""
    return study_of({"quick": QUICK, "full": FULL}[scale])


def study_of(size: Size) -> Study:
    """The same comparisons at any size."""
    variants = {**_trained(size), **_initial(size), **_symmetric()}
    return Study("landscape", variants, seeds=size.seeds, at=size.at)


def _trained(size: Size) -> dict[str, Variant]:
    """By name and depth in words: depths of a smaller size keep their names."""
    families = {
        "plain": (size.deep, size.shallow),
        "plain BN": (size.deep, size.shallow),
        "plain LN": (size.deep,),
        "SkipInit": (size.deep,),
        "residual BN": (size.deep,),
    }
    names = {size.deep: "deep", size.shallow: "shallow"}
    probes = partial(terrain, points=size.points)
    return {
        f"{names[depth]} {family}": taught(
            learner(family, depth, width=size.width),
            size.scale,
            rates=(RATE,),
            probes=(slopes if family == "plain LN" else probes,),
            batch=size.batch,
        )
        for family, depths in families.items()
        for depth in depths
    }


def _initial(size: Size) -> dict[str, Variant]:
    less, more = size.initial_depths
    families = {
        "plain": (less, more),
        "plain BN": (less, more),
        "plain LN": (more,),
        "residual": (more,),
        "residual BN": (more,),
    }
    return {
        f"initial {family} {8 if depth == less else 26}": Variant(
            Draws(learner(family, depth, width=size.width), size.draws),
            TASK,
            batch=size.batch * 2 if depth == less else size.batch // 2,
            probes=(initial_sharpness,),
        )
        for family, depths in families.items()
        for depth in depths
    }


def _symmetric() -> dict[str, Variant]:
    """A small plain network in double precision, for what holds to rounding."""
    return {
        "symmetry": Variant(
            Perceptron(depth=4, width=16), TASK, batch=64, dtype="float64", probes=(symmetry,)
        )
    }
