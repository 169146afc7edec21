"""One small network, written in several ways that compute the same: every probe has to find the same numbers."""

from typing import Any

import torch
import torch.nn.functional as F
from tests.laws.subjects import Subject
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__ = ["ByHand", "Way", "written"]

Way = str
"""plain, in place, by hand, checkpointed, checkpointed by re-entry."""


class ByHand(nn.Module):
    """Batch normalisation from its definition (Ioffe & Szegedy 2015, algorithms 1 and 2), in elementary operations.

    Attributes:
        constant: whether the statistics of the batch are constants of the backward pass.
    """

    def __init__(self, width: int, constant: bool) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        self.constant = constant

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        if self.training:
            mean = sum(x.unbind()) / len(x)
            variance = sum((row - mean) ** 2 for row in x.unbind()) / len(x)
        if self.constant:
            mean, variance = mean.detach(), variance.detach()
        return self.weight * (x - mean) / (variance + 1e-5) ** 0.5 + self.bias


class Residual(nn.Module):
    """`head(relu(BN(inner(h)) + h))` with `h = stem(x)`."""

    def __init__(self, way: Way, inputs: int, constant: bool) -> None:
        super().__init__()
        self.way = way
        self.stem, self.inner = nn.Linear(inputs, 5), nn.Linear(5, 5)
        self.norm = ByHand(5, constant) if way == "by hand" else nn.BatchNorm1d(5)
        self.head = nn.Linear(5, 3)

    def branch(self, h: Tensor) -> Tensor:
        y: Tensor = self.norm(self.inner(h))
        return y

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        if self.way.startswith("checkpointed"):
            y = checkpoint(self.branch, h, use_reentrant="re-entry" in self.way)
        else:
            y = self.branch(h)
        if self.way == "in place":
            y += h
            y.relu_()
        else:
            y = F.relu(y + h)
        return self.head(y)


def written(
    way: Way, *, training: bool, inputs: int = 4, constant: bool = False, seed: int = 3
) -> Subject:
    """The network written that way: the same numbers in the same state of the random generator, float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: Any = Residual(way, inputs, constant).double().train(training)
        with torch.no_grad():
            for each in (network.norm.weight, network.norm.bias, network.norm.running_mean):
                each.add_(torch.randn(5))
            network.norm.running_var.add_(torch.rand(5))
        batch = torch.randn(6, inputs).double(), torch.tensor([0, 2, 1, 1, 0, 2])
        return Subject(network, batch)
