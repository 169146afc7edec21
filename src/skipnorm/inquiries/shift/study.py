"""The networks that are compared, at two scales. Read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from skipnorm.inquiries.inquiry import Scale
from skipnorm.inquiries.shift.networks import Noised
from skipnorm.inquiries.shift.readings import gradients, inputs, next_step, output_means
from skipnorm.inquiries.shift.tasks import LinearMap
from skipnorm.inquiries.subjects import SEEDS, TASK
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.study import Study, Variant
from skipnorm.training import Training

__all__ = ["LAYERS", "RATES", "STEPS", "Size", "quarters", "rate_of", "study", "study_of"]

RATES = (0.1, 0.3, 1.0)
"""The grid on which noise is compared, each network at its own best."""

STEPS = (0.03, 0.1)
"""The rates at which shift is read of networks trained at just these."""

LAYERS = (1, 9, 17, 24)
"""Of the deep linear network: those of Santurkar et al. 2018, and the first."""

SIGMOID, LINEAR = 1.0, 1e-7
"""The rates of the networks that have but one: at which the sigmoids without norm learn, and the published one."""


@dataclass(frozen=True)
class Size:
    """How long networks are trained, how often, and how large the linear ones are."""

    seeds: range = SEEDS["quick"]
    steps: int = 200
    sigmoid_steps: int = 400
    linear_steps: int = 600
    linear_samples: int = 1000
    depth: int = 10


SIZES: Mapping[Scale, Size] = {
    "quick": Size(),
    "full": Size(seeds=SEEDS["full"], steps=300, sigmoid_steps=1600, linear_steps=2000),
}


def quarters(steps: int) -> tuple[int, ...]:
    """The beginning, the end, and three steps between.

    >>> quarters(16)
    (0, 4, 8, 12, 16)
    """
    return tuple(steps * part // 4 for part in range(5))


def rate_of(variant: str) -> float:
    """The rate of a variant that has but one.

    >>> rate_of("sigmoid BN"), rate_of("BN, rate 0.03")
    (1.0, 0.03)
    """
    if variant.startswith("sigmoid"):
        return SIGMOID
    return LINEAR if variant.startswith("linear") else float(variant.rpartition("rate ")[2])


def study(scale: Scale) -> Study:
    """The study of the inquiry `shift`."""
    return study_of(SIZES[scale])


def study_of(size: Size) -> Study:
    """The same comparisons at any size."""
    variants = {**_sigmoids(size), **_rectifiers(size), **_linear(size)}
    return Study("shift", variants, seeds=size.seeds, at=quarters)


def _bare(**fields: Any) -> Perceptron:
    return Perceptron(stem=False, **fields)


def _sigmoids(size: Size) -> dict[str, Variant]:
    """Three layers of sigmoids in batches of 60, as in Ioffe & Szegedy 2015, figure 1."""
    plain = _bare(depth=3, activation="sigmoid", initializer="lecun")
    training = Training(steps=size.sigmoid_steps, batch=60)
    return {
        name: Variant(network, TASK, 256, training=training, rates=(SIGMOID,), probes=(inputs,))
        for name, network in {
            "sigmoid": plain,
            "sigmoid BN": replace(plain, norm="batch"),
        }.items()
    }


def _rectifiers(size: Size) -> dict[str, Variant]:
    """Ten layers by plain gradient descent: over a grid of rates, and at two of them looked at closely."""
    plain = _bare(depth=size.depth)
    normed = replace(plain, norm="batch")
    training = Training(steps=size.steps, batch=128)
    families: dict[str, Any] = {
        "plain": plain,
        "BN": normed,
        "noisy BN": Noised(normed),
        "noise, no BN": Noised(plain),
    }
    found = {
        name: Variant(network, TASK, training=training, rates=RATES, probes=())
        for name, network in families.items()
    }
    for name in ("plain", "BN"):
        for rate in STEPS:
            probes = (
                inputs,
                partial(gradients, step=rate),
                partial(next_step, step=rate),
                output_means,
            )
            found[f"{name}, rate {rate}"] = replace(found[name], rates=(rate,), probes=probes)
    found["noisy BN, rate 0.1"] = replace(
        found["noisy BN"], rates=(0.1,), probes=(partial(next_step, step=0.1),)
    )
    return found


def _linear(size: Size) -> dict[str, Variant]:
    """25 linear layers of 10 x 10, as in Santurkar et al. 2018, figure 3."""
    plain = _bare(
        inputs=10,
        outputs=10,
        width=10,
        depth=24,
        activation="identity",
        initializer="glorot",
        bias=False,
    )
    training = Training(steps=size.linear_steps, batch=size.linear_samples)
    probes = (partial(gradients, step=LINEAR, layers=LAYERS), output_means)
    return {
        name: Variant(
            network,
            LinearMap(samples=size.linear_samples),
            size.linear_samples,
            training=training,
            rates=(LINEAR,),
            probes=probes,
        )
        for name, network in {
            "linear": plain,
            "linear BN": replace(plain, norm="batch"),
        }.items()
    }
