"""What is read of a network in training: shift in its three senses, and what becomes of it at the output.

All of it is read in training mode, on one batch that stays the same; the network is left as it was. torch is imported
when a network is read.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.evidence.schema import Quantity, label

if TYPE_CHECKING:
    import xarray as xr
    from torch import Tensor, nn

__all__ = [
    "PLACES",
    "UNITS",
    "gradients",
    "in_training",
    "inputs",
    "next_step",
    "output_means",
    "passed",
]

PLACES = ("first", "middle", "last")
"""Of the activations: those whose inputs are followed."""

UNITS = 8
"""So many units of each are followed, evenly spread."""

LEVELS = (0.15, 0.5, 0.85)

_IOFFE, _SANTURKAR = "Ioffe & Szegedy 2015, figure 1", "Santurkar et al. 2018"
_PAGE = "after Page 2019"
_INPUTS = (
    Quantity(
        "percentile",
        ("block", "unit", "quantile"),
        "1",
        "below which 15, 50 and 85 per cent of a unit's inputs to its activation lie",
        _IOFFE,
    ),
)
_STEP = (
    Quantity(
        "step_mean",
        ("block",),
        "standard deviations",
        "how far one update moves the mean of an activation's input, mean over units",
        f"{_SANTURKAR}, figure 8",
    ),
    Quantity(
        "step_variance",
        ("block",),
        "1",
        "by which share one update changes the variance of an activation's input, mean over units",
        f"{_SANTURKAR}, figure 8",
    ),
)
_OUTPUTS = (
    Quantity(
        "output_shift",
        ("layer",),
        "output variance",
        "squared move of the mean outputs for a random move of the layer's weights by their own length",
        _PAGE,
    ),
    Quantity(
        "output_shift_frozen",
        ("layer",),
        "output variance",
        "the same with the batch statistics as constants",
        _PAGE,
    ),
)


def inputs(network: nn.Module, batch: Any) -> xr.Dataset:
    """Percentiles of what enters the first, a middle and the last activation, for a few units of each."""
    import torch

    from skipnorm.formulas.distances import percentiles

    samples, _ = batch
    with in_training(network), torch.no_grad():
        seen = passed(network, {}, samples)
    rows = [values[:, _spread(values.shape[1])].T for values in seen.values()]
    found = torch.stack([percentiles(each, LEVELS) for each in rows])
    coords = {
        "block": list(seen),
        "unit": list(range(found.shape[1])),
        "quantile": list(LEVELS),
    }
    return label({"percentile": found}, _INPUTS, coords, {"statistics": "batch"})


def gradients(
    network: nn.Module, batch: Any, loss: Any, *, step: float, layers: Sequence[int] = ()
) -> xr.Dataset:
    """``G`` against ``G'`` for weight layers counted from 1, after a plain step of this length; by default all."""
    import torch

    from skipnorm.probes.shift.gradient import shift_gradient

    names = [name for name, _ in weights_of(network)]
    wanted = [names[number - 1] for number in layers] or ["*weight"]
    found = [
        shift_gradient(network, batch, loss=loss, step=step, layers=name, statistics="batch")
        for name in wanted
    ]
    kept = [q for q in found[0].quantities if q.name.startswith("gradient_shift")]
    values = {q.name: torch.cat([each.values[q.name] for each in found]) for q in kept}
    read = [name for each in found for name in each.coords["layer"]]
    numbers = [names.index(name) + 1 for name in read]
    return label(values, kept, {"layer": numbers}, {"statistics": "batch", "step": str(step)})


def next_step(network: nn.Module, batch: Any, loss: Any, *, step: float) -> xr.Dataset:
    """How far one plain step of this length moves what enters activations, noise of the network included.

    The same samples before and after; whatever the network draws at random is drawn anew, as in training.
    """
    import torch
    from torch.func import functional_call

    from skipnorm.tasks.losses import loss_of

    samples, targets = batch
    here = {name: value.detach() for name, value in network.named_parameters()}
    with in_training(network):
        roots = {name: value.clone().requires_grad_() for name, value in here.items()}
        torch.manual_seed(0)
        outputs = functional_call(network, roots, (samples,))
        slopes = torch.autograd.grad(loss_of(outputs, targets, loss), list(roots.values()))
        there = {
            name: value - step * slope
            for (name, value), slope in zip(here.items(), slopes, strict=True)
        }
        with torch.no_grad():
            before = passed(network, {}, samples, seed=0)
            after = passed(network, there, samples, seed=1)
    moved = np.array([_moved(before[place], after[place]) for place in before])
    values = {"step_mean": moved[:, 0], "step_variance": moved[:, 1]}
    return label(values, _STEP, {"block": list(before)}, {"step": str(step)})


def output_means(network: nn.Module, batch: Any) -> xr.Dataset:
    """How far the mean outputs move with the weights of every layer, with batch statistics active and frozen.

    With ``m_k`` the mean of output k over the batch and n weights in layer l:
    ``|W_l|^2 / n * sum_k |dm_k/dW_l|^2 / sum_k var(o_k)``: the squared move to be expected of a random change of the
    weights by their own length, to first order, over the outputs' variance.
    """
    from skipnorm.anatomy.preserve import random_states_kept

    samples, _ = batch
    double = copy.deepcopy(network).double().train()
    with random_states_kept():
        values = {"output_shift": _shifts(double, samples.double())}
        _freeze(double, samples.double())
        values["output_shift_frozen"] = _shifts(double, samples.double())
    coords = {"layer": list(range(1, len(values["output_shift"]) + 1))}
    return label(values, _OUTPUTS, coords, {"mode": "training"})


def weights_of(network: nn.Module) -> list[tuple[str, nn.Linear]]:
    """The layers that hold a matrix, in order, with their names."""
    from torch import nn

    return [(name, each) for name, each in network.named_modules() if isinstance(each, nn.Linear)]


def passed(
    network: nn.Module,
    parameters: Mapping[str, Tensor],
    samples: Tensor,
    *,
    seed: int = 0,
    every: bool = False,
) -> dict[str, Tensor]:
    """What enters the activations of the first, the middle and the last block, in the network's own mode.

    ``parameters`` stand in place of the network's own; ``every``: of all blocks, by their number.
    """
    import torch
    from torch.func import functional_call

    seen: dict[str, Tensor] = {}

    def keep(place: str) -> Any:
        return lambda module, args: seen.update({place: args[0].detach().clone()})

    blocks: Any = network.blocks
    last = len(blocks) - 1
    chosen = dict(zip(PLACES, (0, len(blocks) // 2, last), strict=True))
    places = {str(number): number for number in range(len(blocks))} if every else chosen
    handles = [
        blocks[number].act.register_forward_pre_hook(keep(place))
        for place, number in places.items()
    ]
    try:
        torch.manual_seed(seed)
        functional_call(network, dict(parameters), (samples,))
    finally:
        for handle in handles:
            handle.remove()
    return seen


@contextmanager
def in_training(network: nn.Module) -> Iterator[None]:
    """The network in training mode, and afterwards as it was."""
    from skipnorm.anatomy.preserve import untouched

    with untouched(network):
        network.train()
        yield


def _spread(width: int) -> list[int]:
    return [int(place) for place in np.linspace(0, width - 1, min(UNITS, width)).round()]


def _moved(before: Tensor, after: Tensor) -> tuple[float, float]:
    """Mean over the units that vary of |mean' - mean| / sd and |variance' / variance - 1|."""
    import torch

    first, second = before.double(), after.double()
    variance, mean = torch.var_mean(first, dim=0, correction=0)
    then, moved = torch.var_mean(second, dim=0, correction=0)
    varies = variance > 0
    apart = ((moved - mean).abs() / variance.sqrt())[varies].mean()
    return float(apart), float((then / variance - 1)[varies].abs().mean())


def _freeze(network: nn.Module, samples: Tensor) -> None:
    """Let batch norms keep the statistics of these samples, so that the network computes the same by constants."""
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network(samples)
    for norm in norms:
        assert norm.running_var is not None
        norm.running_var *= (len(samples) - 1) / len(samples)
        norm.eval()


def _shifts(network: nn.Module, samples: Tensor) -> list[float]:
    import torch

    weights = [module.weight for _, module in weights_of(network)]
    outputs = network(samples)
    spread = float(outputs.detach().var(dim=0, correction=0).sum())
    total = [0.0] * len(weights)
    for mean in outputs.mean(dim=0):
        slopes = torch.autograd.grad(mean, weights, retain_graph=True)
        squares = [float(slope.square().sum()) for slope in slopes]
        total = [so_far + square for so_far, square in zip(total, squares, strict=True)]
    sizes = [float(weight.detach().square().mean()) for weight in weights]
    return [size * each / spread for size, each in zip(sizes, total, strict=True)]
