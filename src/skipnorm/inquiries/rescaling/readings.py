"""What is read of every network: each mechanism by one number, at initialisation; and the inputs of a layer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from skipnorm.evidence.schema import Quantity, label

if TYPE_CHECKING:
    from torch import nn

__all__ = ["AT_START", "INPUTS", "IN_TRAINING", "in_training", "mechanisms"]

_SANTURKAR = "Santurkar et al. 2018, figure 4"

AT_START = (
    Quantity(
        "signal_drift",
        ("draw",),
        "decades",
        "|log10| of the signal's mean square behind the last block over that behind the first",
        "definition",
    ),
    Quantity(
        "gradient_drift",
        ("draw",),
        "decades",
        "|log10| of the gradient's mean square behind the first block over that behind the last",
        "definition",
    ),
    Quantity(
        "sample_correlation",
        ("draw",),
        "1",
        "mean cosine between the values of two samples behind the last block",
        "Poole et al. 2016",
    ),
    Quantity(
        "gradient_correlation",
        ("draw",),
        "1",
        "mean cosine between the weight gradients of two samples; statistics are constants",
        "Balduzzi et al. 2017",
    ),
    Quantity(
        "lopsided",
        ("draw",),
        "1",
        "mean over units of |2 p - 1|, p how often a unit is on; second half of the activations",
        "definition",
    ),
    Quantity(
        "top_eigenvalue",
        (),
        "loss/parameter^2",
        "largest eigenvalue of the Hessian, statistics of the batch active; of the first draw",
        "Yao et al. 2020",
    ),
)

INPUTS = (
    Quantity(
        "input_mean", ("unit",), "1", "mean of what enters the last block's weights", "definition"
    ),
    Quantity(
        "input_spread",
        ("unit",),
        "1",
        "standard deviation of what enters the last block's weights",
        "definition",
    ),
)

IN_TRAINING = (
    *INPUTS,
    Quantity(
        "loss_range",
        (),
        "loss",
        "largest less smallest loss after steps of 0.05 to 0.4 times the gradient",
        _SANTURKAR + "a",
    ),
    Quantity(
        "gradient_predictiveness",
        (),
        "loss/parameter",
        "largest change of the gradient after these steps",
        _SANTURKAR + "b",
    ),
)

_PASS = ("moments", "gradient", "likeness")


def mechanisms(networks: Sequence[nn.Module], batch: Any) -> xr.Dataset:
    """Each mechanism of each draw, in training mode and by the statistics of the batch."""
    from skipnorm.studies.verbs import curvature

    rows = [_one(network, batch) for network in networks]
    top = curvature(
        networks[0],
        batch,
        loss="cross_entropy",
        statistics="batch",
        top=1,
        tolerance=0.01,
        lengths=(),
        vectors=1,
        steps=4,
    )
    found = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    found["top_eigenvalue"] = np.asarray(float(top["top_eigenvalue"].values.ravel()[0]))
    coords = {"draw": np.arange(len(rows))}
    read = label(found, AT_START, coords, {"statistics": "batch"})
    entering = _last_inputs(networks[0], batch)
    units = {"unit": np.arange(len(entering["input_mean"]))}
    return xr.merge([read, label(entering, INPUTS, units, {})])


def in_training(network: nn.Module, batch: Any) -> xr.Dataset:
    """How far the loss and its gradient can be trusted along a step, and the inputs of the last block."""
    from skipnorm.studies.verbs import smoothness

    steps = smoothness(network, batch, loss="cross_entropy", statistics="batch")
    found = {
        **_last_inputs(network, batch),
        "loss_range": np.asarray(float(steps["loss_range"])),
        "gradient_predictiveness": np.asarray(float(steps["gradient_predictiveness"])),
    }
    units = np.arange(len(found["input_mean"]))
    return label(found, IN_TRAINING, {"unit": units}, {"statistics": "batch"})


def _one(network: nn.Module, batch: Any) -> dict[str, float]:
    from skipnorm.studies.measure import measure
    from skipnorm.studies.verbs import activation, gradient_correlation

    asked: dict[str, Any] = {"loss": "cross_entropy"}
    seen = measure(network, batch, probes=_PASS, **asked)
    cosines = gradient_correlation(network, batch, statistics="detached", **asked)
    return {
        **_along(seen),
        "lopsided": _lopsided(activation(network, batch)),
        "gradient_correlation": float(np.mean(cosines["gradient_correlation"].values)),
    }


def _along(seen: xr.Dataset) -> Mapping[str, float]:
    """From the first block to the last: what leaves a block is the output of its last site."""
    blocks = np.array([_block(str(name)) for name in seen["module"].values])
    ends = [np.flatnonzero(blocks == block)[-1] for block in (0, blocks.max())]
    first, last = (seen.isel(site=end).sel(port="output") for end in ends)
    return {
        "signal_drift": _decades(last["mean_square"], first["mean_square"]),
        "gradient_drift": _decades(first["gradient_mean_square"], last["gradient_mean_square"]),
        "sample_correlation": float(last["sample_correlation"]),
    }


def _lopsided(seen: xr.Dataset) -> float:
    on = seen["unit_on"].dropna("site", how="all")
    half = on.isel(site=slice(on.sizes["site"] // 2, None)).values
    return float(np.nanmean(np.abs(2 * half - 1)))


def _decades(one: xr.DataArray, other: xr.DataArray) -> float:
    with np.errstate(all="ignore"):
        return float(np.abs(np.log10(float(one) / float(other))))


def _block(module: str) -> int:
    found = re.match(r"blocks\.(\d+)", module)
    return int(found.group(1)) if found else -1


def _last_inputs(network: nn.Module, batch: Any) -> dict[str, np.ndarray]:
    """Mean and spread, over samples and positions, of every unit that enters the last block's weights."""
    import torch

    held: list[torch.Tensor] = []
    weight = network.get_submodule("blocks")[-1].weight  # type: ignore[index]
    handle = weight.register_forward_pre_hook(lambda _, inputs: held.append(inputs[0].detach()))
    try:
        with torch.no_grad():
            network(batch[0])
    finally:
        handle.remove()
    units = held[0].double().transpose(0, 1).flatten(1)
    return {
        "input_mean": units.mean(1).numpy(),
        "input_spread": units.std(1, correction=0).numpy(),
    }
