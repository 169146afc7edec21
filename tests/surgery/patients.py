"""Small networks on which every operation is tried, with what their definitions say about how many sites it has.

The counts are formulas in the depth, read off the definitions of the blocks, never off skipnorm's own answer.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import skipnorm as sn

WIDTH = 8
DEPTH = 2

NORMS = ("SwapNorm", "NoisyNorm")
OF_MODULES = ("FreezeAffine", "RemoveAffine")
SKIPS = ("CutSkips", "DropBranches", "ScaleSkips")


@dataclass(frozen=True)
class Patient:
    """A network in float64 with stirred weights, what to call it with, and its number of sites by operation.

    An operation that `counts` does not name has none there: it must say so. `refused`: what it says instead.
    """

    network: nn.Module
    x: Tensor
    counts: Mapping[str, int]
    refused: Mapping[str, str] = field(default_factory=dict)


def stirred(network: nn.Module) -> nn.Module:
    """All weights and statistics away from where they start, so that nothing is without effect."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.3 * torch.randn_like(buffer))
            if name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand_like(buffer))
    return network


def counted(**numbers: int) -> dict[str, int]:
    """The same number for all operations of a kind; the others by their own names."""
    kinds = {"norms": NORMS, "norm_modules": OF_MODULES, "skips": SKIPS}
    return {
        name: number
        for key, number in numbers.items()
        for name in (kinds.get(key) or (key,))
        if number
    }


def perceptron() -> Patient:
    """x + W relu(norm(x)), DEPTH times, then norm, relu and the head."""
    recipe = sn.Perceptron(residual=True, norm="batch", depth=DEPTH, width=WIDTH, inputs=6)
    numbers = counted(
        norms=DEPTH + 1,
        norm_modules=DEPTH + 1,
        FreezeStatistics=DEPTH + 1,
        skips=DEPTH,
        PermuteBlocks=DEPTH,
        MoveNorm_after=DEPTH + 1,
        InsertNorm_linear=1 + DEPTH + 1,
        Reinitialize=1 + DEPTH + 1 + DEPTH + 1,
        StandardizeWeights=1 + DEPTH,
    )
    return Patient(recipe.build(0, dtype=torch.float64), torch.randn(6, 6), numbers)


def convnet() -> Patient:
    """relu(norm(W x)), DEPTH times: no skip."""
    recipe = sn.ConvNet(norm="batch", depth=DEPTH, width=4, dims=2)
    numbers = counted(
        norms=DEPTH,
        norm_modules=DEPTH,
        FreezeStatistics=DEPTH,
        FoldNorm=DEPTH,
        AddSkips=DEPTH,
        MoveNorm_after=DEPTH,
        InsertNorm_linear=2,
        Reinitialize=1 + DEPTH + 1 + DEPTH,
        StandardizeWeights=1 + DEPTH,
    )
    return Patient(recipe.build(0, dtype=torch.float64), torch.randn(4, 1, 5, 5), numbers)


def resnet() -> Patient:
    """relu(x + norm(W relu(norm(W x)))), DEPTH times."""
    recipe = sn.ConvNet(residual=True, norm="batch", order="original", depth=DEPTH, width=4)
    numbers = counted(
        norms=2 * DEPTH,
        norm_modules=2 * DEPTH,
        FreezeStatistics=2 * DEPTH,
        FoldNorm=2 * DEPTH,
        skips=DEPTH,
        PermuteBlocks=DEPTH,
        MoveNorm_after=DEPTH,
        InsertNorm_linear=2,
        Reinitialize=1 + 2 * DEPTH + 1 + 2 * DEPTH,
        StandardizeWeights=1 + 2 * DEPTH,
    )
    return Patient(recipe.build(0, dtype=torch.float64), torch.randn(4, 1, 7), numbers)


class Inline(nn.Module):
    """All in one forward: a norm, activations, a sum, a sum in place and a concatenation are calls."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.third, self.fourth = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 5)
        self.head = nn.Linear(WIDTH + 5, 4)
        self.scale = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        x = torch.tanh(x) + self.second(F.relu(self.first(F.layer_norm(x, (WIDTH,), self.scale))))
        y = self.third(x)
        y += x
        return torch.cat([y, torch.sigmoid(self.fourth(y))], 1)


def inline() -> Patient:
    numbers = counted(
        norms=1,
        skips=3,
        InsertNorm_linear=5,
        InsertNorm_branch=1,
        Reinitialize=5,
        StandardizeWeights=4,
    )
    refused = dict.fromkeys((*OF_MODULES, "FoldNorm"), "layer")
    return Patient(Inline().double(), torch.randn(5, WIDTH), numbers, refused)


class Looped(nn.Module):
    """One block's weights, run twice, the second time within a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 4)
        self.block = Block()

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(torch.tanh(self.stem(x)))
        return self.head(checkpoint(self.block, x, use_reentrant=False))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.linear(self.norm(x)))


def looped() -> Patient:
    numbers = counted(
        norms=2, norm_modules=2, skips=2, InsertNorm_linear=2, Reinitialize=4, StandardizeWeights=2
    )
    return Patient(Looped().double(), torch.randn(5, WIDTH), numbers, {"FoldNorm": "a layer norm"})


def encoder() -> Patient:
    """torch's own transformer, which fuses a whole layer where it may."""
    layer = nn.TransformerEncoderLayer(
        WIDTH, 2, 12, dropout=0.0, batch_first=True, norm_first=True, dtype=torch.float64
    )
    network = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    numbers = counted(
        norms=4,
        norm_modules=4,
        skips=4,
        PermuteBlocks=4,
        InsertNorm_linear=4,
        Reinitialize=2 * 3 + 4,  # attention is one module
        StandardizeWeights=4,  # it ends with a skip, not with a head
    )
    x = torch.randn(2, 5, WIDTH)
    return Patient(network, x, numbers, {"FoldNorm": "a layer norm"})


PATIENTS: dict[str, Callable[[], Patient]] = {
    builder.__name__: builder for builder in (perceptron, convnet, resnet, inline, looped, encoder)
}


def patient(name: str) -> Patient:
    """A fresh one, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = PATIENTS[name]()
        return Patient(stirred(made.network), made.x.double(), made.counts, made.refused)


def another(name: str) -> nn.Module:
    """The same network with other weights."""
    network = copy.deepcopy(patient(name).network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.5)
    return network


KINDS = ("batch", "layer", "group", "instance", "rms", "none", "static")

OPERATIONS: dict[str, sn.Operation] = {
    "CutSkips": sn.CutSkips(),
    "DropBranches": sn.DropBranches(),
    "ScaleSkips branch": sn.ScaleSkips(branch=0.5),
    "ScaleSkips shortcut": sn.ScaleSkips(shortcut=0.5),
    "ScaleSkips learned": sn.ScaleSkips(branch=0.5, learnable=True),
    "ScaleSkips channels": sn.ScaleSkips(shortcut=0.7, branch=0.3, learnable=True, per="channel"),
    "ScaleSkips drop": sn.ScaleSkips(drop=0.5),
    "AddSkips": sn.AddSkips(),
    "PermuteBlocks": sn.PermuteBlocks(),
    **{f"SwapNorm {kind}": sn.SwapNorm(to=kind) for kind in KINDS},
    "FoldNorm": sn.FoldNorm(),
    "MoveNorm after": sn.MoveNorm(to="after_activation"),
    "MoveNorm before": sn.MoveNorm(to="before_activation"),
    "InsertNorm linear": sn.InsertNorm(to="layer"),
    "InsertNorm branch": sn.InsertNorm(to="rms", after="branch"),
    "FreezeAffine": sn.FreezeAffine(),
    "RemoveAffine": sn.RemoveAffine(),
    "FreezeStatistics": sn.FreezeStatistics(),
    "NoisyNorm": sn.NoisyNorm(),
    "Reinitialize": sn.Reinitialize(scheme="he"),
    "StandardizeWeights": sn.StandardizeWeights(),
}
"""Every operation, with those of its settings that take different ways."""


def count(operation: str, of: Patient) -> int:
    """How many sites the definition of the network gives an operation."""
    first, _, setting = operation.partition(" ")
    return of.counts.get(f"{first}_{setting}", of.counts.get(first, 0))


def in_evaluation(operation: str) -> bool:
    """Whether an operation is meant for networks in evaluation mode."""
    return operation == "FoldNorm"


def cases() -> list[tuple[str, str]]:
    """(patient, operation) wherever the operation has a site."""
    made = {name: patient(name) for name in PATIENTS}
    return [
        (name, operation)
        for name in PATIENTS
        for operation in OPERATIONS
        if count(operation, made[name]) and not _impossible(name, operation)
    ]


def without() -> list[tuple[str, str]]:
    """(patient, operation) where there is nothing to operate on."""
    made = {name: patient(name) for name in PATIENTS}
    return [
        (name, operation)
        for name in PATIENTS
        for operation in OPERATIONS
        if not count(operation, made[name])
    ]


def walk() -> list[Any]:
    """The same for a test to walk over: two patients for each operation, in turn, and the others in the slow run."""
    found = cases()
    turns = {
        operation: [name for name, each in found if each == operation] for operation in OPERATIONS
    }
    quick = {
        (names[(place + step) % len(names)], operation)
        for place, (operation, names) in enumerate(turns.items())
        for step in (0, 2)
        if names
    }
    return [pytest.param(*case, marks=() if case in quick else pytest.mark.slow) for case in found]


def _impossible(name: str, operation: str) -> bool:
    return operation == "SwapNorm instance" and name in ("perceptron", "inline", "looped")
