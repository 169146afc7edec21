"""How a study stands, and which files may be trusted. Truth: what each test puts into the folder."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from skipnorm.errors import EvidenceError, StudyError
from skipnorm.evidence import write
from skipnorm.studies.claims import Owner, claim_place, take
from skipnorm.studies.errand import Errand
from skipnorm.studies.ledger import Ledger, divergence, mismatch, set_aside
from skipnorm.studies.manifest import collect, read_manifest, write_manifest
from skipnorm.studies.outcome import failure, record
from skipnorm.studies.run import complete
from skipnorm.studies.status import status
from skipnorm.studies.study import Variant
from skipnorm.training import Training


@pytest.fixture
def toywork(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import toywork

    monkeypatch.setattr("skipnorm.studies.errand.perform", toywork.perform)
    return toywork


def finish(trials, folder, **settings):
    settings = {"executor": "in_process", "progress": "off", **settings}
    return complete("toy", trials, folder, **settings)


@pytest.fixture
def finished(toywork, tmp_path):
    """Six trials, all done, and their folder."""
    trials = toywork.trials(6)
    write_manifest("toy", trials, tmp_path, command="skipnorm run toy")
    finish(trials, tmp_path)
    return trials, tmp_path


def test_every_state_is_told_apart(toywork, tmp_path):
    done, diverged, failed, running, gone, never = trials = toywork.trials(6)
    write_manifest("toy", trials, tmp_path, command="skipnorm run toy")
    finish([done], tmp_path)
    write(toywork.evidence(diverged, diverged_at=37.0), diverged.evidence_file(tmp_path))
    record(failure(failed, ValueError("no weights\n  that fit")), tmp_path)
    far = Owner("far.example", 7, "another machine", "0", time.time() - 7320)
    for trial, age in ((running, 0), (gone, 1000)):
        path = claim_place(tmp_path, trial.evidence_file(tmp_path))
        path = path.with_name(f"{path.name}.1")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(far)))
        os.utime(path, (time.time() - age,) * 2)
    found = status(tmp_path)
    assert found.counts == {
        "trials": 6, "done": 2, "running": 1, "failed": 1, "damaged": 0, "missing": 2, "diverged": 1,
    }  # fmt: skip
    states = [(one.state, one.diverged, one.reason) for one in found.trials]
    assert states[:3] == [
        ("done", "", ""),
        ("done", "at step 37", ""),
        ("failed", "", "ValueError: no weights\n  that fit"),
    ]
    assert states[3] == ("running", "", "by process 7 on far.example for 2 h 2 min")
    assert states[4] == ("missing", "", "process 7 on far.example began it and ended")
    text = str(found)
    assert text.startswith("toy: 2 of 6 trials done (1 diverged), 1 running, 1 failed, 2 not begun")
    assert text.endswith("Go on with:\n  skipnorm run toy")
    assert "'a' with seed 2: ValueError: no weights that fit" in text
    assert f"tracebacks: {tmp_path / 'failed'}" in text
    assert never.seed == 5


def test_a_finished_study_needs_no_command(finished):
    _, folder = finished
    assert str(status(folder)) == "toy: 6 of 6 trials done"
    assert status(folder).to_dict()["complete"] is True


def test_long_lists_are_cut_and_say_so(toywork, tmp_path):
    trials = toywork.trials(15)
    write_manifest("toy", trials, tmp_path)
    for trial in trials:
        record(failure(trial, ValueError("no")), tmp_path)
    text = str(status(tmp_path))
    assert "and 5 more failed" in text
    assert f"sn.run(study, {str(tmp_path)!r})" in text
    with pytest.raises(EvidenceError, match="Not the folder of a study"):
        status(tmp_path / "none")


def flip_a_bit(path: Path) -> None:
    """Damage that leaves a file readable and of the same size."""
    content = bytearray(path.read_bytes())
    place = content.find(np.float64(9.0).tobytes())
    content[place + 6] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:1000]),
    "no NetCDF": lambda path: path.write_text("hello"),
    "empty": lambda path: path.write_bytes(b""),
    "one bit": flip_a_bit,
    "of another trial": lambda path: path.write_bytes(
        next(each for each in sorted(path.parent.glob("*.nc")) if each != path).read_bytes()
    ),
}


CASES = [
    *((damage, True, True) for damage in DAMAGES),
    *((damage, False, True) for damage in DAMAGES),
    ("empty", True, False),
    ("empty", False, False),
]


@pytest.mark.parametrize(("damage", "noted", "complete_otherwise"), CASES)
def test_a_file_that_is_not_what_was_written_is_named_set_aside_and_done_again(
    toywork, finished, capsys, damage, noted, complete_otherwise
):
    trials, folder = finished
    whole = collect(folder)
    path = trials[3].evidence_file(folder)
    DAMAGES[damage](path)
    if not noted:
        (folder / "ledger.jsonl").unlink()
    if not complete_otherwise:
        trials[5].evidence_file(folder).unlink()
    if noted:
        assert status(folder).trials[3].state == "damaged"
        with pytest.raises(EvidenceError, match=path.name):
            collect(folder)
    (folder / "marks").unlink()
    outcomes = finish(trials, folder, progress="lines")
    assert sorted(outcome.status for outcome in outcomes) == sorted(
        ["kept"] * (5 if complete_otherwise else 4)
        + ["finished"] * (1 if complete_otherwise else 2)
    )
    assert (folder / "marks").read_text().split() == (["3"] if complete_otherwise else ["3", "5"])
    assert collect(folder).identical(whole)
    said = capsys.readouterr().err
    assert "set aside, 'a' with seed 3 is measured again: " in said
    assert "run the study again" not in said
    assert status(folder).set_aside == (f"trials/a/{path.stem}.damaged",)


def test_of_two_processes_that_find_a_file_damaged_one_sets_it_aside(
    toywork, finished, monkeypatch
):
    """A fellow replaces the file between our look at it and our hand on it: its work is kept."""
    trials, folder = finished
    path = trials[3].evidence_file(folder)
    path.write_text("x")

    def replaced(place):
        if not (folder / "fellow").exists():
            (folder / "fellow").touch()
            set_aside(path)
            Errand(folder).carry_out(trials[3])
        return take(place)

    monkeypatch.setattr("skipnorm.studies.run.take", replaced)
    (folder / "marks").unlink()
    assert {outcome.status for outcome in finish(trials, folder)} == {"kept"}
    assert (folder / "marks").read_text().split() == ["3"]  # by the fellow
    assert len(status(folder).set_aside) == 1


def test_a_damaged_file_in_the_hands_of_a_fellow_is_left_to_it(toywork, finished):
    trials, folder = finished
    path = trials[3].evidence_file(folder)
    path.write_text("x")
    fellow = Errand(folder)
    claim = fellow.claim(trials[3])

    def mend():
        set_aside(path)
        fellow.carry_out(trials[3])
        claim.release()

    timer = threading.Timer(0.3, mend)
    timer.start()
    outcomes = finish(trials, folder)
    timer.join()
    assert {outcome.status for outcome in outcomes} == {"kept"}
    assert Ledger(folder).vouches_for(path)
    assert len((folder / "marks").read_text().split()) == 7


def test_a_file_that_cannot_be_set_aside_is_named(finished, monkeypatch):
    trials, folder = finished
    trials[3].evidence_file(folder).write_text("x")

    def refuse(path):
        raise PermissionError("read-only")

    monkeypatch.setattr("skipnorm.studies.run.set_aside", refuse)
    with pytest.raises(StudyError, match=r"cannot be set aside \(read-only\).*by hand"):
        finish(trials, folder)


def test_what_was_gathered_is_trusted_only_as_it_was_written(finished):
    _, folder = finished
    whole = collect(folder)
    flip_a_bit(folder / "evidence.nc")
    assert collect(folder).identical(whole)


def test_a_rate_is_a_dimension_of_a_grid_and_a_label_otherwise(toywork):
    (plain,) = toywork.trials(1)
    found = toywork.evidence(plain)
    single, grid = found.assign_coords(rate=0.1), found.expand_dims(rate=[0.1])
    trained = replace(plain, variant=Variant(None, None, training=Training(steps=1, rate=0.1)))
    rated = replace(trained, rate=0.1)
    other = replace(trained, variant=Variant(None, None, training=Training(steps=1, rate=0.2)))
    assert not mismatch(plain, found)
    assert not mismatch(trained, single)
    assert not mismatch(rated, grid)
    assert "expected rate 0.2, found 0.1" in mismatch(other, single)
    assert "expected rate [0.1], found 0.1" in mismatch(rated, single)
    assert "expected rate 0.1, found [0.1]" in mismatch(trained, grid)
    assert "expected rate 0.1, found None" in mismatch(trained, found)


def test_a_file_damaged_twice_is_set_aside_twice(finished):
    trials, folder = finished
    for _ in range(2):
        trials[0].evidence_file(folder).write_text("x")
        finish(trials, folder)
    state = folder / "states" / "0123" / "step-3.pt.damaged"
    state.parent.mkdir(parents=True)
    state.touch()
    assert len(status(folder).set_aside) == 3
    assert "  set aside: states/0123/step-3.pt.damaged" in str(status(folder))


def test_a_copied_study_is_trusted_by_its_checksums(toywork, finished, monkeypatch):
    trials, folder = finished
    for trial in trials:
        os.utime(trial.evidence_file(folder), (1, 1))
    monkeypatch.setattr("skipnorm.studies.ledger.mismatch", None)  # reading would raise
    assert {outcome.status for outcome in finish(trials, folder)} == {"kept"}


@pytest.mark.parametrize("line", ["", "{", "[]", '{"file": "x"}', "\x00\xff"])
def test_a_torn_ledger_costs_a_reading_and_no_more(finished, line):
    trials, folder = finished
    ledger = folder / "ledger.jsonl"
    first, *rest = ledger.read_text().splitlines(keepends=True)
    ledger.write_text(line + "\n" + "".join(rest) + first[: len(first) // 2])
    assert {outcome.status for outcome in finish(trials, folder)} == {"kept"}
    assert Ledger(folder).vouches_for(trials[0].evidence_file(folder))


def test_a_full_disk_is_an_outcome_and_the_rest_finishes(toywork, tmp_path, monkeypatch):
    perform = toywork.perform

    def full(trial, folder, **settings):
        if trial.seed == 1:
            return failure(trial, OSError(errno.ENOSPC, "No space left on device"))
        return perform(trial, folder)

    monkeypatch.setattr("skipnorm.studies.errand.perform", full)
    trials = toywork.trials(3)
    write_manifest("toy", trials, tmp_path)
    outcomes = finish(trials, tmp_path)
    assert [outcome.status for outcome in outcomes] == ["finished", "failed", "finished"]
    assert "No space left" in status(tmp_path).trials[1].reason
    monkeypatch.setattr("skipnorm.studies.errand.perform", perform)
    assert [outcome.status for outcome in finish(trials, tmp_path)].count("finished") == 1
    assert status(tmp_path).complete


LIMITED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {place!r})
import toywork
from skipnorm.studies import errand
from skipnorm.studies.outcome import failure
from skipnorm.studies.run import complete
errand.perform = lambda trial, folder, states: attempt(trial, folder)

def attempt(trial, folder):
    size = 2_000 if trial.seed == 1 else 1_000_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        return toywork.perform(trial, folder)
    except Exception as error:
        return failure(trial, error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

for outcome in complete("toy", toywork.trials(3), Path({folder!r}), executor="in_process", progress="off"):
    print(outcome.status, outcome.reason)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_a_file_that_cannot_grow_leaves_nothing_half_written(toywork, tmp_path):
    code = LIMITED.format(place=str(Path(__file__).parent), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "finished", "failed", "finished",
    ], done.stderr  # fmt: skip
    assert len(list((tmp_path / "trials").rglob("*"))) == 3  # a folder and two files, no draft
    assert not [path for path in (tmp_path / "claims").rglob("*.1")]


def test_a_folder_in_which_no_trial_can_be_begun_says_so(toywork, tmp_path):
    (tmp_path / "claims").write_text("a file where a folder should be")
    outcomes = finish(toywork.trials(2), tmp_path)
    assert {outcome.status for outcome in outcomes} == {"failed"}
    assert all("folder read-only" in outcome.reason for outcome in outcomes)


def test_a_finished_study_is_opened_where_nothing_can_be_written(finished, monkeypatch):
    trials, folder = finished
    before = collect(folder)

    def refuse(*args, **kwargs):
        raise PermissionError("read-only")

    monkeypatch.setattr("skipnorm.studies.manifest.write_text", refuse)
    write_manifest("toy", trials, folder, command="skipnorm run toy")
    write_manifest("toy", trials, folder)  # without a command, in Python
    assert collect(folder).identical(before)
    with pytest.raises(StudyError, match="can be written to"):
        write_manifest("toy", trials[:2], folder)


def test_a_run_answers_for_its_own_trials_whatever_a_fellow_wrote(toywork, finished):
    trials, folder = finished
    write_manifest("toy", trials[:2], folder)
    assert len(read_manifest(folder).files) == 2
    assert len(finish(trials, folder)) == 6


@pytest.mark.parametrize(
    ("at", "says"), [(float("nan"), ""), (-1.0, ""), (0.0, "at step 0"), (37.0, "at step 37")]
)
def test_where_a_run_diverged_is_read_from_its_evidence(toywork, tmp_path, at, says):
    (trial,) = toywork.trials(1)
    path = write(toywork.evidence(trial, diverged_at=at), tmp_path / "one.nc")
    assert divergence(path) == says
    told = toywork.evidence(trial, diverged_at=at)
    attrs = {"unit": "1", "meaning": "why it diverged", "source": "definition"}
    told["diverged_because"] = (("variant", "seed"), [["the loss is not finite"]], attrs)
    because = f"{says}: the loss is not finite" if says else ""
    assert divergence(write(told, path)) == because
    assert divergence(tmp_path / "none.nc") == ""


def test_divergence_is_counted_live_and_kept(toywork, tmp_path, monkeypatch, capsys):
    def diverging(trial, folder, states):
        write(toywork.evidence(trial, diverged_at=5.0), trial.evidence_file(folder))
        return toywork.Outcome(trial, "finished")

    monkeypatch.setattr("skipnorm.studies.errand.perform", diverging)
    trials = toywork.trials(3)
    write_manifest("toy", trials, tmp_path)
    finish(trials, tmp_path, progress="lines")
    assert "toy: 3/3 trials, 3 diverged" in capsys.readouterr().err
    assert status(tmp_path).counts["diverged"] == 3
    (kept, *_) = finish(trials, tmp_path)
    assert (kept.status, kept.diverged) == ("kept", "at step 5")


def test_an_errand_can_be_sent_and_done_elsewhere(toywork, tmp_path):
    import pickle

    work = pickle.loads(pickle.dumps(Errand(tmp_path)))
    (trial,) = toywork.trials(1)
    assert work(trial).status == "finished"
    assert replace(work, folder=tmp_path / "other") != work
