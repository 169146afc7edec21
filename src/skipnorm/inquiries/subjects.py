"""The learners that several inquiries share: equal variants have one training key, and are trained once.

Perceptrons on scikit-learn's digits, 64 pixels and ten classes: small enough for eight seeds, deep enough that plain
ones fail. A depth is a number of blocks, each of one matrix; stem and head come besides. Read without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skipnorm.inquiries.inquiry import Scale
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.study import Variant
from skipnorm.tasks import Digits
from skipnorm.training import Training

__all__ = ["FAMILIES", "RATES", "SEEDS", "TASK", "learner", "taught", "teaching"]

TASK = Digits(flat=True)

RATES = (0.01, 0.03, 0.1, 0.3)
"""The grid on which learners are compared, each at its own best."""

SEEDS: Mapping[Scale, range] = {"quick": range(6), "full": range(10), "paper": range(10)}
"""How often a learner is trained."""

_STEPS: Mapping[Scale, int] = {"quick": 150, "full": 300, "paper": 300}

FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "plain BN": {"norm": "batch"},
    "plain LN": {"norm": "layer"},
    "residual": {"residual": True},
    "residual BN": {"residual": True, "norm": "batch"},
    "residual LN": {"residual": True, "norm": "layer"},
    "SkipInit": {"residual": True, "initializer": "skipinit"},
    "ReZero": {"residual": True, "initializer": "rezero"},
    "Fixup": {"residual": True, "initializer": "fixup"},
}
"""What tells the families apart, as fields of the recipe."""


def learner(family: str, depth: int, **fields: Any) -> Perceptron:
    """The network of a family with so many blocks.

    >>> learner("residual BN", 16)
    Perceptron(depth=16, residual=True, norm='batch')
    """
    return Perceptron(depth=depth, **{**FAMILIES[family], **fields})


def teaching(scale: Scale, **fields: Any) -> Training:
    """How learners are trained: plain SGD with momentum 0.9 at a constant rate, batches of 128."""
    settings = {"steps": _STEPS[scale], "batch": 128, "settings": {"momentum": 0.9}}
    return Training(**{**settings, **fields})


def taught(network: Any, scale: Scale, **fields: Any) -> Variant:
    """A network taught so at each of the usual rates; fields of the variant can be set otherwise."""
    usual: dict[str, Any] = {"training": teaching(scale), "rates": RATES, "probes": ()}
    return Variant(network, TASK, **{**usual, **fields})
