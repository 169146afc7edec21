"""What a network costs: parameters, what it keeps for the backward pass, and the time of both passes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from skipnorm.tasks.losses import Loss, inputs_of, loss_of

__all__ = ["Cost", "costs_of"]

_ROUNDS, _SECONDS = 15, 2.0
"""Measurements of each network, taken in turns, and the seconds after which there are no more."""


@dataclass(frozen=True)
class Cost:
    """Of one network on one batch.

    Attributes:
        parameters: how many numbers are learned.
        kept: bytes that a forward pass keeps for the backward pass, weights left out.
        training: seconds of a forward and a backward pass, in training mode; the median.
        inference: seconds of a forward pass in evaluation mode; the median.
    """

    parameters: int
    kept: int
    training: float
    inference: float

    def saving(self, other: Cost) -> dict[str, float]:
        """Which share of each the other one saves; negative where it costs more."""
        pairs = {
            "parameters": (self.parameters, other.parameters),
            "memory": (self.kept, other.kept),
            "training time": (self.training, other.training),
            "inference time": (self.inference, other.inference),
        }
        return {name: 1 - new / old if old else 0.0 for name, (old, new) in pairs.items()}


def costs_of(
    networks: dict[str, nn.Module],
    batch: Any,
    loss: Loss = None,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Cost]:
    """The cost of each network, on the same batch and measured in turns, so that a busy machine hits all alike."""
    steps = {
        name: (_training(each, batch, loss), _inference(each, batch))
        for name, each in networks.items()
    }
    spent: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in networks}
    begun = clock()
    for number in range(_ROUNDS + 1):
        for name, both in steps.items():
            for place, step in zip(spent[name], both, strict=True):
                start = clock()
                step()
                if number:  # the first is for warming up
                    place.append(clock() - start)
        if number and clock() - begun > _SECONDS * len(networks):
            break
    return {
        name: Cost(
            sum(weight.numel() for weight in each.parameters() if weight.requires_grad),
            _kept(each, batch, loss),
            statistics.median(spent[name][0]),
            statistics.median(spent[name][1]),
        )
        for name, each in networks.items()
    }


def _training(network: nn.Module, batch: Any, loss: Loss) -> Callable[[], None]:
    args, named, targets = inputs_of(batch)

    def step() -> None:
        network.train()
        network.zero_grad()
        torch.autograd.backward(loss_of(network(*args, **named), targets, loss))
        _wait()

    return step


def _inference(network: nn.Module, batch: Any) -> Callable[[], None]:
    args, named, _ = inputs_of(batch)

    def step() -> None:
        network.eval()
        with torch.no_grad():
            network(*args, **named)
        _wait()

    return step


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _kept(network: nn.Module, batch: Any, loss: Loss) -> int:
    """Bytes of all tensors that autograd keeps, each storage once."""
    args, named, targets = inputs_of(batch)
    own = {each.untyped_storage().data_ptr() for each in network.parameters()}
    found: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    network.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = loss_of(network(*args, **named), targets, loss)
    del value
    return sum(found.values())
