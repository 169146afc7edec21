"""The networks that are compared, at two scales. Read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skipnorm.inquiries.degradation.networks import Deepened, Itself
from skipnorm.inquiries.degradation.readings import EXTRA, gradient_by_block, with_identities
from skipnorm.inquiries.inquiry import Scale
from skipnorm.inquiries.subjects import SEEDS, learner, taught, teaching
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.study import Study, Variant

__all__ = ["DEEP", "FULL", "QUICK", "SHALLOW", "Size", "name_of", "study", "study_of"]

SHALLOW, DEEP = 4, 32
"""Blocks of the two networks that are compared at every scale."""

_LINEAR = {"activation": "crelu", "initializer": "looks_linear"}
_BOTH = (SHALLOW, DEEP)


def _depths(
    plain: tuple[int, ...], normed: tuple[int, ...], residual: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    return {
        "plain": plain,
        "plain BN": normed,
        "plain LN": _BOTH,
        "residual": _BOTH,
        "residual BN": normed,
        "SkipInit": residual,
        "ReZero": residual,
        "Fixup": residual[:2],
        "looks linear": residual[:2],
    }


@dataclass(frozen=True)
class Size:
    """How many networks, how deep, taught how; a smaller size is for tests of the pipeline.

    ``rates``: of the learners; ``identity_rates``: of the layers that learn the identity, whose loss is flatter.
    """

    scale: Scale = "quick"
    seeds: int = 6
    depths: Mapping[str, tuple[int, ...]] = field(
        default_factory=lambda: _depths(_BOTH, _BOTH, (DEEP,))
    )
    rates: tuple[float, ...] = (0.01, 0.1)
    identity_rates: tuple[float, ...] = (0.1, 0.3, 1.0)
    fields: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


QUICK = Size(seeds=len(SEEDS["quick"]))
FULL = Size(
    scale="full",
    seeds=len(SEEDS["full"]),
    depths=_depths((SHALLOW, 16, DEEP), (SHALLOW, 16, DEEP, 64), _BOTH),
)


def study(scale: Scale) -> Study:
    """The study of the inquiry `degradation`."""
    return study_of({"quick": QUICK, "full": FULL}[scale])


def study_of(size: Size) -> Study:
    """The same comparisons at any size."""
    variants = {**_learners(size), **_deepened(size), **_identities(size)}
    return Study("degradation", variants, seeds=range(size.seeds))


def name_of(family: str, depth: int) -> str:
    """What a network of so many blocks is called.

    >>> name_of("plain", 4)
    'plain, 4'
    """
    return f"{family}, {depth}"


def _learners(size: Size) -> dict[str, Variant]:
    """Every family at its depths; the shallow ones are also lengthened by identities."""
    found = {}
    for family, depths in size.depths.items():
        for depth in depths:
            if family == "looks linear":
                network = learner("plain", depth, **_LINEAR, **size.fields)
            else:
                network = learner(family, depth, **size.fields)
            found[name_of(family, depth)] = _taught(
                network, size, probes=_read(family, depth), rates=size.rates
            )
    return found


def _read(family: str, depth: int) -> tuple[Any, ...]:
    if depth == SHALLOW and family in ("plain", "plain BN", "residual", "residual BN"):
        return (with_identities,)
    if depth == DEEP and family in ("plain", "plain BN", "residual BN"):
        return (gradient_by_block,)
    return ()


def _deepened(size: Size) -> dict[str, Variant]:
    """Plain networks of 4 blocks and 28 more, which begin as the identity or at random."""
    shallow = learner("plain", SHALLOW, **size.fields)
    before = teaching(size.scale, rate=size.rates[-1], **size.training)
    networks = {
        "identity, trained on": Deepened(shallow, EXTRA, "identity", before),
        "random, trained on": Deepened(shallow, EXTRA, "random", before),
        "identity, from scratch": Deepened(shallow, EXTRA, "identity"),
    }
    return {
        name: _taught(network, size, rates=size.rates, probes=())
        for name, network in networks.items()
    }


def _identities(size: Size) -> dict[str, Variant]:
    """Layers and blocks of two layers that are asked to hand on what they are given."""
    bare: dict[str, Any] = {"stem": False, "head": False, **size.fields}
    networks = {
        "plain layer": Perceptron(depth=1, **bare),
        "plain block": Perceptron(depth=2, **bare),
        "residual layer": Perceptron(depth=1, residual=True, **bare),
        "residual block": Perceptron(depth=1, residual=True, order="full-preactivation", **bare),
    }
    width = networks["plain layer"].width
    learning = {"rates": size.identity_rates, "probes": ()}
    found = {
        f"{name} learns": _taught(network, size, task=Itself(width), **learning)
        for name, network in networks.items()
    }
    signed = Itself(width, rectified=False)
    found["plain layer learns, signed"] = _taught(
        networks["plain layer"], size, task=signed, **learning
    )
    return found


def _taught(network: Any, size: Size, **fields: Any) -> Variant:
    training = teaching(size.scale, **size.training)
    if "task" in fields:
        return Variant(network, training=training, **fields)
    return taught(network, size.scale, training=training, **fields)
