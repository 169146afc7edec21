"""What a point of a landscape costs, as a ratio to a bare forward without gradient, in one process and one thread.

    python benchmarks/landscape.py                       ours alone, about five minutes
    python benchmarks/landscape.py --peers FOLDER        beside loss-landscapes, installed there by pip --target

Times are the processor's, as medians over rounds in which the bare forward and every candidate take turns, so that a
drift of the machine's speed meets all of them. `whole` is a call from beginning to end over its number of points, with
directions drawn, the network's first look and its restoration; `point` is what one more point adds.
"""

import copy
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from transformers import ResNetConfig, ResNetForImageClassification

import skipnorm as sn
from skipnorm.formulas.directions import filter_normalised, gaussian
from skipnorm.probes.landscape import landscape

Job = Callable[[], object]
Batch = tuple[Tensor, Tensor]


class Logits(nn.Module):
    """A ResNet that returns plain logits."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.body = ResNetForImageClassification(ResNetConfig(num_labels=10, **settings))

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images).logits


def perceptron() -> tuple[nn.Module, Batch]:
    layers = [nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 90), nn.ReLU(), nn.Linear(90, 10)]
    return nn.Sequential(*layers).eval(), labelled(torch.randn(128, 64))


def deep_perceptron() -> tuple[nn.Module, Batch]:
    network = sn.Perceptron(depth=8, width=64, norm="batch").build(0)
    return network.eval(), labelled(torch.randn(256, 64))


def small_resnet() -> tuple[nn.Module, Batch]:
    network = Logits(
        embedding_size=16, hidden_sizes=[16, 32, 64], depths=[2, 2, 2], layer_type="basic"
    )
    return network.eval(), labelled(torch.randn(32, 3, 64, 64))


def resnet_50() -> tuple[nn.Module, Batch]:
    return Logits().eval(), labelled(torch.randn(16, 3, 128, 128))


def labelled(inputs: Tensor) -> Batch:
    return inputs, torch.randint(0, 10, (len(inputs),))


def medians(jobs: dict[str, tuple[Job, int]], rounds: int) -> dict[str, float]:
    """Seconds per repetition of every job; each knows how many repetitions it does."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for round_ in range(rounds + 1):
        for name, (job, count) in jobs.items():
            start = time.process_time()
            job()
            if round_:
                times[name].append((time.process_time() - start) / count)
    return {name: statistics.median(taken) for name, taken in times.items()}


def bare(network: nn.Module, batch: Batch, count: int, *, with_loss: bool) -> Job:
    def job() -> None:
        with torch.no_grad():
            for _ in range(count):
                outputs = network(batch[0])
                if with_loss:
                    F.cross_entropy(outputs, batch[1])

    return job


def ours(network: nn.Module, batch: Batch, points: int, along: str, **settings: Any) -> Job:
    return lambda: landscape(network, batch, along=along, points=points, **settings)  # type: ignore[arg-type]


def copied(network: nn.Module, batch: Batch, points: int) -> Job:
    """A loop over copies' weights by `functional_call`, as one would write it."""
    weights = {name: p.detach() for name, p in network.named_parameters()}
    direction = filter_normalised(gaussian(weights, torch.Generator().manual_seed(0)), weights)

    def job() -> None:
        with torch.no_grad():
            for x in np.linspace(-1, 1, points).tolist():
                there = {name: each + x * direction[name] for name, each in weights.items()}
                F.cross_entropy(functional_call(network, there, (batch[0],)), batch[1])

    return job


def stacked(network: nn.Module, batch: Batch, points: int, chunk: int) -> Job:
    """Chunks of points at once by `vmap` over stacked weights: other last bits, no in-place operations."""
    weights, buffers = stack_module_state([network])
    weights = {name: each[0].detach() for name, each in weights.items()}
    buffers = {name: each[0] for name, each in buffers.items()}
    direction = filter_normalised(gaussian(weights, torch.Generator().manual_seed(0)), weights)

    def loss(there: dict[str, Tensor]) -> Tensor:
        return F.cross_entropy(functional_call(network, (there, buffers), (batch[0],)), batch[1])

    def job() -> None:
        with torch.no_grad():
            for xs in torch.linspace(-1, 1, points).split(chunk):
                there = {
                    name: each + xs.reshape(-1, *[1] * each.dim()) * direction[name]
                    for name, each in weights.items()
                }
                vmap(loss)(there)

    return job


def theirs(network: nn.Module, batch: Batch, points: int) -> Job:
    import loss_landscapes
    from loss_landscapes.metrics import Loss

    def job() -> np.ndarray:
        with torch.no_grad():
            metric = Loss(F.cross_entropy, *batch)
            return np.asarray(
                loss_landscapes.random_plane(
                    network, metric, 1, points, normalization="filter", deepcopy_model=True
                )
            )

    return job


def race(
    title: str, make: Callable[[], tuple[nn.Module, Batch]], points: int, rounds: int, side: int
) -> None:
    torch.manual_seed(0)
    network, batch = make()
    jobs: dict[str, tuple[Job, int]] = {
        "forward": (bare(network, batch, points, with_loss=False), points),
        "forward and loss": (bare(network, batch, points, with_loss=True), points),
        "line, whole": (ours(network, batch, points, "line"), points),
        "line, three times as long": (ours(network, batch, 3 * points, "line"), 3 * points),
        "plane, whole": (ours(network, batch, side, "plane"), side * side),
        "line, recalibrated": (
            ours(network, batch, points, "line", statistics="recalibrated"),
            points,
        ),
        "functional_call, by hand": (copied(network, batch, points), points),
        "vmap over 7 points": (stacked(network, batch, points, 7), points),
    }
    if "--peers" in sys.argv:
        jobs["loss-landscapes, plane"] = (theirs(copy.deepcopy(network), batch, side), side * side)
    for name, (job, _) in list(jobs.items()):
        try:
            job()
        except Exception as error:
            del jobs[name]
            print(f"    {name}: raises {type(error).__name__}: {error}")
    times = medians(jobs, rounds)
    base = times["forward"]
    print(f"\n{title}: forward without gradient {base * 1e3:.3f} ms; {points} points a line")
    for name, taken in times.items():
        print(f"    {name:28s} {taken / base:6.2f} x")
    more = (3 * points * times["line, three times as long"] - points * times["line, whole"]) / (
        2 * points
    )
    loss = times["forward and loss"]
    print(f"    {'line, point':28s} {more / base:6.2f} x, {more / loss:.2f} x forward and loss")
    check(network, batch, side, peers="loss-landscapes, plane" in jobs)


def check(network: nn.Module, batch: Batch, side: int, *, peers: bool) -> None:
    """The yardstick of correctness: the value at the centre is the network's own loss."""
    with torch.no_grad():
        own = float(F.cross_entropy(network(batch[0]), batch[1]))
    grid = landscape(network, batch, points=side).values["loss"]
    print(f"    centre less loss: ours {grid[side // 2, side // 2] - own:g}", end="")
    if peers:
        found = theirs(copy.deepcopy(network), batch, side)()
        assert isinstance(found, np.ndarray)
        nearest = float(np.abs(found - own).min())
        print(f"; loss-landscapes, the nearest of its {side * side} values: {nearest:g}", end="")
    print()


def main() -> None:
    torch.set_num_threads(1)
    if "--peers" in sys.argv:
        sys.path.append(sys.argv[sys.argv.index("--peers") + 1])
    race("Perceptron of 21 thousand weights, 128 samples", perceptron, 201, 9, 15)
    race("Perceptron, 8 layers of 64 with batch norm, 256 samples", deep_perceptron, 101, 9, 11)
    race("Small ResNet with batch norm, 32 images of 64 x 64", small_resnet, 15, 5, 3)
    race("50-layer ResNet, 16 images of 128 x 128", resnet_50, 3, 2, 1)


if __name__ == "__main__":
    main()
