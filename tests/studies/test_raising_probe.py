"""A probe that raises fails its trial and costs no other probe its answer. Truth: the study without it."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import skipnorm as sn
from skipnorm.evidence import gather
from skipnorm.studies.perform import perform, take
from skipnorm.studies.plan import plan
from skipnorm.studies.run import run
from skipnorm.studies.study import Study, Variant
from skipnorm.tasks import Digits
from skipnorm.training import Training
from skipnorm.training.learner import Learner

NET = sn.Perceptron(width=8, depth=2, inputs=64, outputs=10, norm="batch")
TRAINING = Training(steps=6, batch=32)
VARIANT = Variant(NET, Digits(flat=True), batch=16, training=TRAINING)
MEANING = {"unit": "1", "meaning": "a number", "source": "definition"}
raises: set[float] = set()
asked: list[str] = []


def moody(network, batch) -> xr.Dataset:
    """Raises where the mean of its weights is among the forbidden ones, or always where all are."""
    mean = next(network.parameters()).mean().item()
    asked.append("moody")
    if np.inf in raises or mean in raises:
        raise RuntimeError("not today")
    return xr.Dataset({"mean_weight": ((), mean, MEANING)})


@pytest.fixture(autouse=True)
def fresh():
    raises.clear()
    asked.clear()


def study(*probes, **changes) -> Study:
    return Study("moody", {"bn": VARIANT}, seeds=range(1), probes=[*probes], **changes)


@pytest.fixture
def updates(monkeypatch):
    made = []
    advance = Learner.advance
    monkeypatch.setattr(Learner, "advance", lambda self: [made.append(self.step), advance(self)][1])
    return made


def test_the_outcome_names_the_probe_the_step_and_the_reason(tmp_path: Path):
    initial = take(plan(study(moody))[0])["mean_weight"].sel(step=0).item()
    raises.add(initial)
    outcome = perform(plan(study("moments", moody))[0], tmp_path)
    assert outcome.status == "failed"
    assert "moody@1()" in outcome.reason
    assert "raised after 0 updates: RuntimeError: not today" in outcome.reason
    assert "in moody" in outcome.details  # the traceback leads into the probe


def test_what_the_others_found_is_kept_and_only_the_rest_is_asked(tmp_path, updates, monkeypatch):
    (trial,) = plan(study("moments", moody, "gradient"))
    raises.add(np.inf)
    assert perform(trial, tmp_path).status == "failed"
    assert len(updates) == TRAINING.steps
    assert trial.partial_file(tmp_path).is_file()
    assert not trial.evidence_file(tmp_path).exists()
    raises.clear()
    updates.clear()
    monkeypatch.setattr("skipnorm.studies.measure.measure", None)  # the sites have been read
    assert perform(trial, tmp_path).status == "finished"
    assert not updates
    assert not trial.partial_file(tmp_path).exists()
    monkeypatch.undo()
    whole = take(trial)
    later = gather([trial.evidence_file(tmp_path)])
    xr.testing.assert_identical(
        later.drop_attrs(deep=False), gather([whole]).drop_attrs(deep=False)
    )


def test_a_probe_that_raised_at_one_step_is_asked_at_every_step_again(tmp_path):
    initial = take(plan(study(moody))[0])["mean_weight"].sel(step=0).item()
    raises.add(initial)
    (trial,) = plan(study("moments", moody))
    perform(trial, tmp_path)
    raises.clear()
    asked.clear()
    assert perform(trial, tmp_path).status == "finished"
    assert len(asked) == 2
    found = gather([trial.evidence_file(tmp_path)])["mean_weight"]
    assert bool(found.notnull().all())


def test_the_same_study_without_it_asks_nothing_again(tmp_path, updates, monkeypatch):
    raises.add(np.inf)
    perform(plan(study("moments", moody))[0], tmp_path)
    updates.clear()
    monkeypatch.setattr("skipnorm.studies.measure.measure", None)
    assert perform(plan(study("moments"))[0], tmp_path).status == "finished"
    assert not updates


def test_the_rest_of_the_study_finishes(tmp_path):
    other = Variant(NET, Digits(flat=True), batch=16, probes=["moments"])
    both = Study("moody", {"bad": VARIANT, "good": other}, seeds=range(2), probes=[moody])
    raises.add(np.inf)
    evidence = run(both, tmp_path, failures="keep", progress="off")
    assert evidence["variant"].values.tolist() == ["good"]
    assert sn.status(tmp_path).counts["failed"] == 2
    with pytest.raises(sn.StudyError, match=r"2 of them failed(.|\n)*not today"):
        run(both, tmp_path, progress="off")


def first_site(measured: xr.Dataset) -> xr.Dataset:
    raise ValueError("cannot be reduced")


def test_a_reduction_that_raises_is_named(tmp_path):
    reduced = Variant(NET, Digits(flat=True), batch=16, training=TRAINING, reduce=first_site)
    (trial,) = plan(Study("r", {"a": reduced}, seeds=range(1), probes=["moments"]))
    outcome = perform(trial, tmp_path)
    assert "moments@2() raised after 0 updates: ValueError: cannot be reduced" in outcome.reason
    assert "So did 1 more reading." in outcome.reason
