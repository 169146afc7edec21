"""What the training loop costs: as a ratio to a bare PyTorch loop, in one process and one thread.

    python benchmarks/training.py            all of it, about two minutes

Both loops make the same updates on the same samples, bit for bit, which is asserted first. Times are medians over
rounds in which the loops take turns, so that a drift of the machine's speed meets both.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skipnorm.networks.recipe import ConvNet, Perceptron, Recipe
from skipnorm.tasks.digits import Digits
from skipnorm.training import Training
from skipnorm.training.order import permutation
from skipnorm.training.train import train

Job = Callable[[], list[float]]
STEPS, BATCH = 200, 128
SETTINGS = {"momentum": 0.9}

CASES: dict[str, tuple[Recipe, Digits]] = {
    "Perceptron, 2 layers of 64": (Perceptron(depth=2, width=64), Digits(flat=True)),
    "Perceptron, 8 layers of 64 with batch norm": (
        Perceptron(depth=8, width=64, norm="batch"),
        Digits(flat=True),
    ),
    "ConvNet, 4 layers of 16 with batch norm": (
        ConvNet(depth=4, width=16, norm="batch", dims=2),
        Digits(),
    ),
}


def bare(network: nn.Module, inputs: Tensor, targets: Tensor) -> list[float]:
    """What anybody would write, with the loss of every update kept."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, **SETTINGS)
    losses: list[float] = []
    epoch = 0
    while True:
        order = torch.from_numpy(permutation(0, epoch, len(inputs)))
        epoch += 1
        for rows in order.split(BATCH)[: len(inputs) // BATCH]:
            loss = F.cross_entropy(network(inputs[rows]), targets[rows])
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if len(losses) == STEPS:
                return losses


def ours(network: nn.Module, task: Digits, kept: Path | None = None) -> list[float]:
    training = Training(steps=STEPS, rate=0.01, batch=BATCH, settings=SETTINGS)
    (state,) = train(network, task, training, seed=0, at="end", kept=kept)
    if kept is not None:
        kept.unlink()
    return state.losses.tolist()


def taking_turns(jobs: dict[str, Job], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Processor and wall time of every job in every round."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            start = time.process_time(), time.perf_counter()
            job()
            times[name].append((time.process_time() - start[0], time.perf_counter() - start[1]))
    return times


def compare(title: str, recipe: Recipe, task: Digits, folder: Path, rounds: int = 15) -> None:
    inputs, targets = task.full("train")
    assert bare(recipe.build(0), inputs, targets) == ours(recipe.build(0), task)
    jobs: dict[str, Job] = {
        "bare loop": lambda: bare(recipe.build(0), inputs, targets),
        "train": lambda: ours(recipe.build(0), task),
        "train, 10 checkpoints": lambda: ours(recipe.build(0), task, folder / "run"),
    }
    times = taking_turns(jobs, rounds)
    processor = statistics.median(each[0] for each in times["bare loop"])
    print(f"\n{title}: {processor / STEPS * 1e6:.0f} us of processor time an update")
    for name in list(jobs)[1:]:
        pairs = list(zip(times[name], times["bare loop"], strict=True))
        ratios = [statistics.median(a[k] / b[k] for a, b in pairs) for k in (0, 1)]
        print(f"  {name:24s} {ratios[0]:6.3f} x processor {ratios[1]:8.3f} x wall")


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for title, (recipe, task) in CASES.items():
            compare(title, recipe, task, Path(folder))


if __name__ == "__main__":
    main()
