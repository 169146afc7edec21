"""A study that is trained and read, killed at any moment. Truth: the same study undisturbed, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from skipnorm.studies.manifest import collect
from skipnorm.studies.run import run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
HERE = Path(__file__).parent


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(HERE))
    import killed

    return killed


def started(folder: Path, executor: str, size: str) -> subprocess.Popen:
    command = [sys.executable, str(HERE / "killed.py"), str(folder), executor, size]
    pipes = {"stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, start_new_session=True, **pipes)


def killed_at_random(
    folder: Path, executor: str, size: str, dice: random.Random, most: float
) -> bool:
    """Whether a study was killed, with all its workers, some time after it had begun to work."""
    with started(folder, executor, size) as process:
        assert process.stdout.readline() == "ready\n"
        if executor == "processes":  # workers take seconds to start
            process.stdout.readline()
        time.sleep(dice.uniform(0, most))
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        return process.wait() == -signal.SIGKILL


def same_bits(one: xr.Dataset, other: xr.Dataset) -> None:
    assert one.drop_attrs(deep=False).identical(other.drop_attrs(deep=False))
    for name, variable in one.variables.items():
        assert variable.dtype == other[name].dtype
        assert variable.values.tobytes() == other[name].values.tobytes(), name


def updates(folder: Path) -> int:
    return (folder / "marks").stat().st_size


def needed(evidence: xr.Dataset) -> int:
    """How many updates the trials of a study take: all, or up to the one that diverges, included."""
    ended = evidence["diverged_at"].values + 1
    steps = np.where(np.isnan(ended), evidence["last_step"].values, ended)
    return int(steps[evidence["recorded"].values].sum())


def killed_and_finished(killed, tmp_path: Path, executor: str, size: str, kills: int, most: float):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected = run(killed.study(size), whole, progress="off")
    dice = random.Random(7)
    hits = sum(killed_at_random(broken, executor, size, dice, most) for _ in range(kills))
    assert hits >= kills - 1
    with started(broken, executor, size) as process:
        process.communicate(timeout=600)
    assert process.returncode == 0
    same_bits(collect(broken), expected)
    assert not list(broken.rglob("*.damaged*"))
    assert not list(broken.rglob("*.partial.nc"))
    hands = 1 if executor == "in_process" else len(os.sched_getaffinity(0))
    repeated = updates(broken) - needed(expected)
    assert 0 <= repeated <= hits * hands * killed.EVERY


def test_a_killed_study_ends_with_the_same_evidence(killed, tmp_path):
    killed_and_finished(killed, tmp_path, "in_process", "small", kills=2, most=0.6)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["in_process", "processes"])
def test_a_large_killed_study_ends_with_the_same_evidence(killed, tmp_path, executor):
    """4 normalisers x 5 seeds x 2 depths x 4 learning rates, of which one diverges; 6 probes."""
    assert len(killed.PROBES) == 6
    killed_and_finished(killed, tmp_path, executor, "whole", kills=5, most=4.0)


@pytest.mark.parametrize(
    "executor", ["in_process", pytest.param("processes", marks=pytest.mark.slow)]
)
def test_two_at_once_train_nothing_twice(killed, tmp_path, executor):
    both, alone = tmp_path / "both", tmp_path / "alone"
    pair = [started(both, executor, "small") for _ in range(2)]
    expected = run(killed.study("small"), alone, progress="off")
    told = [process.communicate(timeout=300)[0].split() for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert sum(words.count("finished") for words in told) == expected["recorded"].size
    assert updates(both) == needed(expected)
    same_bits(collect(both), expected)
    assert not list(both.rglob("*.damaged*"))
