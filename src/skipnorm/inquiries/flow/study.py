"""The networks that are compared, at two scales. Read without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from skipnorm.inquiries.draws import Draws
from skipnorm.inquiries.flow.networks import Cancelling, Rerouted
from skipnorm.inquiries.flow.readings import lengths, shares, stream
from skipnorm.inquiries.inquiry import Scale
from skipnorm.inquiries.subjects import SEEDS, TASK, learner
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.study import Study, Variant
from skipnorm.tasks import Gaussian
from skipnorm.training import Training

__all__ = ["FULL", "QUICK", "Size", "study", "study_of"]


TRIED = {
    "identity": 0.1,
    "no shortcut": 0.1,
    "half": 0.03,
    "shortcut gate": 0.03,
    "exclusive gate": 0.3,
    "projection": 0.03,
    "dropout": 0.1,
    "shallow identity": 0.1,
    "shallow half": 0.1,
    "shallow projection": 0.1,
}
"""The rate of 0.03, 0.1 and 0.3 with the smallest mean validation loss on seeds 1000 and 1001, at quick scale."""


@dataclass(frozen=True)
class Size:
    """How large the networks are, how long they learn, and how many are drawn for each seed.

    Without ``rates`` each shortcut learns at the one that was tried beforehand.
    """

    seeds: int = len(SEEDS["quick"])
    depth: int = 32
    shallow: int = 4
    steps: int = 50
    batch: int = 64
    rates: tuple[float, ...] = ()
    draws: int = 4
    width: int = 64
    path_blocks: int = 12


QUICK = Size()
FULL = Size(
    seeds=len(SEEDS["full"]),
    steps=80,
    rates=(0.03, 0.1, 0.3),
    width=128,
    path_blocks=16,
)


def study(scale: Scale) -> Study:
    """The study of the inquiry `flow`."""
    return study_of({"quick": QUICK, "full": FULL}[scale])


def study_of(size: Size) -> Study:
    """The same comparisons at any size."""
    return Study("flow", {**_initial(size), **_table(size)}, seeds=range(size.seeds), probes=())


def _bare(size: Size, **fields: Any) -> Perceptron:
    """Blocks alone, without stem and head, biases and epsilon: what the laws are about."""
    return Perceptron(
        width=size.width,
        residual=True,
        stem=False,
        head=False,
        bias=False,
        affine=False,
        eps=0.0,
        **fields,
    )


def _initial(size: Size) -> dict[str, Variant]:
    """Networks that are not trained: several draws for every seed."""
    deep = _bare(size, depth=size.depth)
    normed = replace(deep, norm="batch")
    skipinit = replace(deep, initializer="skipinit")
    streams = {
        "residual BN": normed,
        "half, SkipInit": replace(skipinit, shortcut_scale=0.5),
        "half, BN": replace(normed, shortcut_scale=0.5),
        "ReLU after": replace(normed, order="original"),
    }
    paths = {"residual": deep, "residual BN": normed, "SkipInit": skipinit}
    task = Gaussian(size.width)
    found = {
        f"at start: {name}": Variant(Draws(net, size.draws), task, 128, probes=(stream,))
        for name, net in streams.items()
    }
    found |= {
        f"paths: {name}": Variant(
            Draws(replace(net, depth=size.path_blocks), size.draws), task, 128, probes=(lengths,)
        )
        for name, net in paths.items()
    }
    cancelling = Cancelling()
    found["branch = -identity"] = Variant(
        cancelling, Gaussian(cancelling.width), 32, dtype="float64", probes=(stream,)
    )
    return found


def _table(size: Size) -> dict[str, Variant]:
    """The shortcuts of He et al. 2016, table 1, on perceptrons with batch norm; two of them in shallow ones."""
    deep, shallow = (learner("residual BN", depth) for depth in (size.depth, size.shallow))
    shortcuts: dict[str, Perceptron | Rerouted] = {
        "identity": deep,
        "no shortcut": replace(deep, shortcut_scale=0.0),
        "half": replace(deep, shortcut_scale=0.5),
        "shortcut gate": Rerouted(deep, "shortcut gate", -6.0),
        "exclusive gate": Rerouted(deep, "exclusive gate", -6.0),
        "projection": Rerouted(deep, "projection"),
        "dropout": Rerouted(deep, "dropout"),
        "shallow identity": shallow,
        "shallow half": replace(shallow, shortcut_scale=0.5),
        "shallow projection": Rerouted(shallow, "projection"),
    }
    taught = {"momentum": 0.9, "foreach": True}
    training = Training(steps=size.steps, batch=size.batch, settings=taught)
    unread = ("dropout", "shallow identity", "shallow half", "shallow projection")
    read: dict[str, Any] = {name: () if name in unread else (stream,) for name in shortcuts}
    read["identity"] = (stream, shares)
    return {
        name: Variant(
            net, TASK, training=training, rates=size.rates or (TRIED[name],), probes=read[name]
        )
        for name, net in shortcuts.items()
    }
