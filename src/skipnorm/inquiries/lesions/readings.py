"""What is read of a trained network: what it is worth without some blocks, or with blocks in another order."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.evidence.schema import Quantity, label

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["SWAPS", "of_plain", "of_residual"]

SWAPS = (1, 2, 4, 8)
"""How many pairs of blocks change places, where there are so many."""

DRAWS = 10

_VEIT = "Veit et al. 2016"
_SEVERAL, _SWAPPED = ("block", "draw"), ("case", "draw")
_WITHOUT = "when so many random blocks are deleted"
_ORDER = "when so many random pairs of blocks change places"
_PLAIN = (
    Quantity("deletion_accuracy", ("site",), "1", "test accuracy without this block", _VEIT),
    Quantity("lesion_accuracy", _SEVERAL, "1", f"test accuracy {_WITHOUT}", _VEIT),
    Quantity("permutation_accuracy", _SWAPPED, "1", f"test accuracy {_ORDER}", _VEIT),
)
_RESIDUAL = (
    *_PLAIN,
    Quantity(
        "deletion_price", ("site",), "loss", "rise of the test loss without this block", _VEIT
    ),
    Quantity("cut_accuracy", ("site",), "1", "test accuracy without this shortcut", _VEIT),
    Quantity("lesion_price", _SEVERAL, "loss", f"rise of the test loss {_WITHOUT}", _VEIT),
    Quantity(
        "mended_accuracy",
        _SEVERAL,
        "1",
        f"lesion_accuracy with the norms' statistics re-estimated, {_WITHOUT}",
        _VEIT,
    ),
    Quantity("order_kept", _SWAPPED, "1", f"Kendall's tau of the order {_ORDER}", _VEIT),
    Quantity("branch_ratio", ("site",), "1", "norm of branch over norm of shortcut", _VEIT),
    Quantity("path_share", ("length",), "1", "share of the gradient by length of path", _VEIT),
    Quantity("path_length", (), "blocks", "mean number of branches on a path, by gradient", _VEIT),
)


def numbers(depth: int) -> tuple[int, ...]:
    """How many blocks are deleted at once: every second number, the whole depth at last.

    >>> numbers(6), numbers(1)
    ((2, 4, 6), (1,))
    """
    return tuple(range(2, depth + 1, 2)) or (depth,)


def pairs(depth: int) -> tuple[int, ...]:
    """How many pairs change places in a network of this depth."""
    return tuple(each for each in SWAPS if 2 * each <= depth)


def of_residual(
    network: Any, batch: Any, *, loss: Any, task: Any, walks: int = 4, draws: int = DRAWS
) -> xr.Dataset:
    """Lesions of a network with skips, on all test samples; norms use the running statistics, then re-estimated ones.

    Paths are walked in the mode the network is in, on the batch.
    """
    import torch

    from skipnorm.probes.paths import paths

    test, depth = task.full("test"), len(network.blocks)
    seed = torch.initial_seed() % 2**20
    ask = partial(paths, network, loss=loss, seed=seed)
    lose = partial(ask, test, deleted=numbers(depth), draws=draws, walks=0)
    found = lose(swaps=pairs(depth), statistics="running").values
    mended = found
    if any(isinstance(each, torch.nn.BatchNorm1d) for each in network.modules()):
        mended = lose(swaps=(), statistics="recalibrated").values
    walked = ask(batch, deleted=(), swaps=(), draws=1, walks=walks).values
    whole = found["accuracy"]
    values = {
        "deletion_accuracy": whole - found["deletion_accuracy_price"],
        "deletion_price": found["deletion_loss_price"],
        "cut_accuracy": whole - found["cut_accuracy_price"],
        "lesion_accuracy": whole - found["lesion_accuracy_price"],
        "lesion_price": found["lesion_loss_price"],
        "mended_accuracy": mended["accuracy"] - mended["lesion_accuracy_price"],
        "permutation_accuracy": whole - found["permutation_accuracy_price"],
        "order_kept": found["permutation_kendall_tau"],
        "branch_ratio": found["branch_ratio"],
        "path_share": walked["path_mass_share"],
        "path_length": walked["path_length_by_norm"],
    }
    coords = {**_coords(depth, draws), "length": np.arange(depth + 1)}
    return label(values, _RESIDUAL, coords, {"statistics": "running, then recalibrated"})


def of_plain(network: Any, batch: Any, *, task: Any, draws: int = DRAWS) -> xr.Dataset:
    """The same lesions of a network without skips: a deleted block becomes the identity."""
    import torch

    depth = len(network.blocks)
    chance = np.random.default_rng(torch.initial_seed() % 2**20)
    order = list(range(depth))
    ask = _asker(network, task.full("test"))
    values = {
        "deletion_accuracy": [ask([*order[:gone], *order[gone + 1 :]]) for gone in order],
        "lesion_accuracy": [
            [ask(_kept(depth, number, chance)) for _ in range(draws)] for number in numbers(depth)
        ],
        "permutation_accuracy": [
            [ask(_swapped(depth, number, chance)) for _ in range(draws)] for number in pairs(depth)
        ],
    }
    return label(values, _PLAIN, _coords(depth, draws), {"statistics": "running"})


def _coords(depth: int, draws: int) -> Mapping[str, Any]:
    return {
        "site": [f"block {place}" for place in range(depth)],
        "block": list(numbers(depth)),
        "case": list(pairs(depth)),
        "draw": list(range(draws)),
    }


def _asker(network: Any, test: Any) -> Callable[[Sequence[int]], float]:
    """Test accuracy, in evaluation mode, of a copy that has these blocks in this order."""
    import torch
    from torch import nn

    own = copy.deepcopy(network).eval()
    blocks = list(own.blocks)
    inputs, targets = test

    def ask(order: Sequence[int]) -> float:
        own.blocks = nn.ModuleList([blocks[place] for place in order])
        with torch.no_grad():
            return float((own(inputs).argmax(1) == targets).double().mean())

    return ask


def _kept(depth: int, number: int, chance: np.random.Generator) -> list[int]:
    gone = set(chance.choice(depth, size=number, replace=False).tolist())
    return [place for place in range(depth) if place not in gone]


def _swapped(depth: int, number: int, chance: np.random.Generator) -> list[int]:
    order = list(range(depth))
    chosen = chance.choice(depth, size=2 * number, replace=False).tolist()
    for one, other in zip(chosen[::2], chosen[1::2], strict=True):
        order[one], order[other] = order[other], order[one]
    return order
