"""The networks that are compared, at two scales. Read without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from skipnorm.inquiries.draws import Draws
from skipnorm.inquiries.inquiry import Scale
from skipnorm.inquiries.placement.networks import Frozen
from skipnorm.inquiries.placement.readings import stream
from skipnorm.inquiries.subjects import SEEDS, TASK, learner, taught, teaching
from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.studies.study import Study, Variant
from skipnorm.tasks import Gaussian, Mnist1d

__all__ = [
    "AFTER",
    "BLOCKS",
    "DEEP",
    "DRAWN_BATCH",
    "FROZEN_RATES",
    "PLACEMENTS",
    "Size",
    "study",
    "study_of",
]

PLACEMENTS = (
    "original",
    "norm-after-addition",
    "act-before-addition",
    "act-only-preactivation",
    "full-preactivation",
)
"""The five of He et al. 2016, figure 4."""

AFTER = "weight-act-norm"

_RATES = (0.03, 0.1)
_CONV_RATES = (0.3, 1.0)
_RESIDUAL_RATES = (0.1, 0.3)
FROZEN_RATES = (0.03, 0.06, 0.12, 0.24)
"""By factors of two, since what is asked is where training stops being stable."""

BLOCKS = 4
DEEP = 16
DRAWN_BATCH = 200
"""On how many samples drawn networks are read."""


@dataclass(frozen=True)
class Size:
    """How large the networks are; smaller ones are for tests of the pipeline."""

    scale: Scale = "quick"
    seeds: int = 6
    draws: int = 4
    width: int = 250
    blocks: int = 10
    layers: int = 16
    steps: int = 0
    """Updates, where they shall be others than those of the scale."""


def study(scale: Scale) -> Study:
    """The study of the inquiry `placement`."""
    return study_of(Size(scale, len(SEEDS[scale])))


def study_of(size: Size) -> Study:
    """The same comparisons at any size."""
    variants = {**_plain(size), **_convnets(size), **_frozen(size), **_residual(size)}
    return Study("placement", variants | _drawn(size), seeds=range(size.seeds))


def _taken(
    size: Size, network: Any, rates: tuple[float, ...] = _RATES, task: Any = TASK, **fields: Any
) -> Variant:
    """A network that is trained; fields of its training can be set otherwise."""
    steps = {"steps": size.steps} if size.steps else {}
    training = teaching(size.scale, **steps, **fields)
    return replace(taught(network, size.scale, training=training, rates=rates), task=task)


def _plain(size: Size) -> dict[str, Variant]:
    """Perceptrons with the norm before the activation or after it; `bare` is without scale and shift."""
    found = {}
    for place, order in (("before", None), ("after", AFTER)):
        found[place] = _taken(size, learner("plain BN", 4, order=order), (*_RATES, 0.3))
        found[f"{place} bare"] = _taken(size, learner("plain BN", 4, order=order, affine=False))
        found[f"deep {place}"] = _taken(size, learner("plain BN", DEEP, order=order))
    return found


def _convnets(size: Size) -> dict[str, Variant]:
    """Small convolutional networks on series."""
    return {
        f"convnet {place}": _taken(
            size,
            ConvNet(depth=3, width=16, kernel=5, norm="batch", order=order),
            _CONV_RATES,
            task=Mnist1d(),
            batch=64,
            schedule="cosine",
        )
        for place, order in (("before", None), ("after", AFTER))
    }


def _frozen(size: Size) -> dict[str, Variant]:
    """The perceptrons of four layers with statistics that stand still from the start."""
    return {
        f"frozen {place}": _taken(
            size, Frozen(learner("plain BN", 4, order=order), TASK), FROZEN_RATES
        )
        for place, order in (("before", None), ("after", AFTER))
    }


def _residual(size: Size) -> dict[str, Variant]:
    """The five placements, trained."""
    return {
        order: _taken(
            size,
            learner("residual BN", BLOCKS, order=order),
            _RESIDUAL_RATES,
            schedule="cosine",
        )
        for order in PLACEMENTS
    }


def _drawn(size: Size) -> dict[str, Variant]:
    """Blocks alone, without stem, head, biases and epsilon, as they are drawn."""

    def drawn(depth: int, **fields: Any) -> Variant:
        network = Perceptron(
            stem=False,
            head=False,
            bias=False,
            affine=False,
            eps=0.0,
            norm="batch",
            width=size.width,
            depth=depth,
            **fields,
        )
        task = Gaussian(size.width)
        return Variant(Draws(network, size.draws), task, DRAWN_BATCH, probes=(stream,))

    plain = {"before": None, "after": AFTER}
    return {
        **{f"{name}, drawn": drawn(size.layers, order=order) for name, order in plain.items()},
        **{
            f"{order}, drawn": drawn(size.blocks, residual=True, order=order)
            for order in PLACEMENTS
        },
    }
