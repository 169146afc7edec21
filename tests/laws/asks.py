"""Every probe as one question, with the smallest settings that still ask it: written by hand, proved complete.

A setting stands in `senseless` with a value that has to be refused, or in `free` with the reason why none is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import xarray as xr
from tests.laws.subjects import Subject
from torch import Tensor, nn

import skipnorm as sn
from skipnorm.probes import CATALOGUE

__all__ = ["ASKS", "SITE_PROBES", "VERBS", "Ask"]

SEED = "any whole number is a seed"


@dataclass(frozen=True)
class Ask:
    """A probe, how it is called on a subject, and what is known of it beforehand.

    Attributes:
        name: of the verb, or of the probe of sites.
        call: from (subject, settings) the evidence.
        senseless: by setting, a value that makes no sense.
        free: by setting, why every value makes sense.
        counts: quantities that may stay finite where the signal is NaN everywhere: they count, tell of parameters or of
            chance, or say how far drawing a few of all cases errs.
        refuses: by subject, the words in which it is refused.
        loss: whether a loss is differentiated, or at least computed.
    """

    name: str
    call: Callable[..., xr.Dataset]
    senseless: Mapping[str, Any] = field(default_factory=dict)
    free: Mapping[str, str] = field(default_factory=dict)
    counts: tuple[str, ...] = ()
    refuses: Mapping[str, str] = field(default_factory=dict)
    loss: bool = True
    fitted: Callable[[Subject], Subject] = lambda subject: subject

    def __str__(self) -> str:
        return self.name

    def __call__(self, subject: Subject, **settings: Any) -> xr.Dataset:
        if self.loss:
            settings = {"loss": subject.loss} | settings
        return self.call(subject, **settings)


def shaken(network: nn.Module) -> dict[str, Tensor]:
    """A state a little away."""
    generator = torch.Generator().manual_seed(7)
    return {
        name: value + 0.1 * torch.rand(value.shape, generator=generator).to(value)
        if value.is_floating_point()
        else value.clone()
        for name, value in network.state_dict().items()
    }


def halves(batch: Any) -> list[Any]:
    """The first and the last samples of a batch, as two."""
    if isinstance(batch, dict):
        return [{k: v[part] for k, v in batch.items()} for part in (slice(0, 1), slice(1, None))]
    return [(batch[0][part], batch[1][part]) for part in (slice(0, 3), slice(2, None))]


def plainly(verb: Callable[..., xr.Dataset], **smallest: Any) -> Callable[..., xr.Dataset]:
    return lambda subject, **given: verb(subject.network, subject.batch, **smallest | given)


def ask_drift(subject: Subject, **given: Any) -> xr.Dataset:
    states = (None, shaken(subject.network))
    return sn.drift(subject.network, subject.batch, **{"states": states, "positions": 4} | given)


def ask_identical(subject: Subject, **given: Any) -> xr.Dataset:
    given.setdefault("batches_test", subject.batch)
    return sn.identical(subject.network, halves(subject.batch), **{"draws": 2} | given)


def ask_line(subject: Subject, **given: Any) -> xr.Dataset:
    smallest = {"grid": 8, "lags": (0, 1), "statistics": "detached"}
    return sn.input_gradient_autocorrelation(subject.network, **smallest | given)


def ask_sites(probe: Any) -> Callable[..., xr.Dataset]:
    return lambda subject, **given: sn.measure(
        subject.network, subject.batch, **{"probes": probe} | given
    )


class Line(nn.Module):
    """A network as a function of one number: the place on a line through the space of its inputs."""

    def __init__(self, network: nn.Module, sample: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("origin", torch.zeros_like(sample))
        self.register_buffer("direction", torch.ones_like(sample))

    def forward(self, t: Tensor) -> Tensor:
        shape = (-1, *[1] * self.direction.dim())
        out: Tensor = self.network(self.origin + t.reshape(shape) * self.direction)
        return out


def on_a_line(subject: Subject) -> Subject:
    if isinstance(subject.batch, dict):
        return subject
    return Subject(Line(subject.network, subject.batch[0][0]), subject.batch, subject.loss)


VERBS: tuple[Ask, ...] = (
    Ask(
        "activation",
        plainly(sn.activation),
        senseless={"statistics": "bach"},
        counts=(
            "unit_still", "still_fraction", "steepest_slope", "unit_gain", "unit_shift", "gain_size",
            "gain_size_quantile", "disabled_fraction", "shift_mean", "shift_size", "units",
        ),
        loss=False,
    ),
    Ask(
        "curvature",
        plainly(
            sn.curvature, top=1, vectors=1, steps=2, most=8, samples=2, cells=16, tolerance=0.5
        ),
        senseless={
            "loss": "entropy", "kind": "hesian", "statistics": "bach", "where": "nothing*", "per": "layers",
            "top": 0, "order": "large", "tolerance": 0.0, "lengths": (0.0,), "vectors": 0, "steps": 0, "most": 1,
            "samples": 1, "smoothing": -1.0, "cells": 1, "memory_gib": 0.0,
        },
        free={"seed": SEED},
        counts=("parameters", "products", "finite_difference_step"),
    ),
    Ask(
        "drift",
        ask_drift,
        senseless={"states": (None,), "statistics": "bach", "positions": 0},
        counts=("units",),
        loss=False,
    ),
    Ask(
        "gradient_correlation",
        plainly(sn.gradient_correlation, statistics="detached"),
        senseless={
            "loss": "entropy", "wrt": "inputs", "where": "nothing*", "statistics": "bach", "method": "layers",
            "quantiles": (2.0,),
        },
        counts=("gradient_absent",),
    ),
    Ask(
        "identical",
        ask_identical,
        senseless={
            "states": (1,), "statistics": "bach", "test_statistics": "bach", "positions": 0, "draws": 1,
        },
        free={"seed": SEED, "batches_test": "a batch"},
        counts=("identical_gaussian_null", "identical_gaussian_null_high"),
        loss=False,
    ),
    Ask(
        "input_gradient_autocorrelation",
        ask_line,
        senseless={
            "grid": 2, "between": (1.0, 1.0), "lags": (-1,), "covector": torch.ones(7), "statistics": "bach",
        },
        free={"seed": SEED},
        refuses=dict.fromkeys(("gpt2", "t5"), "'indices'"),
        loss=False,
        fitted=on_a_line,
    ),
    Ask(
        "jacobian",
        plainly(sn.jacobian, samples=2),
        senseless={
            "between": ("input",), "modules": "nothing*", "statistics": "bach", "method": "lancos",
            "exact_up_to": 0, "count": 0, "steps": 0, "draws": 0, "samples": 0,
        },
        free={"seed": SEED},
        refuses=dict.fromkeys(("gpt2", "t5"), "start behind the embedding"),
        loss=False,
    ),
    Ask(
        "landscape",
        plainly(sn.landscape, along="line", points=3),
        senseless={
            "loss": "entropy", "along": "lines", "directions": "filters", "states": ({},), "points": 2,
            "distance": -1.0, "statistics": "bach", "where": "nothing*", "workers": 0,
        },
        free={"seed": SEED, "resume": "a path"},
        counts=("unit_length",),
    ),
    Ask(
        "paths",
        plainly(sn.paths, draws=1, walks=1, deleted=(1,), swaps=()),
        senseless={
            "loss": "entropy", "statistics": "bach", "deleted": (99,), "swaps": (99,), "draws": 0, "walks": -1,
        },
        free={"seed": SEED, "shift": "yes, no, or found out"},
        counts=("path_gradient_error", "path_length_by_power_error"),
        refuses=dict.fromkeys(("plain_perceptron", "images"), "a network with skips"),
    ),
    Ask(
        "scores",
        plainly(sn.scores),
        senseless={"loss": "entropy", "statistics": "bach", "bins": 0},
        free={"reference": "a batch", "shift": "yes, no, or found out"},
    ),
    Ask(
        "shift_gradient",
        plainly(sn.shift_gradient, step=0.1),
        senseless={
            "loss": "entropy", "step": 0.0, "after": {}, "layers": "nothing*", "statistics": "bach",
        },
    ),
    Ask(
        "smoothness",
        plainly(sn.smoothness, lengths=(1.0,)),
        senseless={
            "loss": "entropy", "lengths": (0.0,), "lr": 0.0, "statistics": "bach", "where": "nothing*",
        },
    ),
)  # fmt: skip

SITE_PROBES: tuple[Ask, ...] = tuple(
    Ask(
        probe.name,
        ask_sites(probe),
        senseless={"loss": "entropy"} if probe.needs_gradient else {},
        free={}
        if probe.needs_gradient
        else {"loss": "not computed where nothing is differentiated"},
    )
    for probe in CATALOGUE
)

ASKS = SITE_PROBES + VERBS
