"""Trained states in a folder of their own: several studies share them, wherever trials are done.

Truth: counts of updates, and the same study with its states to itself.
"""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import xarray as xr

import skipnorm as sn
from skipnorm.studies.afield import APART, Token, luggage, serve, token, unpacked
from skipnorm.studies.errand import errand
from skipnorm.studies.outcome import Outcome
from skipnorm.studies.plan import plan
from skipnorm.studies.run import run
from skipnorm.studies.states import states_folder
from skipnorm.studies.study import Study, Variant
from skipnorm.studies.workers import pickled
from skipnorm.tasks import Digits
from skipnorm.training import Training
from skipnorm.training.learner import Learner

NET = sn.Perceptron(width=8, depth=2, inputs=64, outputs=10, norm="batch")
VARIANT = Variant(NET, Digits(flat=True), batch=16, training=Training(steps=4, batch=32))
STUDY = Study("one", {"bn": VARIANT}, seeds=range(1), probes=["moments"])
OTHER = replace(STUDY, name="other", probes=["gradient"])


@pytest.fixture
def updates(monkeypatch) -> list[int]:
    """How many updates were made in this process."""
    made = []
    advance = Learner.advance

    def counted(self):
        made.append(self.step)
        advance(self)

    monkeypatch.setattr(Learner, "advance", counted)
    return made


def bare(evidence: xr.Dataset) -> xr.Dataset:
    return evidence.drop_attrs(deep=False)


def test_studies_that_share_a_folder_of_states_train_once(tmp_path: Path, updates: list[int]):
    shared = tmp_path / "shared"
    alone = run(OTHER, tmp_path / "alone", progress="off")
    updates.clear()
    run(STUDY, tmp_path / "one", states=shared, progress="off")
    assert len(updates) == 4
    other = run(OTHER, tmp_path / "other", states=str(shared), progress="off")
    assert len(updates) == 4
    assert bare(other).identical(bare(alone))
    assert not states_folder(tmp_path / "one").exists()


def sent(work, trial, taken, proof: Token) -> tuple[Outcome | str, dict[str, bytes]]:
    """What a machine without the folders does with an order, as `on_ray` has it done."""
    answer = pickle.loads(serve(pickled((work, trial, proof)), [], taken))
    status, reason, details, diverged, files = answer
    return Outcome(trial, status, reason, details, diverged), files


def test_a_machine_that_sees_no_folder_is_sent_the_states_and_sends_back_new_ones(
    tmp_path: Path, updates: list[int]
):
    here, shared = tmp_path / "here", tmp_path / "shared"
    alone = run(OTHER, tmp_path / "alone", progress="off")
    (trial,), (other,) = plan(STUDY), plan(OTHER)
    work = errand(here, [trial], shared)
    updates.clear()
    outcome, files = sent(work, trial, luggage(work, trial), Token("", "sent"))
    assert unpacked(work, outcome, files).status == "finished"
    assert {name.partition("/")[0] for name in files} == {"states", "trials"}
    assert trial.evidence_file(here).is_file()
    assert [path.suffix for path in (shared / trial.training_key).iterdir()] == [".pt"]
    outcome, files = sent(work, other, luggage(work, other), Token("", "sent"))
    assert unpacked(work, outcome, files).status == "finished"
    assert len(updates) == 4  # in both
    found = run(OTHER, here, states=shared, progress="off")
    assert bare(found).identical(bare(alone))


def test_no_claim_travels(tmp_path: Path):
    """On the other machine it would seem to be held by somebody far away, who must be waited for."""
    (trial,) = plan(STUDY)
    work = errand(tmp_path, [trial])
    place = states_folder(tmp_path) / trial.training_key
    place.mkdir(parents=True)
    for name in ("claim.1", ".clock", ".step-4.pt.17.part", "step-4.pt", "step-4.pt.damaged"):
        (place / name).write_bytes(b"x")
    assert list(luggage(work, trial)) == [f"states/{trial.training_key}/step-4.pt"]


@pytest.mark.parametrize("hidden", ["here", "shared"])
def test_a_machine_shares_the_folders_only_if_it_sees_both(tmp_path: Path, hidden: str):
    (trial,) = plan(STUDY)
    work = errand(tmp_path / "here", [trial], tmp_path / "shared")
    with token(work, "auto") as proof:
        assert proof.is_seen_by(work)
        (tmp_path / hidden).rename(tmp_path / "elsewhere")
        assert not proof.is_seen_by(work)
        outcome, _ = sent(work, trial, None, proof)
        assert outcome.status == APART
        (tmp_path / "elsewhere").rename(tmp_path / hidden)
    assert not list(tmp_path.rglob(".shared-*"))


def test_workers_in_other_processes_find_the_states_too(tmp_path: Path):
    """An errand is sent whole."""
    work = pickle.loads(pickle.dumps(errand(tmp_path / "here", [], tmp_path / "shared")))
    (trial,) = plan(STUDY)
    assert work(trial).status == "finished"
    assert list((tmp_path / "shared").glob("*/step-4.pt"))
