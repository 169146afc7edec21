"""Networks and tasks whose training is known on paper, or holds everything that a checkpoint can forget."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skipnorm.training import Training
from skipnorm.training.state import State
from skipnorm.training.train import train

DUMMY = torch.zeros(1)


class Bowl(nn.Module):
    """Returns half the sum of eigenvalue * w^2, whatever it is shown: its Hessian is diagonal."""

    def __init__(self, *eigenvalues: float, start: float = 1.0, dtype: Any = torch.float64) -> None:
        super().__init__()
        self.register_buffer("eigenvalues", torch.tensor(eigenvalues, dtype=dtype))
        self.w = nn.Parameter(torch.full((len(eigenvalues),), start, dtype=dtype))

    def forward(self, _: Tensor) -> Tensor:
        return (self.eigenvalues * self.w.square()).sum() / 2


class Formula(nn.Module):
    """Returns a function of one weight."""

    def __init__(self, function: Any, start: float) -> None:
        super().__init__()
        self.w, self.function = nn.Parameter(torch.tensor(start)), function

    def forward(self, _: Tensor) -> Any:
        return self.function(self.w)


def itself(outputs: Tensor, _: Any) -> Tensor:
    return outputs


class Noise(nn.Module):
    """Adds noise from a generator of its own, scaled by a buffer that no state_dict has."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(5)
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + 0.01 * self.calls * torch.randn(x.shape, generator=self.generator)


def busy(seed: int = 0, width: int = 8) -> nn.Module:
    """Four inputs, three classes: batch norm, dropout, noise."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.3), Noise(), nn.Linear(width, 3)
        )  # fmt: skip


@dataclass(frozen=True)
class Points:
    """Fifty samples, each the number of itself, four times."""

    loss: str = "cross_entropy"
    hash: str = "points"

    def batch(self, size: int, seed: int) -> Any:
        raise AssertionError("there is a full set")

    def full(self, split: str) -> tuple[Tensor, Tensor]:
        assert split == "train"
        inputs = torch.arange(50.0)[:, None].expand(50, 4).contiguous()
        return inputs, torch.arange(50) % 3


@dataclass(frozen=True)
class Shaken(Points):
    """The same, with a random number added to each batch."""

    def augment(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        return inputs + torch.rand(inputs.shape, generator=generator)


class Watched(nn.Module):
    """A network, and what it was shown."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.shown = network, []

    def forward(self, x: Tensor) -> Tensor:
        self.shown.append(x.clone())
        return self.network(x)


def last(states: Iterator[State]) -> State:
    *_, final = states
    return final


def descend(network: nn.Module, at: Any = "end", seed: int = 0, **settings: Any) -> State:
    """The last state of a network that returns its own loss as a number."""
    return last(train(network, DUMMY, Training(**settings), seed=seed, at=at, loss=itself))
