"""The networks that are compared, at two scales. Read without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from skipnorm.inquiries.inquiry import Scale
from skipnorm.inquiries.stability.populations import OnePerSample, SideBySide
from skipnorm.inquiries.stability.readings import (
    Readings,
    plain_stream,
    residual_stream,
    scaled_stream,
)
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.study import Study, Variant
from skipnorm.tasks import Gaussian

__all__ = ["FULL", "NF_SCALE", "QUICK", "Size", "study", "study_of"]

#: Alpha of the normaliser-free network, as in Brock et al. 2021.
NF_SCALE = 0.2


@dataclass(frozen=True)
class Size:
    """How large the networks are. The laws are those of wide networks and large batches.

    Widths, batches and depths follow the protocols under which each law is known to hold; a smaller
    size is for tests of the pipeline.
    """

    seeds: int = 20
    batches: tuple[int, ...] = (8, 16, 32, 64, 128)
    few_batches: tuple[int, ...] = (8, 32, 128)
    batch: int = 32
    width: int = 400
    depth: int = 20
    residual_width: int = 400
    residual_batch: int = 400
    residual_depth: int = 50
    stream_width: int = 300
    stream_batch: int = 256
    late_width: int = 500
    late_depth: int = 10
    nf_depth: int = 25
    draws: int = 500
    draws_width: int = 100
    draws_depth: int = 20
    panel: int = 3
    panel_width: int = 2000
    panel_batch: int = 32
    panel_depth: int = 10


QUICK = Size()
FULL = Size(
    seeds=40,
    batches=(8, 16, 32, 64, 128, 256, 512),
    few_batches=(8, 16, 32, 64, 128, 256, 512),
    width=500,
    depth=30,
    residual_width=500,
    residual_batch=500,
    residual_depth=100,
    stream_width=500,
    stream_batch=500,
    late_width=1000,
    nf_depth=50,
    draws=1000,
    panel=4,
)


def study(scale: Scale) -> Study:
    """The study of the inquiry `stability`."""
    return study_of({"quick": QUICK, "full": FULL}[scale])


def study_of(size: Size) -> Study:
    """The same comparisons at any size."""
    variants = {**_plain(size), **_residual(size), **_exact(), **_populations(size)}
    return Study("stability", variants, seeds=range(size.seeds), probes=Readings())


def _bare(**fields: Any) -> Perceptron:
    """Blocks alone, without stem and head, biases and epsilon: what the laws are about."""
    return Perceptron(stem=False, head=False, bias=False, affine=False, eps=0.0, **fields)


def _variant(network: Perceptron, batch: int, reduce: Any, dtype: str = "float32") -> Variant:
    return Variant(network, Gaussian(network.width), batch, dtype, reduce)


def _plain(size: Size) -> dict[str, Variant]:
    shape = {"width": size.width, "depth": size.depth}
    normed = {
        f"{name} BN B={batch}": (_bare(norm="batch", activation=activation, **shape), batch)
        for name, activation, batches in (
            ("relu", "relu", size.batches),
            ("linear", "identity", size.few_batches),
            ("tanh", "tanh", size.few_batches),
        )
        for batch in sorted({*batches, size.batch})
    }
    relu, small = _bare(**shape), _bare(initializer="lecun", **shape)
    chaotic = _bare(activation="tanh", **shape)
    others = {
        "relu": relu,
        "relu LN": replace(relu, norm="layer"),
        "relu RMS": replace(relu, norm="rms"),
        "small relu": small,
        "small relu BN": replace(small, norm="batch"),
        "large tanh": chaotic,
        "large tanh BN": replace(chaotic, norm="batch"),
    }
    both = normed | {name: (network, size.batch) for name, network in others.items()}
    return {name: _variant(network, batch, plain_stream) for name, (network, batch) in both.items()}


def _residual(size: Size) -> dict[str, Variant]:
    shape = {"width": size.stream_width, "residual": True}
    networks = {
        "residual BN": _bare(
            norm="batch", depth=size.residual_depth, width=size.residual_width, residual=True
        ),
        "residual": _bare(depth=size.depth, **shape),
        "act-norm-weight": _bare(
            norm="batch",
            order="act-norm-weight",
            initializer="lecun",
            depth=size.depth,
            **shape,
        ),
        "weight-norm-act": _bare(
            norm="batch",
            order="weight-norm-act",
            depth=size.late_depth,
            width=size.late_width,
            residual=True,
        ),
        "NF": _bare(
            initializer="nf", branch_scale=NF_SCALE, depth=size.nf_depth, width=256, residual=True
        ),
    }
    batches = {"NF": size.batch * 4, "residual BN": size.residual_batch}
    return {
        name: _variant(network, batches.get(name, size.stream_batch), residual_stream)
        for name, network in networks.items()
    }


def _exact() -> dict[str, Variant]:
    """Small networks in double precision, for what holds to rounding."""
    small = _bare(width=32, depth=8, residual=True)
    flows = {"small residual": small, "small residual BN": replace(small, norm="batch")}
    scaled = {
        "half shortcut, no branch": replace(small, shortcut_scale=0.5, initializer="rezero"),
        "half shortcut, BN branch": replace(small, shortcut_scale=0.5, norm="batch"),
        "0.9 shortcut, BN branch": replace(small, shortcut_scale=0.9, norm="batch"),
    }
    return {
        **{name: _variant(net, 16, residual_stream, "float64") for name, net in flows.items()},
        **{name: _variant(net, 16, scaled_stream, "float64") for name, net in scaled.items()},
    }


def _populations(size: Size) -> dict[str, Variant]:
    draws = OnePerSample(size.draws, size.draws_width, size.draws_depth)
    panel = SideBySide(size.panel, size.panel_width, size.panel_depth)
    across = Gaussian(size.panel * size.panel_width)
    return {
        "He draws": Variant(draws, Gaussian(size.draws_width), size.draws, reduce=plain_stream),
        f"He panel B={size.panel_batch}": Variant(
            panel, across, size.panel_batch, reduce=plain_stream
        ),
    }
