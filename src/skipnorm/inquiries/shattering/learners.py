"""Networks that learn, and how their gradients are before they do. Read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from skipnorm.evidence.schema import Quantity, label
from skipnorm.inquiries.inquiry import Scale
from skipnorm.inquiries.subjects import TASK, learner, taught, teaching
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.study import Variant

if TYPE_CHECKING:
    import torch
    import xarray as xr

__all__ = ["BLOCKS", "NETWORKS", "WITHOUT_MOMENTUM", "gradients_of", "learners"]

BLOCKS = 16
"""Deep enough that gradients shatter, shallow enough that every network learns something."""

NETWORKS = (
    "plain",
    "plain BN",
    "residual",
    "residual BN",
    "residual LN",
    "SkipInit",
    "looks linear",
)
WITHOUT_MOMENTUM = ("plain", "plain BN", "residual BN")
"""The networks that are taught without momentum as well."""

_RATES = {True: (0.01, 0.03, 0.1), False: (0.1, 0.3, 1.0)}
"""With momentum 0.9 and without: an update is ten times the gradient in the long run, or once."""

_SEGMENTS, _POINTS, _PARTS = 4, 256, 4
_CONSTANT = 1e-8

_READ = (
    Quantity(
        "segment_autocorrelation",
        (),
        "1",
        f"autocorrelation at lag 1 of the gradient along {_SEGMENTS} segments between samples, {_POINTS} points each; "
        "1 by convention where the gradient is constant",
        "Balduzzi et al. 2017, between samples instead of on a line of one input",
    ),
    Quantity(
        "batch_gradient_cosine",
        (),
        "1",
        f"mean cosine between the parameter gradients of {_PARTS} parts of the batch, statistics differentiated",
        "Rao & Sohl-Dickstein 2020",
    ),
)


def network_of(name: str, **fields: Any) -> Perceptron:
    """The learner of 16 blocks of that name."""
    if name == "looks linear":
        linear = {"activation": "crelu", "initializer": "looks_linear"}
        return learner("plain", BLOCKS, **linear, **fields)
    return learner(name, BLOCKS, **fields)


def learners(
    scale: Scale,
    seeds: int,
    fields: Mapping[str, Any],
    training: Mapping[str, Any],
) -> dict[str, Variant]:
    """Every network as it is built, and as it is taught with momentum; some also as taught without."""
    networks = {name: network_of(name, **fields) for name in NETWORKS}
    found = {
        f"learner {name}": Variant(network, TASK, probes=gradients_of, seeds=seeds)
        for name, network in networks.items()
    }
    for momentum, names in ((True, NETWORKS), (False, WITHOUT_MOMENTUM)):
        word = "with momentum" if momentum else "without momentum"
        lesson = teaching(scale, **training)
        lesson = lesson if momentum else replace(lesson, settings=())
        for name in names:
            found[f"{name}, {word}"] = taught(
                networks[name], scale, training=lesson, rates=_RATES[momentum], seeds=seeds
            )
    return found


def gradients_of(network: Any, batch: Any) -> xr.Dataset:
    """How far a network's gradient remembers itself along segments, and how alike it is for parts of a batch."""
    inputs, targets = batch
    network.train()
    pairs = inputs[: 2 * _SEGMENTS].reshape(_SEGMENTS, 2, -1)
    remembered = [_along(network, start, end) for start, end in pairs]
    alike = _between(network, inputs.chunk(_PARTS), targets.chunk(_PARTS))
    values = {
        "segment_autocorrelation": sum(remembered) / _SEGMENTS,
        "batch_gradient_cosine": alike,
    }
    return label(values, _READ, {}, {})


def _along(network: Any, start: torch.Tensor, end: torch.Tensor) -> float:
    """The autocorrelation at lag 1 on the way from one sample to another."""
    from skipnorm.inquiries.shattering.stack import Segment
    from skipnorm.probes.shattering import input_gradient_autocorrelation

    found = input_gradient_autocorrelation(
        Segment(network, start, end),
        grid=_POINTS,
        between=(0.0, 1.0),
        lags=(1,),
        statistics="detached",
    ).values
    mean = float(found["input_gradient"].double().mean())
    if float(found["input_gradient_variance"]) <= _CONSTANT * mean**2:
        return 1.0
    return float(found["input_gradient_autocorrelation"][0])


def _between(network: Any, inputs: Any, targets: Any) -> float:
    """The mean cosine between the gradients of the loss on these parts."""
    import torch

    parameters = [each for each in network.parameters() if each.requires_grad]
    found = []
    for part, classes in zip(inputs, targets, strict=True):
        loss = torch.nn.functional.cross_entropy(network(part), classes)
        gradient = torch.autograd.grad(loss, parameters)
        whole = torch.cat([each.flatten() for each in gradient]).double()
        found.append(whole / whole.norm())
    units = torch.stack(found)
    cosines = units @ units.T
    return float(cosines[~torch.eye(len(units), dtype=torch.bool)].mean())
