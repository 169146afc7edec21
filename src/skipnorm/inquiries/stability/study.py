"""The networks that are compared, at two scales. Read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from skipnorm.inquiries.inquiry import Scale
from skipnorm.inquiries.stability.closed import closed_forms
from skipnorm.inquiries.stability.isometry import IsometrySize, isometries
from skipnorm.inquiries.stability.populations import OnePerSample, SideBySide
from skipnorm.inquiries.stability.readings import (
    PROBES,
    plain_stream,
    residual_stream,
    scaled_stream,
    sizes,
)
from skipnorm.inquiries.stability.slopes import mean_derivatives
from skipnorm.inquiries.stability.stacks import Stacked
from skipnorm.inquiries.subjects import RATES, SEEDS, learner, taught, teaching
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.study import Study, Variant
from skipnorm.tasks import Gaussian

__all__ = ["FULL", "NF_SCALE", "QUICK", "TANH_BIAS", "TANH_VARIANCES", "Size", "study", "study_of"]

#: Alpha of the normaliser-free network, as in Brock et al. 2021.
NF_SCALE = 0.2

#: Weight variances of tanh networks and the variance of their biases: ordered, critical, chaotic, more so.
TANH_VARIANCES, TANH_BIAS = (1.3, 1.761, 2.5, 4.0), 0.05

#: Learners whose derivatives are read.
TANH_DEPTH, TANH_RATES = 6, (0.03, 0.1)

#: Draws of what holds to rounding, where more would say nothing.
EXACT_DRAWS = 5


@dataclass(frozen=True)
class Size:
    """How large the networks are. The laws are those of wide networks and large batches.

    Widths, batches and depths follow the protocols under which each law is known to hold; a smaller
    size is for tests of the pipeline, as are ``steps`` of training other than the usual ones.
    """

    seeds: int = 20
    batches: tuple[int, ...] = (8, 32, 128)
    linear_batches: tuple[int, ...] = (8, 32)
    tanh_batches: tuple[int, ...] = (32,)
    batch: int = 32
    width: int = 400
    depth: int = 20
    residual_width: int = 350
    residual_batch: int = 350
    residual_depth: int = 25
    stream_width: int = 300
    stream_batch: int = 256
    late_width: int = 500
    late_depth: int = 10
    nf_width: int = 256
    nf_depth: int = 12
    nf_batch: int = 128
    draws: int = 500
    draws_width: int = 100
    draws_depth: int = 20
    panel: int = 4
    panel_width: int = 1400
    panel_batch: int = 32
    panel_depth: int = 8
    isometry: IsometrySize = field(default_factory=IsometrySize)
    scale: Scale = "quick"
    depths: tuple[int, ...] = (4, 32, 64)
    learners: int = len(SEEDS["quick"])
    #: Of the learners, by family.
    rates: Mapping[str, tuple[float, ...]] = field(
        default_factory=lambda: {"plain": (0.01, 0.03), "plain BN": (0.03, 0.1)}
    )
    steps: int = 0
    #: Rates at the largest depth; none stands for those of the others.
    deepest_rates: Mapping[str, tuple[float, ...]] = field(
        default_factory=lambda: {"plain": (0.01,), "plain BN": (0.1,)}
    )


QUICK = Size()
FULL = Size(
    seeds=30,
    batches=(8, 16, 32, 64, 128, 256),
    linear_batches=(8, 32, 128),
    tanh_batches=(8, 32, 128),
    width=500,
    residual_width=400,
    residual_batch=400,
    residual_depth=50,
    stream_width=400,
    late_width=1000,
    nf_depth=50,
    draws=800,
    panel_width=2000,
    panel_depth=10,
    isometry=IsometrySize(
        width=100,
        depths=(1, 2, 5, 10, 20),
        edge_width=800,
        edge_depths=(1, 2, 3, 4),
        normed_width=32,
        normed_depths=(1, 2, 5, 10),
    ),
    scale="full",
    depths=(4, 16, 32, 64),
    learners=len(SEEDS["full"]),
    rates={"plain": RATES, "plain BN": RATES},
    deepest_rates={},
)


def study(scale: Scale) -> Study:
    """The study of the inquiry `stability`."""
    return study_of({"quick": QUICK, "full": FULL}[scale])


def study_of(size: Size) -> Study:
    """The same comparisons at any size."""
    variants = {
        **_plain(size),
        **_scaled(size),
        **_residual(size),
        **_exact(),
        **_populations(size),
        **closed_forms(),
        **isometries(size.isometry),
        **_learners(size),
    }
    return Study("stability", variants, seeds=range(size.seeds), probes=PROBES)


def _bare(**fields: Any) -> Perceptron:
    """Blocks alone, without stem and head, biases and epsilon: what the laws are about."""
    usual: dict[str, Any] = {"stem": False, "head": False, "bias": False, "affine": False}
    return Perceptron(**{**usual, "eps": 0.0, **fields})


def _stack(
    width: int, depth: int, variance: float = 2.0, bias: float = 0.0, **fields: Any
) -> Stacked:
    block = _bare(width=width, depth=1, bias=bias > 0, **fields)
    return Stacked(block, depth, variance, bias)


def _variant(network: Stacked | Perceptron, batch: int, reduce: Any, **fields: Any) -> Variant:
    return Variant(network, Gaussian(network.width), batch, reduce=reduce, **fields)


def _plain(size: Size) -> dict[str, Variant]:
    shape = {"width": size.width, "depth": size.depth}

    def normed_stack(activation: str, batch: int) -> Stacked:
        depth = size.depth * (2 if batch < 16 else 1)  # rates of few samples differ more by layer
        return _stack(size.width, depth, norm="batch", activation=activation)

    normed = {
        f"{name} BN B={batch}": (normed_stack(activation, batch), batch)
        for name, activation, batches in (
            ("relu", "relu", size.batches),
            ("linear", "identity", size.linear_batches),
            ("tanh", "tanh", size.tanh_batches),
        )
        for batch in sorted({*batches, size.batch})
    }
    others = {
        "relu": _stack(**shape),
        "relu LN": _stack(norm="layer", **shape),
        "relu RMS": _stack(norm="rms", **shape),
        "small relu": _stack(variance=1.0, **shape),
        "small relu BN": _stack(variance=1.0, norm="batch", **shape),
        "large tanh": _stack(activation="tanh", **shape),
        "large tanh BN": _stack(activation="tanh", norm="batch", **shape),
    }
    both = normed | {name: (network, size.batch) for name, network in others.items()}
    return {name: _variant(network, batch, plain_stream) for name, (network, batch) in both.items()}


def _scaled(size: Size) -> dict[str, Variant]:
    """Below, at and above criticality; and activations whose derivative depends on the scale."""
    shape: dict[str, Any] = {"width": size.width, "depth": size.depth}
    gradients = {"double relu": _stack(variance=4.0, **shape)}
    gradients |= {
        f"tanh σ²={variance:g}": _stack(
            variance=variance, bias=TANH_BIAS, activation="tanh", **shape
        )
        for variance in TANH_VARIANCES
    }
    slopes = {
        f"{name}{' BN' if norm == 'batch' else ''} slopes": _stack(
            variance=1.0, activation=name, norm=norm, **shape
        )
        for name in ("sigmoid", "tanh")
        for norm in ("none", "batch")
    }
    return {
        **{name: _variant(net, size.batch, plain_stream) for name, net in gradients.items()},
        **{
            name: Variant(net, Gaussian(net.width), 128, probes=mean_derivatives)
            for name, net in slopes.items()
        },
    }


def _residual(size: Size) -> dict[str, Variant]:
    shape: dict[str, Any] = {"width": size.stream_width, "depth": size.depth, "residual": True}
    deep = {"width": size.residual_width, "depth": size.residual_depth, "residual": True}
    late = {"width": size.late_width, "depth": size.late_depth, "residual": True}
    networks: dict[str, Stacked | Perceptron] = {
        "residual BN": _stack(norm="batch", **deep),
        "residual": _stack(**shape),
        "act-norm-weight": _stack(variance=1.0, norm="batch", order="act-norm-weight", **shape),
        "weight-norm-act": _stack(norm="batch", order="weight-norm-act", **late),
        "NF": _bare(
            initializer="nf",
            branch_scale=NF_SCALE,
            depth=size.nf_depth,
            width=size.nf_width,
            residual=True,
        ),
    }
    batches = {"NF": size.nf_batch, "residual BN": size.residual_batch}
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
    exact: dict[str, Any] = {"dtype": "float64", "seeds": EXACT_DRAWS}
    return {
        **{name: _variant(net, 16, residual_stream, **exact) for name, net in flows.items()},
        **{name: _variant(net, 16, scaled_stream, **exact) for name, net in scaled.items()},
    }


def _populations(size: Size) -> dict[str, Variant]:
    draws = OnePerSample(size.draws, size.draws_width, size.draws_depth)
    panel = SideBySide(size.panel, size.panel_width, size.panel_depth)
    across = Gaussian(size.panel * size.panel_width)
    named = f"He panel B={size.panel_batch}"
    return {
        "He draws": Variant(draws, Gaussian(size.draws_width), size.draws, probes=sizes),
        named: Variant(panel, across, size.panel_batch, probes=sizes),
    }


def _learners(size: Size) -> dict[str, Variant]:
    """Perceptrons on digits: how deep may they be? And tanh ones, whose derivatives are read."""
    usual: dict[str, Any] = {"seeds": size.learners}
    if size.steps:
        usual["training"] = teaching(size.scale, steps=size.steps)
    found = {}
    for depth in size.depths:
        for family in ("plain", "plain BN"):
            deepest = depth == max(size.depths)
            grid = (deepest and size.deepest_rates) or size.rates
            found[f"{family}, {depth} blocks"] = taught(
                learner(family, depth), size.scale, rates=grid[family], **usual
            )
    for family, name in (("plain", "tanh learner"), ("plain BN", "tanh BN learner")):
        network = learner(family, TANH_DEPTH, activation="tanh", initializer="lecun")
        found[name] = taught(
            network, size.scale, rates=TANH_RATES, probes=mean_derivatives, **usual
        )
    return found
