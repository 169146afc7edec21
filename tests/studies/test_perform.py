"""A trial depends on nothing but itself, and leaves nothing behind."""

from dataclasses import replace

import pytest
import torch

from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.perform import perform, take
from skipnorm.studies.plan import Trial
from skipnorm.studies.study import Variant
from skipnorm.tasks import Gaussian


@pytest.fixture
def trial(toyworld) -> Trial:
    variant = Variant(toyworld.Number(), toyworld.Counting(), batch=2)
    return Trial("a", variant, seed=3, probes=None, key="k" * 16)


def test_a_trial_sees_one_thread_its_own_draws_and_its_own_precision(trial, toyworld, monkeypatch):
    seen = []

    def measure(network, batch, **settings):
        seen.append((torch.get_num_threads(), torch.rand(1).item(), torch.get_default_dtype()))
        return toyworld.xr.Dataset({"value": ((), 1.0, toyworld.MEANING)})

    monkeypatch.setattr(toyworld, "measure", measure)
    torch.manual_seed(11)
    take(trial)
    after = torch.rand(1)
    take(replace(trial, variant=replace(trial.variant, dtype="float64")))
    expected = torch.Generator().manual_seed(3)
    first = torch.rand(1, generator=expected).item()
    assert seen[0] == (1, first, torch.float32)
    assert seen[1][2] is torch.float64
    assert torch.get_default_dtype() is torch.float32
    assert after == torch.rand(1, generator=torch.Generator().manual_seed(11))


def test_what_a_trial_raises_is_recorded_and_the_state_given_back(trial, tmp_path, monkeypatch):
    def broken(self, seed):
        raise MemoryError("too large")

    monkeypatch.setattr(type(trial.variant.network), "build", broken)
    outcome = perform(trial, tmp_path)
    assert (outcome.status, outcome.reason) == ("failed", "MemoryError: too large")
    assert trial.failure_file(tmp_path).is_file()
    assert not trial.evidence_file(tmp_path).exists()


def test_a_folder_that_cannot_be_written_is_an_outcome(trial, tmp_path):
    (tmp_path / "trials").write_text("a file where a folder should be")
    (tmp_path / "failed").write_text("another")
    outcome = perform(trial, tmp_path)
    assert outcome.status == "failed"


def test_a_recipe_and_a_task_of_the_house_are_measured():
    pytest.importorskip("skipnorm.studies.measure")
    variant = Variant(Perceptron(width=8, depth=2, inputs=4, outputs=3), Gaussian(4, 3), batch=5)
    trial = Trial("a", variant, seed=3, probes=None, key="k" * 16)
    one, other = take(trial), take(trial)
    assert one.drop_attrs().identical(other.drop_attrs())
    assert (one.sizes["variant"], one.sizes["seed"]) == (1, 1)
    assert "mean_square" in one
