"""Executors: every trial has exactly one outcome, whatever happens to the worker that has it."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from skipnorm.errors import StudyError
from skipnorm.studies.executors import EXECUTORS, in_process, lasting_processes, processes
from skipnorm.studies.outcome import Outcome
from skipnorm.studies.plan import plan
from skipnorm.studies.progress import bar, lines
from skipnorm.studies.run import run
from skipnorm.studies.workers import _cause, _Worker


def outcomes(executor, work, study):
    found = sorted(executor(work, plan(study)), key=lambda o: (o.trial.seed, o.trial.name))
    assert [(o.trial.seed, o.trial.name) for o in found] == sorted(
        (trial.seed, trial.name) for trial in plan(study)
    )
    return found


@pytest.mark.parametrize("name", ["in_process", "processes"])  # ray: test_ray.py
def test_every_trial_has_one_outcome(toyworld, name):
    found = outcomes(EXECUTORS[name], toyworld.well, toyworld.study(a=1, b=2))
    assert {outcome.status for outcome in found} == {"finished"}
    assert {outcome.reason for outcome in found} == {"1"}  # one thread
    assert {outcome.details for outcome in found} == {
        "0"
    }  # a process of the trial's own ended well


def test_a_dead_worker_costs_only_its_own_trial_and_what_one_raises_is_an_outcome(toyworld):
    study = replace(toyworld.study(a=1), seeds=range(4))
    found = outcomes(processes, toyworld.die_on_one_and_raise_on_two, study)
    assert [outcome.status for outcome in found] == ["finished", "failed", "failed", "finished"]
    assert "signal SIGKILL" in found[1].reason
    assert found[2].reason == "ValueError: seed two"
    assert "die_on_one_and_raise_on_two" in found[2].details


def test_workers_that_last_do_one_study_after_another(toyworld):
    with lasting_processes(workers=1) as executor:
        first, second = (
            outcomes(executor, toyworld.where, toyworld.study(**each))
            for each in ({"a": 1}, {"b": 2, "c": 3})
        )
    assert {o.status for o in first + second} == {"finished"}
    assert len({o.reason for o in first + second}) == 1  # one process did it all
    assert int(first[0].reason) != os.getpid()


def test_a_worker_that_has_died_takes_no_trial(toyworld):
    worker, (trial, *_) = _Worker(), plan(toyworld.study(a=1))
    try:
        assert worker.line.recv_bytes()  # it has begun
        worker.process.kill()
        worker.process.join()
        assert worker.give(toyworld.well, trial) is False
        assert worker.trial is None  # nothing to be reported as failed
    finally:
        worker.end()


def test_what_cannot_be_sent_to_a_worker_is_refused(toyworld):
    with pytest.raises(StudyError, match="cannot be sent"):
        list(processes(lambda trial: Outcome(trial, "finished"), plan(toyworld.study(a=1))))


def test_a_script_without_a_guard_is_told_so(toyworld, monkeypatch, tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text("raise SystemExit(7)\n")
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__file__", str(script), raising=False)
    monkeypatch.setattr(main, "__spec__", None)
    with pytest.raises(StudyError, match=r"exit code 7.*__main__"):
        list(processes(toyworld.well, plan(toyworld.study(a=1))))


def test_a_cause_of_death_in_words():
    assert _cause(-9) == "signal SIGKILL, perhaps for want of memory"
    assert _cause(3) == "exit code 3"


def test_a_study_of_no_missing_trials_starts_no_executor(toyworld, tmp_path):
    run(toyworld.study(a=1), tmp_path, progress="off")

    def never(work, trials):
        raise AssertionError

    run(toyworld.study(a=1), tmp_path, progress="off", executor=never)


def told(progress, trials, **settings):
    with progress("toy", len(trials), **settings) as tell:
        tell([Outcome(trials[0], "kept")])
        for trial in trials[1:-1]:
            tell([Outcome(trial, "finished")])
        tell([Outcome(trials[-1], "failed")])


def test_progress_in_a_pipe_is_plain_lines(toyworld):
    stream = io.StringIO()
    told(lines, plan(toyworld.study(a=1, b=2)), to=stream)
    assert re.fullmatch(r"toy: 6/6 trials, 1 failed, \d+ s, [\d.]+ trials/s\n", stream.getvalue())


def test_progress_on_a_terminal_counts_failures(toyworld, capsys):
    told(bar, plan(toyworld.study(a=1, b=2)))
    assert "6/6 1 failed" in capsys.readouterr().err


def test_progress_tells_divergence_rate_and_time_left(toyworld, monkeypatch):
    clock = iter([0.0, 10.0, 10.0, 10.0, 20.0, 20.0, 20.0])
    monkeypatch.setattr("skipnorm.studies.progress.time.monotonic", lambda: next(clock, 20.0))
    trials, stream = plan(toyworld.study(a=1)), io.StringIO()
    with lines("toy", 3, to=stream) as tell:
        tell([Outcome(trials[0], "finished", diverged="at step 5")])
        tell([Outcome(trials[1], "finished")])
    first, second = stream.getvalue().splitlines()
    assert first == "toy: 1/3 trials, 1 diverged, 10 s, 10 s a trial, about 20 s left"
    assert second == "toy: 2/3 trials, 1 diverged, 20 s, 10 s a trial, about 10 s left"
    assert stream.getvalue().replace("\n", "").isprintable()


def test_a_file_that_was_set_aside_is_named(toyworld):
    stream = io.StringIO()
    with lines("toy", 3, to=stream) as tell:
        tell([Outcome(plan(toyworld.study(a=1))[0], "damaged", reason="cut short")])
    assert stream.getvalue() == "toy: set aside, 'a' with seed 0 is measured again: cut short\n"


def test_in_process_does_one_after_another(toyworld):
    trials = plan(toyworld.study(a=1))
    stream = in_process(toyworld.well, trials)
    assert next(stream).trial is trials[0]


SLOW_SCRIPT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit it ignored
from pathlib import Path
sys.path.insert(0, {place!r})
import toyworld
from skipnorm.studies.executors import processes
from skipnorm.studies.plan import Trial

def work(trial):
    time.sleep(0 if trial.seed == 0 else 60)
    return toyworld.Outcome(trial, "finished")

if __name__ == "__main__":
    variant = toyworld.Variant(toyworld.Number(), toyworld.Counting())
    trials = [Trial("a", variant, seed=seed, probes=None, key="k") for seed in range(4)]
    try:
        for outcome in processes(work, trials, workers=2):
            print("finished", outcome.trial.seed, flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def nobody_is_left(group: int) -> bool:
    """Whether all processes of a group end within seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupt_ends_the_workers_in_the_middle_of_their_trials(tmp_path):
    script = tmp_path / "slow.py"
    script.write_text(SLOW_SCRIPT.format(place=str(Path(__file__).parent)))
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout.readline() == "finished 0\n"
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the whole group
        out, err = running.communicate(timeout=30)
        assert (out, err) == ("interrupted\n", "")
        assert nobody_is_left(running.pid)
