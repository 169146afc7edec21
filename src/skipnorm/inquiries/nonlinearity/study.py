"""The networks that are compared, at two scales. Read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from skipnorm.inquiries.draws import Draws
from skipnorm.inquiries.inquiry import Scale
from skipnorm.inquiries.nonlinearity.networks import Gained, NormsOnly
from skipnorm.inquiries.nonlinearity.readings import growth, indices, live, units
from skipnorm.inquiries.subjects import SEEDS, learner, taught, teaching
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.study import Study, Variant
from skipnorm.tasks import Gaussian

__all__ = [
    "GAINS",
    "GROWTH_BATCH",
    "LAYERS",
    "SHIFTS",
    "SIGMOID_RATES",
    "Size",
    "study",
    "study_of",
]

GAINS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
SHIFTS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Where the non-linearity index of one unit is compared with its integral."""

LAYERS = (1, 2, 3, 4, 6, 8, 10, 11, 15, 20, 21, 30, 40, 50)
"""Which layers of a deep drawn network are read."""

SIGMOID_RATES = (0.03, 0.3, 3.0)
"""From far too small to far too large for a sigmoid network: nowhere between does it learn without norm."""

_RATES = (0.03, 0.1, 0.3)
GROWTH_BATCH = 16


@dataclass(frozen=True)
class Size:
    """How large the networks are; smaller ones are for tests of the pipeline."""

    scale: Scale = "quick"
    seeds: int = 6
    draws: int = 4
    width: int = 300
    depth: int = 50
    batch: int = 256
    growth_width: int = 200
    growth_depth: int = 20
    one_layer: int = 4096
    steps: int = 0
    """Updates, where they shall be others than those of the scale."""


def study(scale: Scale) -> Study:
    """The study of the inquiry `nonlinearity`."""
    return study_of(Size(scale, len(SEEDS[scale])))


def study_of(size: Size) -> Study:
    """The same comparisons at any size."""
    variants = {**_learners(size), **_layers(size), **_draws(size), **_growths(size)}
    return Study("nonlinearity", variants, seeds=range(size.seeds))


def _learners(size: Size) -> dict[str, Variant]:
    """Networks that are trained; `bare` is without scale and shift."""

    def taken(network: Any, *probes: Any, rates: tuple[float, ...] = _RATES) -> Variant:
        steps = {"steps": size.steps} if size.steps else {}
        training = teaching(size.scale, **steps)
        return taught(network, size.scale, training=training, batch=512, probes=probes, rates=rates)

    sigmoid: dict[str, Any] = {"depth": 6, "activation": "sigmoid", "initializer": "lecun"}
    return {
        "sigmoid": taken(learner("plain", **sigmoid), rates=SIGMOID_RATES),
        "sigmoid BN": taken(learner("plain BN", **sigmoid), units, live),
        "sigmoid BN bare": taken(learner("plain BN", affine=False, **sigmoid), units, live),
        "ReLU BN": taken(learner("plain BN", 4), units),
        "ReLU BN bare": taken(learner("plain BN", 4, affine=False), units),
        "deep ReLU": taken(learner("plain", 16), units, rates=(0.01, 0.03)),
        "deep ReLU BN": taken(learner("plain BN", 16), units, rates=(0.01, 0.03)),
        "norms only, 4": taken(NormsOnly(learner("residual BN", 4)), rates=(0.3, 1.0)),
        "norms only, 16": taken(NormsOnly(learner("residual BN", 16)), rates=(0.3, 1.0)),
    }


def _bare(width: int, depth: int, **fields: Any) -> Perceptron:
    """Blocks alone, without stem, head, biases and epsilon: what laws are about."""
    return Perceptron(
        stem=False, head=False, bias=False, eps=0.0, width=width, depth=depth, **fields
    )


def _layers(size: Size) -> dict[str, Variant]:
    """One layer of units whose input is exactly Gaussian, in stretches of 16 with one gain or shift each."""
    found = {}
    for name, cases in (("sigmoid", GAINS), ("tanh", GAINS), ("relu", SHIFTS)):
        layer = _bare(16 * len(cases), 1, norm="batch", activation=name)
        network = (
            Gained(layer, shifts=cases) if name == "relu" else Gained(layer, gains=tuple(cases))
        )
        found[f"{name} layer"] = Variant(
            network,
            Gaussian(layer.width),
            size.one_layer,
            probes=(partial(indices, cases=cases),),
        )
    return found


def _draws(size: Size) -> dict[str, Variant]:
    """Deep ReLU networks as they are drawn."""
    return {
        name: Variant(
            Draws(_bare(size.width, size.depth, norm=norm, affine=False), size.draws),
            Gaussian(size.width),
            size.batch,
            probes=(partial(units, layers=LAYERS),),
        )
        for name, norm in (("drawn", "none"), ("drawn BN", "batch"))
    }


def _growths(size: Size) -> dict[str, Variant]:
    """Networks whose norms put the activation more or less into its linear part."""
    width, depth = size.growth_width, size.growth_depth
    tanh = _bare(width, depth, norm="batch", activation="tanh")
    relu = _bare(width, depth, norm="batch")
    networks = {f"tanh, gain {gain:g}": Gained(tanh, (gain,)) for gain in (0.1, 1.0, 4.0)}
    networks |= {f"ReLU, shift {shift:g}": Gained(relu, shifts=(shift,)) for shift in (0.0, 2.0)}
    return {
        name: Variant(Draws(network, size.draws), Gaussian(width), GROWTH_BATCH, probes=(growth,))
        for name, network in networks.items()
    }
