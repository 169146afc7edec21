"""Trained trials: only what is missing is trained and read, and the evidence never tells how it came about.

Truth: plain torch on the same network, counts of updates, and the same study done at once.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn
from torch.nn import functional as F

import skipnorm as sn
from skipnorm.errors import StudyError, TrainingError
from skipnorm.evidence import gather
from skipnorm.studies.perform import perform, take
from skipnorm.studies.plan import plan
from skipnorm.studies.states import fresh
from skipnorm.studies.study import Study, Variant
from skipnorm.tasks import Digits
from skipnorm.training import Training, log_spaced
from skipnorm.training.learner import Learner

TASK = Digits(flat=True)
NET = sn.Perceptron(width=8, depth=2, inputs=64, outputs=10, norm="batch")
TRAINING = Training(steps=12, rate=0.1, batch=32, settings={"momentum": 0.9})
VARIANT = Variant(NET, TASK, batch=16, training=TRAINING)


def small(**changes) -> Study:
    settings = {"variants": {"bn": VARIANT}, "seeds": range(1), "probes": ["moments"], **changes}
    return Study("small", **settings)


def done(study, folder, **settings) -> xr.Dataset:
    """The evidence of a study, of which what has its file already is not done again."""
    trials = plan(study)
    for trial in trials:
        if not trial.evidence_file(folder).is_file():
            outcome = perform(trial, folder, **settings)
            assert outcome.status == "finished", outcome.details
    return gather([trial.evidence_file(folder) for trial in trials])


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    xr.testing.assert_identical(one.drop_attrs(deep=False), other.drop_attrs(deep=False))


@pytest.fixture
def updates(monkeypatch):
    """How many updates were made; the list may be cleared."""
    made = []
    advance = Learner.advance

    def counted(self):
        made.append(self.step)
        advance(self)

    monkeypatch.setattr(Learner, "advance", counted)
    return made


def test_a_trained_trial_is_what_a_plain_loop_gives():
    evidence = take(plan(small())[0])
    assert evidence["mean_square"].dims[:3] == ("variant", "seed", "step")
    assert evidence["step"].values.tolist() == [0, 12]
    network = fresh(plan(small())[0])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for inputs, targets in batches(12):
        losses.append(loss := F.cross_entropy(network(inputs), targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    curve = evidence["loss_curve"].squeeze()
    np.testing.assert_array_equal(curve.sel(update=[1, 2]), [loss.item() for loss in losses[:2]])
    late = [loss.item() for loss in losses[int(curve["update"][-2]) :]]
    assert float(curve[-1]) == pytest.approx(np.mean(late), rel=1e-12)
    inputs, targets = TASK.full("test")
    with torch.no_grad():
        outputs = network.eval()(inputs)
    end = evidence.squeeze().sel(step=12)
    assert float(end["test_loss"]) == pytest.approx(
        F.cross_entropy(outputs, targets).item(), rel=1e-5
    )
    assert float(end["test_accuracy"]) == (outputs.argmax(1) == targets).double().mean().item()
    assert np.isnan(evidence["diverged_at"].item())
    assert float(evidence["rate"]) == 0.1


def batches(steps: int):
    """Epochs without replacement, in the documented order."""
    from skipnorm.training.order import permutation

    inputs, targets = TASK.full("train")
    rows = torch.from_numpy(permutation(0, 0, len(targets)))
    return [(inputs[r], targets[r]) for r in rows.split(32)[:steps]]


def test_variants_share_their_data_and_the_weights_that_they_share():
    plain = replace(VARIANT, network=replace(NET, norm="none"))
    one, other = plan(small(variants={"bn": VARIANT, "plain": plain}))
    weights = [dict(fresh(trial).named_parameters()) for trial in (one, other)]
    shared = set(weights[0]) & set(weights[1])
    assert shared
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in shared)


def test_a_probe_added_later_trains_nothing_and_changes_nothing(tmp_path, updates):
    done(small(), tmp_path)
    assert len(updates) == 12
    updates.clear()
    both = small(probes=["gradient", "moments", "smoothness"])
    later = done(both, tmp_path)
    assert not updates
    same(later, gather([take(plan(both)[0])]))


def test_only_the_probe_that_is_new_is_read(tmp_path, monkeypatch):
    from skipnorm.studies import readings

    done(small(), tmp_path)
    asked = []
    original = readings.answers

    def noted(questions, *args, **kwargs):
        asked.append([question.text for question in questions])
        return original(questions, *args, **kwargs)

    monkeypatch.setattr(readings, "answers", noted)
    done(small(probes=["gradient", "moments"]), tmp_path)
    assert asked == [["gradient@1()"]] * 2


def test_a_step_added_later_is_trained_for_from_the_nearest_state(tmp_path, updates):
    done(small(at=(0, 5, "end")), tmp_path)
    assert updates == list(range(12))
    updates.clear()
    wider = small(at=(0, 5, 8, "end"))
    later = done(wider, tmp_path)
    assert updates == [5, 6, 7]
    same(later, gather([take(plan(wider)[0])]))


def test_a_seed_and_a_variant_added_later_cost_only_themselves(tmp_path, updates):
    done(small(), tmp_path)
    updates.clear()
    plain = replace(VARIANT, network=replace(NET, norm="none"))
    done(small(variants={"bn": VARIANT, "plain": plain}, seeds=range(2)), tmp_path)
    assert len(updates) == 3 * 12


def test_trainings_are_shared_by_studies_with_one_folder_of_states(tmp_path, updates):
    first = done(small(), tmp_path / "one", states=tmp_path / "states")
    updates.clear()
    other = small(variants={"renamed": replace(VARIANT, batch=8)}, probes=["gradient"])
    second = done(other, tmp_path / "two", states=tmp_path / "states")
    assert not updates
    assert not (tmp_path / "two" / "states").exists()
    assert first["test_loss"].values.tolist() == second["test_loss"].values.tolist()


def test_an_interrupted_run_goes_on_from_its_last_checkpoint(tmp_path, updates, monkeypatch):
    monkeypatch.setattr("skipnorm.studies.states._BETWEEN", 3)
    study = small()
    counted = Learner.advance

    def interrupted(self):
        if self.step == 8:
            raise KeyboardInterrupt
        counted(self)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "advance", interrupted)
        with pytest.raises(KeyboardInterrupt):
            perform(plan(study)[0], tmp_path)
    updates.clear()
    later = done(study, tmp_path)
    assert updates == list(range(6, 12))
    same(later, gather([take(plan(study)[0])]))


@pytest.mark.parametrize("harm", ["damaged", "foreign"])
def test_a_state_that_cannot_be_trusted_is_set_aside_and_trained_for_again(tmp_path, updates, harm):
    first = done(small(seeds=range(2)), tmp_path)
    here, there = sorted((tmp_path / "states").rglob("step-12.pt"))
    content = here.read_bytes()
    here.write_bytes(content[:-40] if harm == "damaged" else there.read_bytes())
    updates.clear()
    later = done(small(seeds=range(2), probes=["moments", "gradient"]), tmp_path)
    assert len(updates) == 12
    same(later[list(first.data_vars)], first)
    assert "step-12.pt was put aside" in later.attrs["notes"]
    assert list((tmp_path / "states").rglob("*.damaged"))


def test_a_grid_of_rates_is_a_dimension_and_divergence_a_result():
    variants = {"bn": replace(VARIANT, rates=(1e9, 0.1)), "raw": replace(VARIANT, training=None)}
    trials = plan(small(variants=variants))
    assert str(trials[0]) == "'bn' with seed 0 at rate 1e+09"
    evidence = gather([take(trial) for trial in trials])
    assert evidence["rate"].values.tolist() == [0, 0.1, 1e9]
    assert evidence["recorded"].squeeze().values.tolist() == [
        [False, True, True],
        [True, False, False],
    ]
    lost, fine = (evidence.sel(variant="bn", seed=0, rate=rate) for rate in (1e9, 0.1))
    assert 0 < float(lost["diverged_at"]) < 12
    assert lost["diverged_because"].item() in ("loss", "gradient", "parameters")
    for name in ("mean_square", "test_loss", "validation_accuracy"):
        assert lost[name].sel(step=0).notnull().any()
        assert lost[name].sel(step=12).isnull().all()
        assert fine[name].sel(step=12).notnull().any()
    assert np.isnan(fine["diverged_at"])
    np.testing.assert_array_equal(lost["mean_square"].sel(step=0), fine["mean_square"].sel(step=0))
    raw = evidence.sel(variant="raw", seed=0, rate=0)
    np.testing.assert_array_equal(raw["mean_square"].sel(step=0), fine["mean_square"].sel(step=0))


def test_a_diverged_run_is_kept_and_not_trained_again(tmp_path, updates):
    study = small(variants={"bn": replace(VARIANT, rates=(1e9,))})
    done(study, tmp_path)
    outcome = perform(plan(study)[0], tmp_path)
    assert outcome.diverged.startswith("at step ")
    updates.clear()
    done(replace(study, probes=["moments", "gradient"]), tmp_path)
    assert not updates


def test_keys_change_with_what_they_depend_on_and_nothing_else():
    key = plan(small())[0]
    for change in ({"probes": ["gradient"]}, {"at": (0, 3)}):
        (other,) = plan(small(**change))
        assert (other.training_key, other.group) == (key.training_key, key.group)
        assert other.key != key.key
    for change in (
        {"training": replace(TRAINING, steps=13)},
        {"training": replace(TRAINING, schedule=half)},
        {"rates": (0.2,)},
        {"operations": (sn.CutSkips(),) if hasattr(sn, "CutSkips") else ("cut",)},
        {"dtype": "float64"},
    ):
        (other,) = plan(small(variants={"bn": replace(VARIANT, **change)}))
        assert other.training_key != key.training_key
    (wider,) = plan(small(variants={"bn": replace(VARIANT, batch=8)}))
    assert wider.training_key == key.training_key
    assert wider.group != key.group


def half(share: float) -> float:
    return 0.5


@pytest.mark.parametrize(
    ("at", "steps"),
    [
        (("initial", "end"), (0, 12)),
        ((12, 3, 3), (3, 12)),
        ("half", (6,)),
        (partial(log_spaced, count=4), (0, 1, 3, 12)),
    ],
)
def test_a_study_says_at_which_steps_it_reads(at, steps):
    assert plan(small(at=at))[0].at == steps
    (raw,) = plan(small(at=at, variants={"raw": replace(VARIANT, training=None)}))
    assert raw.at == (0,)


def test_what_cannot_be_planned_is_refused():
    with pytest.raises(TrainingError, match="from 0 to 12"):
        plan(small(at=(0, 13)))
    with pytest.raises(StudyError, match="need a training"):
        Variant(NET, TASK, rates=(0.1,))
    with pytest.raises(StudyError, match="distinct positive"):
        replace(VARIANT, rates=(0.1, 0.1))
    with pytest.raises(StudyError, match="Did you mean 'curvature'"):
        plan(small(probes=["curvatur"]))
    with pytest.raises(StudyError, match="asked once"):
        plan(small(probes=["moments", "moments"]))
    with pytest.raises(StudyError, match="needed by"):
        plan(small(probes=[sn.drift]))


def meddling(network: nn.Module, batch, *, task) -> xr.Dataset:
    """A probe that ruins the network it is given."""
    meaning = {"unit": "1", "meaning": "mean weight", "source": "definition"}
    mean = next(network.parameters()).mean().item()
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(torch.nan)
    assert task is TASK
    return xr.Dataset({"mean_weight": ((), mean, meaning)})


def test_a_probe_of_ones_own_gets_a_copy():
    study = small(probes=[meddling, partial(sn.smoothness, lengths=(1.0,)), "moments"])
    evidence = take(plan(study)[0])
    expected = next(fresh(plan(study)[0]).parameters()).mean().item()
    assert float(evidence["mean_weight"].sel(step=0).item()) == expected
    assert bool(evidence["mean_weight"].notnull().all())
    assert bool(evidence["test_loss"].notnull().all())
    assert evidence["mean_square"].attrs["probe"] == "moments@2()"
    assert evidence["length"].values.tolist() == [1.0]


def test_two_probes_that_give_one_name_are_told_apart_or_refused():
    with pytest.raises(sn.EvidenceError, match="'mean_weight' is given twice"):
        take(plan(small(probes=[meddling, partial(meddling, task=TASK)]))[0])


class Forgetful:
    """A recipe whose network drops units at random: what it shows depends on the random state."""

    hash = "forgetful"

    def build(self, seed: int) -> nn.Module:
        return nn.Sequential(nn.Linear(64, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 10))


def test_what_a_probe_reads_does_not_depend_on_what_else_is_asked():
    forgetful = {"bn": replace(VARIANT, network=Forgetful())}
    alone = take(plan(small(variants=forgetful))[0])
    among = take(plan(small(variants=forgetful, probes=["smoothness", "moments", "gradient"]))[0])
    same(alone[["mean_square"]], among[["mean_square"]])


def test_surgery_comes_before_training_and_is_done_again_for_every_state(tmp_path):
    surgery = pytest.importorskip("skipnorm.surgery")
    skips = replace(VARIANT, network=replace(NET, residual=True))
    cut = replace(skips, operations=(surgery.CutSkips(),))
    study = small(variants={"skips": skips, "cut": cut})
    kinds = [take(trial).squeeze()["kind"].values for trial in plan(study)]
    assert "skip" in kinds[0]
    assert "skip" not in kinds[1]
    first = done(study, tmp_path)
    later = done(replace(study, probes=["moments", "gradient"]), tmp_path)
    same(first["mean_square"].to_dataset(), later["mean_square"].to_dataset())
