"""Which samples come when. Truth: each once an epoch, and the same ones whatever the network draws."""

import random
from collections import UserDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from tests.training.subjects import Points, Shaken, Watched, busy, last
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from skipnorm.errors import TaskError, TrainingError
from skipnorm.tasks import Mnist, Npz, Task
from skipnorm.tasks.synthetic import Gaussian
from skipnorm.training import Training
from skipnorm.training.batches import batches_of
from skipnorm.training.order import number, permutation
from skipnorm.training.train import train


def shown(network: nn.Module, task: Any, seed: int = 0, steps: int = 13, batch: int = 20) -> Tensor:
    watched = Watched(network)
    last(train(watched, task, Training(steps=steps, batch=batch, rate=1e-4), seed=seed))
    return torch.stack(watched.shown)


def loader() -> DataLoader[Any]:
    inputs, targets = Points().full("train")
    return DataLoader(TensorDataset(inputs, targets), batch_size=20, shuffle=True, drop_last=True)


class Shaking:
    """A loader whose samples are altered by every global source of random numbers."""

    def __iter__(self) -> Iterator[Any]:
        inputs, targets = Points().full("train")
        for rows in torch.arange(40).split(20):
            noise = torch.rand(()) + random.random() + float(np.random.rand())  # noqa: NPY002
            yield inputs[rows] + noise, targets[rows]


QUIET = nn.Linear(4, 3)
TASKS = {"task": Points(), "augmented": Shaken(), "loader": loader(), "shaking": Shaking()}


@pytest.mark.parametrize("name", TASKS)
def test_networks_of_one_seed_see_the_same_samples(name: str) -> None:
    """`busy` draws for its dropout at every update, the other network never."""
    seen = shown(busy(), TASKS[name])
    assert torch.equal(seen, shown(QUIET, TASKS[name]))
    assert torch.equal(seen, shown(busy(width=5), TASKS[name]))
    assert not torch.equal(seen, shown(QUIET, TASKS[name], seed=1))


@pytest.mark.parametrize("name", ["task", "loader"])
def test_every_epoch_shows_a_sample_at_most_once_and_in_a_new_order(name: str) -> None:
    seen = shown(QUIET, TASKS[name], steps=8)[:, :, 0].reshape(4, 40)  # two batches an epoch
    assert all(len(set(epoch.tolist())) == 40 for epoch in seen)
    assert len({tuple(epoch.tolist()) for epoch in seen}) == 4
    assert len(set(seen.flatten().tolist())) == 50  # what one epoch leaves out, another shows


def test_augmentation_has_random_numbers_of_its_own() -> None:
    plain, shaken = shown(QUIET, Points()), shown(QUIET, Shaken())
    difference = shaken - plain
    assert difference.min() >= 0  # the same samples, each with a number below 1 added
    assert difference.max() <= 1
    assert len(set(difference.flatten().tolist())) > 1000


def test_a_task_without_end_gives_fresh_samples() -> None:
    seen = shown(nn.Linear(4, 4), Gaussian(4), steps=5)
    assert len(set(seen.flatten().tolist())) == 5 * 20 * 4
    assert torch.equal(
        seen, shown(nn.Sequential(nn.Dropout(), nn.Linear(4, 4)), Gaussian(4), steps=5)
    )


def test_the_whole_of_the_data_at_every_step() -> None:
    seen = shown(QUIET, Points(), steps=3, batch=50)
    assert all(sorted(step[:, 0].tolist()) == list(range(50)) for step in seen)


class Named(Points):
    """The same samples as a dict that a network takes by name."""

    def full(self, split: str) -> Any:
        inputs, targets = super().full(split)
        return {"input": inputs, "labels": targets}


class TakesNames(nn.Module):
    """As a Hugging Face model."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Watched(nn.Linear(4, 3))

    def forward(self, input: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": nn.functional.cross_entropy(self.inner(input), labels)}


def test_a_task_whose_samples_are_named() -> None:
    network = TakesNames()
    last(train(network, Named(loss=None), Training(steps=13, batch=20, rate=1e-4), seed=0))
    assert torch.equal(torch.stack(network.inner.shown), shown(QUIET, Points()))


class Other(UserDict[str, Tensor]):
    """A mapping that is no dict, as tokenisers give it."""


@pytest.mark.parametrize("kind", [dict, Other])
def test_named_samples_are_chosen_and_altered(kind: Any) -> None:
    @dataclass(frozen=True)
    class Made(Named):
        def full(self, split: str) -> Any:
            return kind(super().full(split))

        def augment(self, inputs: dict[str, Tensor], generator: torch.Generator) -> Any:
            return {**inputs, "input": Shaken().augment(inputs["input"], generator)}

    network = TakesNames()
    last(train(network, Made(loss=None), Training(steps=13, batch=20, rate=1e-4), seed=0))  # type: ignore[arg-type]
    assert torch.equal(torch.stack(network.inner.shown), shown(QUIET, Shaken()))


class Pair(NamedTuple):
    """A tuple of a class of its own."""

    inputs: Tensor
    targets: Any


@dataclass(frozen=True)
class Given(Points):
    """Samples of any kind."""

    samples: Any = None

    def full(self, split: str) -> Any:
        return self.samples


def test_samples_in_a_tuple_of_another_class() -> None:
    pair = Pair(*Points().full("train"))
    assert torch.equal(shown(QUIET, Given(samples=pair)), shown(QUIET, Points()))
    seen = batches_of([pair], 9, 0, "meta")(0)
    assert [each.device.type for each in seen] == ["meta", "meta"]


@pytest.mark.parametrize(
    "samples",
    [
        tuple(each.numpy() for each in Points().full("train")),
        (torch.ones(50, 4), torch.zeros(49)),
        (torch.ones(50, 4), torch.tensor(1.0)),
        (torch.ones(50, 4), Pair(torch.ones(50), None)),
    ],
    ids=["numpy", "lengths", "number", "out of reach"],
)
def test_samples_of_which_no_rows_can_be_taken(samples: Any) -> None:
    with pytest.raises(TrainingError, match="as tensors with the samples first"):
        train(QUIET, Given(samples=samples), Training(batch=9), seed=0)


def test_what_is_not_augmented_is_moved_once(tmp_path: Path) -> None:
    """Only samples that chance alters stay where chance is drawn; on ``meta`` no row could be altered."""
    numbers = np.random.default_rng(0)
    images = numbers.integers(0, 256, (30, 1, 4, 4), np.uint8)
    np.savez(tmp_path / "set.npz", x=images, y=np.arange(30) % 3)
    plain, altered = (Npz(tmp_path / "set.npz", crop=crop) for crop in (0, 1))
    for task, device in ((plain, "meta"), (altered, "cpu")):
        assert {each.device.type for each in _epochs(task)._samples} == {device}
    assert not plain.augments
    assert altered.augments


def _epochs(task: Any) -> Any:
    return batches_of(task, 4, 0, "meta")


@dataclass(frozen=True)
class Endless(Task):
    """Fresh samples, whose class says nothing of a last one."""

    loss: str = "cross_entropy"

    def batch(self, size: int, seed: int, *, split: Any = "train") -> Any:
        return torch.full((size, 4), float(seed)), torch.zeros(size, dtype=torch.long)


def test_a_task_of_ones_own_without_a_last_sample() -> None:
    assert len(set(shown(QUIET, Endless(), steps=3).flatten().tolist())) == 3


def test_a_file_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="found none"):
        train(QUIET, Mnist(root=str(tmp_path)), Training(batch=9), seed=0)


def test_a_list_is_run_through_in_its_order_and_a_pair_is_one_batch() -> None:
    pairs = [(torch.full((2, 4), float(i)), torch.zeros(2, dtype=torch.long)) for i in range(3)]
    assert shown(QUIET, pairs, steps=5)[:, 0, 0].tolist() == [0, 1, 2, 0, 1]
    assert shown(QUIET, pairs[2], steps=3)[:, 0, 0].tolist() == [2, 2, 2]


def test_a_network_that_writes_into_its_input_does_not_write_into_the_data() -> None:
    network = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 3))
    pair = (torch.full((2, 4), -1.0), torch.zeros(2, dtype=torch.long))
    assert shown(network, pair, steps=2).tolist() == [[[-1.0] * 4] * 2] * 2
    assert pair[0].tolist() == [[-1.0] * 4] * 2


def test_a_loader_that_ends_too_soon() -> None:
    pair = (torch.ones(2, 4), torch.zeros(2, dtype=torch.long))
    assert len(shown(QUIET, iter([pair] * 3), steps=3)) == 3
    with pytest.raises(TrainingError, match="found none for step 3"):
        shown(QUIET, iter([pair] * 3), steps=4)
    with pytest.raises(TrainingError, match="found none for step 0"):
        shown(QUIET, [], steps=4)


def test_numbers_for_different_purposes_are_unrelated() -> None:
    numbers = {
        number(seed, purpose, k) for seed in range(20) for purpose in (1, 2, 3) for k in range(20)
    }
    assert len(numbers) == 20 * 3 * 20
    assert max(numbers) < 2**63


def test_orders_are_uniform() -> None:
    """Of the 6 orders of 3 samples each comes as often: chi-squared with 5 degrees of freedom, 0.1 % bound 20.5."""
    seen = [tuple(permutation(seed, epoch, 3)) for seed in range(60) for epoch in range(20)]
    counts = np.array([seen.count(order) for order in set(seen)])
    assert len(counts) == 6
    assert ((counts - 200) ** 2 / 200).sum() < 20.5
