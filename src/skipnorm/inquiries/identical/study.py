"""The networks that are compared, at two scales. Read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from skipnorm.inquiries.draws import Draws
from skipnorm.inquiries.identical.readings import alike, by_depth, coupling, two_moments
from skipnorm.inquiries.inquiry import Scale
from skipnorm.inquiries.shift.networks import Noised
from skipnorm.inquiries.shift.readings import inputs
from skipnorm.inquiries.subjects import FAMILIES, SEEDS, TASK, learner, taught, teaching
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.study import Study, Variant

if TYPE_CHECKING:
    pass

__all__ = [
    "BAR",
    "BY_BATCH",
    "LEARNERS",
    "NOISY",
    "RATE",
    "Size",
    "study",
    "study_of",
    "within",
]

BAR = 0.05
"""The training loss at which generalisation is compared."""

RATE, NOISY_RATE = 0.03, 0.1
"""Of all learners but the one with noise, which needs more to come below the bar, and its control."""

NOISY, CONTROL = "plain BN, noise", "plain BN, rate 0.1"
"""Batch norm with noise behind it, and without, both at the rate of the former."""

LEARNERS: tuple[str, ...] = (*FAMILIES, "plain RMS", "plain GN", "plain centred")
"""Those over which identity and generalisation are compared; the noisy one stands apart."""

BY_BATCH = ("plain BN", "residual BN", "plain centred")
"""Those of them whose samples see each other."""

_OTHERS = {"plain RMS": "rms", "plain GN": "group", "plain centred": "centre"}


_EARLY = 150
"""Updates within which the bar is met, however long a training goes on."""


@dataclass(frozen=True)
class Size:
    """How deep and how many the networks are."""

    seeds: range = SEEDS["quick"]
    scale: Scale = "quick"
    steps: int = 150
    depth: int = 4
    initial_depth: int = 16
    draws: int = 4
    samples: int = 512


SIZES: Mapping[Scale, Size] = {
    "quick": Size(),
    "full": Size(seeds=SEEDS["full"], scale="full", steps=300),
}


def rate_of(variant: str) -> float:
    """The rate at which a learner is trained.

    >>> rate_of("plain BN"), rate_of(NOISY)
    (0.03, 0.1)
    """
    return NOISY_RATE if variant in (NOISY, CONTROL) else RATE


def within(steps: int) -> tuple[int, ...]:
    """Six moments by growing distances, between which every learner comes below the bar; and the end.

    >>> within(150), within(300)
    ((0, 15, 30, 60, 90, 150), (0, 15, 30, 60, 90, 150, 300))
    """
    early = min(steps, _EARLY)
    return tuple(sorted({*(early * part // 10 for part in (0, 1, 2, 4, 6, 10)), steps}))


def study(scale: Scale) -> Study:
    """The study of the inquiry `identical`."""
    return study_of(SIZES[scale])


def study_of(size: Size) -> Study:
    """The same comparisons at any size."""
    variants = {**_learners(size), **_initial(size)}
    return Study("identical", variants, seeds=size.seeds, at=within)


def _learners(size: Size) -> dict[str, Variant]:
    training = teaching(size.scale, steps=size.steps)
    make = partial(taught, scale=size.scale, training=training, batch=256, rates=(RATE,))
    exact: dict[str, tuple[Any, ...]] = {
        "plain": (coupling,),
        "plain LN": (coupling,),
        "plain BN": (coupling, two_moments),
    }
    found = {}
    for name in LEARNERS:
        network = (
            learner(name, size.depth)
            if name in FAMILIES
            else learner("plain", size.depth, norm=_OTHERS[name])
        )
        found[name] = make(network, probes=(inputs, alike, *exact.get(name, ())))
    noisy = Noised(learner("plain BN", size.depth))
    found[NOISY] = make(noisy, probes=(inputs, alike), rates=(NOISY_RATE,))
    found[CONTROL] = make(learner("plain BN", size.depth), probes=(), rates=(NOISY_RATE,))
    return found


def _initial(size: Size) -> dict[str, Variant]:
    """Networks as they are drawn, on the same digits."""
    return {
        f"initial {activation}{name}": Variant(
            Draws(
                Perceptron(
                    depth=size.initial_depth,
                    norm=norm,
                    activation=activation,
                    initializer="he" if activation == "relu" else "lecun",
                ),
                size.draws,
            ),
            TASK,
            size.samples,
            probes=by_depth,
        )
        for activation in ("relu", "tanh")
        for name, norm in (("", "none"), (" BN", "batch"), (" LN", "layer"))
        if (activation, norm) != ("tanh", "layer")
    }
