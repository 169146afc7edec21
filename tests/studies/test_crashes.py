"""Killed at any moment, a study loses at most the trials in flight. Truth: an undisturbed run."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skipnorm.studies.manifest import collect, write_manifest
from skipnorm.studies.run import complete
from skipnorm.studies.status import status

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
TRIALS, KILLS = 30, 3


@pytest.fixture
def toywork(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import toywork

    monkeypatch.setattr("skipnorm.studies.errand.perform", toywork.perform)
    return toywork


KILLED = """
import os, sys
sys.path.insert(0, {place!r})
os.environ["TOYWORK_SECONDS"] = "0.03"
from functools import partial
from pathlib import Path
import toywork
from skipnorm.studies.executors import {executor}
from skipnorm.studies.run import complete

def on(work, trials):
    for outcome in {executor}(partial(toywork.toying, work), trials):
        yield outcome
        print(outcome.trial.seed, flush=True)

if __name__ == "__main__":
    complete("toy", toywork.trials({trials}), Path({folder!r}), executor=on, progress="off")
"""


def killed_at_random(script: Path, dice: random.Random) -> bool:
    """Start a study and kill it some time after its first trial; whether it had not finished."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, str(script)], **pipes) as running:
        running.stdout.readline()
        time.sleep(dice.uniform(0, 0.3))
        os.kill(running.pid, signal.SIGKILL)
        running.stdout.close()
        return running.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    "executor", ["in_process", pytest.param("processes", marks=pytest.mark.slow)]
)
def test_a_study_killed_at_random_ends_with_the_same_evidence(toywork, tmp_path, executor):
    trials = toywork.trials(TRIALS)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        write_manifest("toy", trials, folder)
    complete("toy", trials, whole, executor="in_process", progress="off")
    script = tmp_path / "killed.py"
    settings = {"place": str(Path(__file__).parent), "folder": str(broken), "trials": TRIALS}
    script.write_text(KILLED.format(executor=executor, **settings))
    dice = random.Random(5)
    kills = sum(killed_at_random(script, dice) for _ in range(KILLS))
    assert kills >= 2
    done_before = status(broken).counts["done"]
    outcomes = complete("toy", trials, broken, executor="in_process", progress="off")
    assert {outcome.status for outcome in outcomes} <= {"kept", "finished"}
    assert done_before >= kills  # every start got something done
    assert collect(broken).identical(collect(whole))
    performed = len((broken / "marks").read_text().split())
    hands = 1 if executor == "in_process" else len(os.sched_getaffinity(0))
    assert performed <= TRIALS + kills * hands
    assert not list(broken.rglob("*.damaged*"))


def test_drafts_that_a_kill_left_behind_are_nobody_s_evidence(toywork, tmp_path):
    (trial,) = trials = toywork.trials(1)
    write_manifest("toy", trials, tmp_path)
    path = trial.evidence_file(tmp_path)
    path.parent.mkdir(parents=True)
    path.with_name(f".{path.name}.xyz.part").write_bytes(b"half")
    assert status(tmp_path).counts["missing"] == 1
    complete("toy", trials, tmp_path, executor="in_process", progress="off")
    assert status(tmp_path).complete
