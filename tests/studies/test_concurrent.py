"""Several processes on one study: nothing is repeated, nothing damaged. Truth: marks of what was done."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from skipnorm.errors import StudyError
from skipnorm.studies import claims
from skipnorm.studies.claims import PATIENCE, Owner, claim_place, forget_dead, owner_of, take
from skipnorm.studies.errand import Errand, errand
from skipnorm.studies.manifest import collect, write_manifest
from skipnorm.studies.outcome import failure, record, write_text
from skipnorm.studies.run import complete

POSIX = pytest.mark.skipif(os.name != "posix", reason="processes and signals of POSIX")


@pytest.fixture
def toywork(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import toywork

    monkeypatch.setattr("skipnorm.studies.errand.perform", toywork.perform)
    return toywork


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return claim_place(tmp_path, tmp_path / "trials" / "a" / "0-key.nc")


def claim_by(place: Path, owner: Owner, *, age: float, generation: int = 1) -> Path:
    """A claim that some other process wrote so many seconds ago."""
    path = place.with_name(f"{place.name}.{generation}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(owner)))
    os.utime(path, (time.time() - age,) * 2)
    return path


def a_dead_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_claim_excludes_all_others_until_it_is_released(place: Path):
    with take(place) as claim:
        assert claim.path.is_file()
        assert take(place) is None
        owner, alive = owner_of(place)
        assert (owner.pid, alive) == (os.getpid(), True)
    assert owner_of(place) is None
    take(place).release()
    assert list(place.parent.glob(f"{place.name}*")) == []


def test_a_claim_is_released_by_whatever_ends_its_block(place: Path):
    with pytest.raises(KeyboardInterrupt), take(place):
        raise KeyboardInterrupt
    assert owner_of(place) is None


@POSIX
def test_a_dead_owner_on_this_machine_is_succeeded_at_once(place: Path):
    dead = replace(claims._me(), pid=a_dead_process())
    claim_by(place, dead, age=0)
    assert owner_of(place)[1] is False
    with take(place) as claim:
        assert claim.path.name.endswith(".2")
        assert take(place) is None
    assert owner_of(place) is None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the machine does not tell")
def test_another_process_with_the_same_number_is_not_the_owner(place: Path):
    claim_by(place, replace(claims._me(), born="long ago"), age=0)
    assert owner_of(place)[1] is False


def test_an_owner_elsewhere_is_given_a_minute(place: Path):
    far = Owner("far.example", 1, "another machine", "0")
    path = claim_by(place, far, age=PATIENCE / 2)
    assert take(place) is None
    os.utime(path, (time.time() - 2 * PATIENCE,) * 2)
    assert str(owner_of(place)[0]) == "process 1 on far.example"
    take(place).release()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_damaged_claim_counts_until_its_minute_is_over(place: Path, text: str):
    path = claim_by(place, claims._me(), age=0)
    path.write_text(text)
    assert take(place) is None
    os.utime(path, (time.time() - 2 * PATIENCE,) * 2)
    take(place).release()


def test_of_many_successors_exactly_one_succeeds(place: Path):
    for round_ in range(5):
        far = Owner("far.example", 1, "another machine", "0")
        claim_by(place, far, age=2 * PATIENCE)
        barrier, won = threading.Barrier(16), []

        def compete(barrier=barrier, won=won):
            barrier.wait()
            won.append(take(place))

        threads = [threading.Thread(target=compete) for _ in range(16)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        (claim,) = [claim for claim in won if claim is not None]
        claim.release()
        assert owner_of(place) is None, round_


def test_a_held_claim_is_kept_fresh(place: Path):
    with take(place) as claim:
        os.utime(claim.path, (0, 0))
        claims._touch_all()
        assert time.time() - claim.path.stat().st_mtime < PATIENCE / 2


@POSIX
def test_only_the_claims_of_the_dead_are_forgotten(place: Path):
    claim_by(place, replace(claims._me(), pid=a_dead_process()), age=0)
    forget_dead(place)
    assert owner_of(place) is None
    with take(place):
        forget_dead(place)
        assert owner_of(place)[1]


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path):
    (tmp_path / "claims").write_text("a file where a folder should be")
    with pytest.raises(StudyError, match="disk full, or the folder read-only"):
        take(claim_place(tmp_path, tmp_path / "trials" / "a" / "0-key.nc"))


def test_what_a_fellow_has_in_hand_is_waited_for_and_not_repeated(toywork, tmp_path: Path):
    trials = toywork.trials(3)
    fellow = Errand(tmp_path)
    claim = fellow.claim(trials[0])

    def finish():
        fellow.carry_out(trials[0])
        claim.release()

    timer = threading.Timer(0.3, finish)
    timer.start()
    outcomes = complete("toy", trials, tmp_path, executor="in_process", progress="off")
    timer.join()
    found = {outcome.trial.seed: outcome.status for outcome in outcomes}
    assert found == {0: "kept", 1: "finished", 2: "finished"}
    assert sorted((tmp_path / "marks").read_text().split()) == ["0", "1", "2"]


def test_what_a_fellow_gives_up_is_done_here(toywork, tmp_path: Path):
    trials = toywork.trials(2)
    claim = Errand(tmp_path).claim(trials[0])
    timer = threading.Timer(0.3, claim.release)
    timer.start()
    outcomes = complete("toy", trials, tmp_path, executor="in_process", progress="off")
    timer.join()
    assert {outcome.status for outcome in outcomes} == {"finished"}


def test_what_failed_in_a_fellow_is_not_tried_again_but_old_failures_are(toywork, tmp_path: Path):
    old, new = toywork.trials(2)
    record(failure(old, ValueError("before")), tmp_path)
    here = errand(tmp_path, [old, new])
    record(failure(new, ValueError("meanwhile")), tmp_path)
    assert here(old).status == "finished"
    assert (here(new).status, here(new).reason) == ("failed", "ValueError: meanwhile")
    assert not old.failure_file(tmp_path).exists()
    assert errand(tmp_path, [new])(new).status == "finished"


def test_a_trial_whose_worker_died_after_writing_has_not_failed(toywork, tmp_path: Path):
    (trial,) = toywork.trials(1)
    work = errand(tmp_path, [trial])
    work.carry_out(trial)
    assert work.buried(failure(trial, StudyError("The worker process died"))).status == "kept"
    assert not trial.failure_file(tmp_path).exists()


def test_two_machines_that_write_the_same_file_do_not_share_a_draft(tmp_path: Path, monkeypatch):
    """Processes of the same number (in containers, number 1) on one shared folder."""
    drafts, replacing = [], Path.replace

    def noted(draft: Path, target: Path):
        drafts.append(draft.name)
        if len(drafts) == 1:
            write_text(target, "of the other")
        return replacing(draft, target)

    monkeypatch.setattr(Path, "replace", noted)
    write_text(tmp_path / "study.json", "mine")
    assert len(set(drafts)) == 2
    assert (tmp_path / "study.json").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]


TOGETHER = """
import os, sys
sys.path.insert(0, {place!r})
os.environ["TOYWORK_SECONDS"] = "0.02"
from functools import partial
from pathlib import Path
import toywork
from skipnorm.studies.executors import {executor}
from skipnorm.studies.run import complete

def on(work, trials):
    return {executor}(partial(toywork.toying, work), trials)

if __name__ == "__main__":
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    sys.stdin.readline()
    outcomes = complete("toy", toywork.trials(30), Path({folder!r}), executor=on, progress="off")
    print(len(outcomes), sum(outcome.status == "finished" for outcome in outcomes))
"""


@pytest.mark.parametrize("executor", ["in_process", "processes"])
def test_two_processes_share_a_study(toywork, tmp_path: Path, executor: str):
    folder = tmp_path / "toy"
    folder.mkdir()
    trials = toywork.trials(30)
    write_manifest("toy", trials, folder)
    script = tmp_path / "together.py"
    script.write_text(
        TOGETHER.format(place=str(Path(__file__).parent), folder=str(folder), executor=executor)
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    pair = [subprocess.Popen([sys.executable, str(script)], **pipes) for _ in range(2)]
    for process in pair:
        assert process.stdout.readline() == "ready\n"
    for process in pair:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=60)[0].split() for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert [total for total, _ in told] == ["30", "30"]
    assert sum(int(own) for _, own in told) == 30
    assert all(int(own) > 0 for _, own in told)  # the work was shared
    done = Counter((folder / "marks").read_text().split())
    assert set(done.values()) == {1}
    assert collect(folder)["value"].values.tolist() == [[s**2 for s in range(30)]]
    assert bool(np.all(collect(folder)["recorded"]))
    assert not [path for path in (folder / "claims").rglob("*") if path.suffix == ".1"]
