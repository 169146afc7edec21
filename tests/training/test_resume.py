"""A run that was interrupted goes on bit for bit. Truth: the run that was not."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.subjects import Points, Shaken, busy, last
from tests.training.test_order import Shaking, loader
from torch import Tensor, nn
from torch.nn import functional as F

from skipnorm.errors import TrainingError
from skipnorm.tasks.synthetic import Gaussian
from skipnorm.training import Training
from skipnorm.training.state import Divergence, State
from skipnorm.training.train import train


class Interrupted(Exception):
    """The power went out."""


def cut_after(calls: int) -> Any:
    """Cross-entropy that ends in a power cut."""
    left = [calls]

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise Interrupted
        return F.cross_entropy(outputs, targets)

    return loss


def everything(state: State) -> dict[str, Any]:
    tensors = {**dict(state.network.named_parameters()), **dict(state.network.named_buffers())}
    return {
        "step": state.step, "diverged": state.diverged, "losses": state.losses.tolist(),
        "rates": state.rates.tolist(), **{name: each.tolist() for name, each in tensors.items()},
    }  # fmt: skip


TRAININGS = {
    "sgd": {"rate": 0.05, "settings": {"momentum": 0.9, "nesterov": True}},
    "adam": {"optimizer": "adam", "rate": 0.01, "schedule": "cosine", "warmup": 7},
    "adamw": {"optimizer": "adamw", "rate": 0.01, "schedule": "step", "clip": 0.5},
    "one_cycle": {"schedule": "one_cycle", "settings": {"momentum": 0.9}},
    "rmsprop": {"optimizer": "rmsprop", "rate": 0.01, "schedule": "linear"},
    "function": {"schedule": "math:exp", "warmup": 25, "rate": 0.01},
    "bf16": {"precision": "bf16", "rate": 0.05},
}


@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.parametrize("calls", [5, 13, 30])
def test_it_goes_on_bit_for_bit(name: str, calls: int, tmp_path: Path) -> None:
    """Interrupted twice; batch norm, dropout and a generator of the network's own run along."""
    training = Training(steps=37, batch=12, **TRAININGS[name])
    kept: dict[str, Any] = {"seed": 4, "at": "end", "kept": tmp_path / "run", "every": 4}
    expected = last(train(busy(), Shaken(), training, seed=4))
    for loss in (cut_after(calls), cut_after(3)):
        with pytest.raises(Interrupted):
            last(train(busy(), Shaken(), training, **kept, loss=loss))
    # a network with other weights shows that it is the file which is gone on from
    found = last(train(busy(1), Shaken(), training, **kept))
    assert everything(found) == everything(expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


SOURCES = {
    "task": Points(),
    "loader": loader(),
    "shaking": Shaking(),
    "list": [(torch.randn(9, 4), torch.arange(9) % 3) for _ in range(7)],
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_of_batches_goes_on(name: str, tmp_path: Path) -> None:
    training, source = Training(steps=23, batch=12, optimizer="adam", rate=0.01), SOURCES[name]
    kept: dict[str, Any] = {"seed": 4, "at": "end", "kept": tmp_path / "run", "every": 5}
    expected = last(train(busy(), source, training, seed=4, loss=F.cross_entropy))
    with pytest.raises(Interrupted):
        last(train(busy(), source, training, **kept, loss=cut_after(19)))
    from_step_15 = cut_after(8)
    found = last(train(busy(), source, training, **kept, loss=from_step_15))
    assert everything(found) == everything(expected)


def test_samples_without_end_go_on(tmp_path: Path) -> None:
    training = Training(steps=10, batch=12, rate=1e-3)
    expected = last(train(nn.Linear(4, 4), Gaussian(4), training, seed=4))
    network, file = nn.Linear(4, 4), tmp_path / "run"
    network.load_state_dict(expected.network.state_dict())
    for at in (6, "end"):
        torch.manual_seed(0)
        last(train(nn.Linear(4, 4), Gaussian(4), training, seed=4, at=at, kept=file))
    torch.manual_seed(0)
    alone = last(train(nn.Linear(4, 4), Gaussian(4), training, seed=4))
    torch.manual_seed(0)
    found = last(train(nn.Linear(4, 4), Gaussian(4), training, seed=4, at="end", kept=file))
    assert everything(found) == everything(alone)


KILLED = """
import sys
sys.path.insert(0, {here!r})
from tests.training.subjects import Points, busy
from skipnorm.training import Training
from skipnorm.training.train import train
training = Training(steps=150, batch=12, settings={{"momentum": 0.9}}, rate=0.01)
for state in train(busy(), Points(), training, seed=1, at=(20, "end"), kept={file!r}, every=3):
    print("ready", flush=True)
"""


def test_a_process_that_is_killed_loses_little(tmp_path: Path) -> None:
    """At no particular moment after step 20: the file is whole whenever that is."""
    file = tmp_path / "run"
    script = KILLED.format(here=str(Path(__file__).parents[2]), file=str(file))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    training = Training(steps=150, batch=12, settings={"momentum": 0.9}, rate=0.01)
    expected = last(train(busy(), Points(), training, seed=1))
    from_step_18_at_most = cut_after(150 - 18)
    found = last(
        train(busy(), Points(), training, seed=1, at="end", kept=file, loss=from_step_18_at_most)
    )
    assert everything(found) == everything(expected)
    assert found.notes == ()


def test_every_state_asked_for_is_handed_out_whatever_the_file_holds(tmp_path: Path) -> None:
    training, file = Training(steps=20, batch=12), tmp_path / "run"
    alone = {s.step: everything(s) for s in train(busy(), Points(), training, seed=0, at=range(21))}
    for at in ((12,), (0, 5, 20), (12, 20), (20,), (3,), (20,)):
        states = train(busy(), Points(), training, seed=0, at=at, kept=file, every=6)
        found = {state.step: everything(state) for state in states}
        assert found == {step: alone[step] for step in at}


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    training, file = Training(steps=20, batch=12), tmp_path / "run"
    first = everything(last(train(busy(), Points(), training, seed=0, at="end", kept=file)))
    before = file.read_bytes()
    again = last(train(busy(), Points(), training, seed=0, at="end", kept=file, loss=cut_after(0)))
    assert everything(again) == first
    assert file.read_bytes() == before
    grown = last(train(busy(), Points(), training, seed=0, at="end", kept=file))
    assert everything(grown) == first


def test_a_run_that_diverged_diverges_again_at_the_same_step(tmp_path: Path) -> None:
    training, file = Training(steps=50, batch=12, rate=1e4, blow_up=1e6), tmp_path / "run"
    expected = last(train(busy(), Points(), training, seed=0))
    assert isinstance(expected.diverged, Divergence)
    assert expected.step > 0
    for _ in range(2):
        found = last(train(busy(), Points(), training, seed=0, at="end", kept=file, every=1))
        assert everything(found) == everything(expected)


def damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (damaged, "it is damaged"),
        (lambda content: content[:-100], "it is damaged"),
        (lambda content: b"", "no checkpoint of skipnorm"),
        (lambda content: b"PK" + content, "no checkpoint of skipnorm"),
    ],
    ids=["one bit", "truncated", "empty", "foreign"],
)
def test_a_damaged_file_is_named_put_aside_and_not_trusted(
    harm: Any, reason: str, tmp_path: Path
) -> None:
    training, file = Training(steps=10, batch=12), tmp_path / "run"
    expected = last(train(busy(), Points(), training, seed=0, at=(5, "end"), kept=file))
    file.write_bytes(harm(file.read_bytes()))
    found = last(train(busy(), Points(), training, seed=0, at="end", kept=file))
    (note,) = found.notes
    assert "run.damaged" in note
    assert reason in note
    assert everything(found) == everything(expected)
    assert {path.name for path in tmp_path.iterdir()} == {"run", "run.damaged"}


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"training": Training(steps=10, batch=12, rate=0.2)},
        {"network": busy(width=9)},
        {"network": nn.Sequential(*(nn.GELU() if isinstance(m, nn.ReLU) else m for m in busy()))},
        {"task": [(torch.zeros(9, 4), torch.zeros(9, dtype=torch.long))]},
    ],
    ids=["seed", "training", "width", "activation", "data"],
)
def test_another_runs_file_is_not_trusted(other: dict[str, Any], tmp_path: Path) -> None:
    mine: dict[str, Any] = {
        "network": busy(), "task": Points(), "training": Training(steps=10, batch=12), "seed": 0
    }  # fmt: skip
    last(train(**mine, at=5, kept=tmp_path / "run"))
    mine |= {"network": busy(), "loss": F.cross_entropy, **other}
    found = last(train(**mine, at="end", kept=tmp_path / "run"))
    assert len(found.losses) == 10
    assert "put aside" in found.notes[0]


def test_another_runs_file_is_not_lost_however_far_it_came(tmp_path: Path) -> None:
    training, file = Training(steps=10, batch=12), tmp_path / "run"
    last(train(busy(), Points(), training, seed=0, at="end", kept=file))
    before = file.read_bytes()
    found = last(train(busy(), Points(), training, seed=1, at=3, kept=file))
    assert "put aside" in found.notes[0]
    assert (tmp_path / "run.damaged").read_bytes() == before


def test_batches_that_do_not_repeat_themselves(tmp_path: Path) -> None:
    """A loader with a generator of its own has another order when it is run through again."""
    inputs, targets = Points().full("train")
    data = torch.utils.data.TensorDataset(inputs, targets)
    own = torch.utils.data.DataLoader(data, 10, shuffle=True, generator=torch.Generator())
    last(train(busy(), own, Training(steps=10), seed=0, at=5, kept=tmp_path / "run"))
    found = last(train(busy(), own, Training(steps=10), seed=0, at="end", kept=tmp_path / "run"))
    assert "in another order" in found.notes[0]
    once = iter([(inputs + number, targets) for number in range(20)])
    last(train(busy(), once, Training(steps=10), seed=1, at=5, kept=tmp_path / "other"))
    others = train(busy(), once, Training(steps=10), seed=1, at="end", kept=tmp_path / "other")
    with pytest.raises(TrainingError, match="run through again"):
        last(others)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match="could not write the checkpoint"):
        last(
            train(
                busy(),
                Points(),
                Training(steps=3, batch=12),
                seed=0,
                kept=tmp_path / "file" / "run",
            )
        )


def test_a_write_that_fails_leaves_the_file_before_it(tmp_path: Path, monkeypatch: Any) -> None:
    training, file = Training(steps=10, batch=12), tmp_path / "run"
    last(train(busy(), Points(), training, seed=0, at=5, kept=file))
    before = file.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match="No space left"):
        last(train(busy(), Points(), training, seed=0, at="end", kept=file))
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
