"""What is read of every network: the gradient along the stream, with and without the branches, and its paths."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.evidence.schema import Quantity, label

if TYPE_CHECKING:
    import xarray as xr
    from torch import Tensor

__all__ = ["lengths", "shares", "stream"]

_HE = "He et al. 2016 (identity mappings), eq. 5"
_LAYER, _BLOCK = ("layer",), ("block",)
_STREAM = (
    Quantity(
        "gradient_size",
        _LAYER,
        "loss^2",
        "mean square of dE/dx behind so many blocks; over several draws the geometric mean",
        "definition",
    ),
    Quantity(
        "cancelled",
        _LAYER,
        "1",
        "share of the samples whose direct term is cancelled to more than a half by the sum over the branches",
        f"{_HE}: where the derivative of the sum is near -1",
    ),
    Quantity(
        "direct_error",
        (),
        "1",
        "length of (gradient through the shortcuts alone - gradient at the output) over the latter; the largest draw",
        _HE,
    ),
    Quantity(
        "direct_cosine",
        (),
        "1",
        "cosine between the gradient through the shortcuts alone and the gradient at the output",
        _HE,
    ),
)
_SHARE = Quantity(
    "shortcut_share", _BLOCK, "1", "share of dE/dx at a block that came through its shortcut", _HE
)
_VEIT = "Veit et al. 2016"
_LENGTHS = (
    Quantity(
        "path_length",
        (),
        "blocks",
        "mean number of branches on a path, weighted by its squared gradient",
        _VEIT,
    ),
    Quantity(
        "path_share",
        ("length",),
        "1",
        "share of the squared gradient along paths of this length",
        _VEIT,
    ),
)


def stream(network: Any, batch: Any, *, loss: Any) -> xr.Dataset:
    """The gradient of the loss behind every block, in double precision, in the mode the network is in.

    The direct term is the gradient in front of the first block where nothing comes back through a branch, with every
    forward value as it was. ``cancelled`` is He's "-1": the projection of what the branches add on the gradient at the
    output, relative to it, is -1/2 or less.
    """
    found = [_one(each, batch, loss) for each in _draws(network)]
    with np.errstate(divide="ignore"):
        size = np.exp(np.mean([np.log(each["gradient_size"]) for each in found], axis=0))
    values = {
        "gradient_size": size,
        "cancelled": np.mean([each["cancelled"] for each in found], axis=0),
        "direct_error": max(each["direct_error"] for each in found),
        "direct_cosine": np.mean([each["direct_cosine"] for each in found]),
    }
    return label(values, _STREAM, {"layer": np.arange(len(size))}, {})


def shares(network: Any, batch: Any, *, loss: Any) -> xr.Dataset:
    """How much of the gradient comes through the shortcut, block by block."""
    from skipnorm.studies.measure import measure

    measured = measure(network, batch, loss=loss, probes="flow")
    skips = measured.isel(site=np.flatnonzero(measured["kind"].values == "skip"))
    values = {"shortcut_share": skips["flow_shortcut_share"].values}
    return label(values, [_SHARE], {"block": np.arange(len(skips["site"]))}, {})


def lengths(network: Any, batch: Any, *, loss: Any, walks: int = 3) -> xr.Dataset:
    """How long the paths are that the gradient takes: means over the draws of a network.

    Every draw walks paths of its own, by the seed that the trial has sown: shared ones would share their error.
    """
    import torch

    from skipnorm.probes.paths import paths

    ask = partial(paths, batch=batch, loss=loss, deleted=(), swaps=(), draws=1, walks=walks)
    draws = _draws(network)
    first = torch.initial_seed() % 2**20 * len(draws)
    found = [ask(each, seed=first + number).values for number, each in enumerate(draws)]
    values = {
        "path_length": np.mean([each["path_length_by_power"] for each in found]),
        "path_share": np.mean([each["path_power_share"] for each in found], axis=0),
    }
    return label(values, _LENGTHS, {"length": np.arange(len(values["path_share"]))}, {})


def _draws(network: Any) -> Sequence[Any]:
    from torch import nn

    return list(network) if isinstance(network, nn.ModuleList) else [network]


def _one(network: Any, batch: Any, loss: Any) -> dict[str, Any]:
    import torch

    own = copy.deepcopy(network).double()
    batch = tuple(part.double() if part.is_floating_point() else part for part in batch)
    whole = _gradients(own, batch, loss)
    for block in own.blocks:
        block.branch = _Constant(block.branch)
    direct, last = _gradients(own, batch, loss)[0], whole[-1]
    size = [float(each.square().mean()) for each in whole]
    norm = torch.linalg.vector_norm
    return {
        "gradient_size": np.array(size),
        "cancelled": np.array([_cancelled(each, last) for each in whole]),
        "direct_error": float(norm(direct - last) / norm(last)),
        "direct_cosine": float((direct * last).sum() / (norm(direct) * norm(last))),
    }


class _Constant:
    """A branch with the value it had, and no derivative."""

    def __init__(self, branch: Any) -> None:
        self.branch = branch

    def __call__(self, *given: Tensor) -> Tensor:
        out: Tensor = self.branch(*given).detach()
        return out


def _gradients(network: Any, batch: Any, loss: Any) -> list[Tensor]:
    """The gradient in front of every block and behind the last, with the same dropout at every call."""
    import torch

    from skipnorm.probes.objective import loss_of

    points: list[Tensor] = []
    inputs, targets = batch
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(0)
        x = inputs.clone().requires_grad_()
        x = x.flatten(1) if network.stem is None else network.stem(x.flatten(1))
        points.append(x)
        for block in network.blocks:
            points.append(block(points[-1]))
        outputs = points[-1] if network.head is None else network.head(points[-1])
        objective = loss_of(outputs, targets, loss)
    return list(torch.autograd.grad(objective, points))


def _cancelled(gradient: Tensor, last: Tensor) -> float:
    direct = last.square().sum(1)
    added = ((gradient - last) * last).sum(1)
    return float((added <= -0.5 * direct).double().mean())
