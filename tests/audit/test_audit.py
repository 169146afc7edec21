"""Whole audits of tiny networks: what is promised holds from the first look to the page."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import skipnorm as sn
from skipnorm.audit.marks import marks_of
from skipnorm.audit.page import write_audit
from skipnorm.errors import StudyError

TRAINING = sn.Training(steps=12, batch=32, settings={"momentum": 0.9}, rate=0.05)
RECIPE = sn.Perceptron(depth=1, width=8, residual=True, norm="batch")
SETTINGS = {"training": TRAINING, "rates": (0.1,), "seeds": range(5), "groups": ("whole",)}


class Clock:
    """A hundredth of a second passes at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, told: list[str]) -> sn.Audit:
    folder = tmp_path_factory.mktemp("audit") / "run"
    task = sn.Digits(flat=True)
    return sn.audit(
        RECIPE, task, budget="1h", folder=folder, clock=Clock(), say=told.append, **SETTINGS
    )


def test_every_group_has_a_ruling_with_its_interval(found: sn.Audit):
    assert set(found.rulings) == {"all norms", "all shortcuts"}
    for answer in found.answers:
        assert answer.removal is not None
        standing = answer.removal.standing
        assert standing.seeds == 5
        assert standing.low <= standing.effect <= standing.high
        assert answer.removal.changes


def test_effects_are_paired_differences_of_the_evidence(found: sn.Audit):
    answer = found["all shortcuts"]
    assert answer.removal is not None
    accuracy = found.evidence["test_accuracy"].isel(step=-1).max("rate")
    lost = accuracy.sel(variant="original") - accuracy.sel(variant=answer.removal.arm)
    assert answer.removal.standing.effect == pytest.approx(float(lost.mean()))
    assert found.level == pytest.approx(float(accuracy.sel(variant="original").mean()))


def test_the_edit_that_changes_nothing_makes_exactly_no_difference(found: sn.Audit):
    assert found.control is not None
    assert found.control.exact
    assert found.control.seeds == 3
    folders = [found.folder / name for name in ("control", "judging-1")]
    keys = [{path.name for path in (each / "trials").rglob("*.nc")} for each in folders]
    assert not keys[0] & keys[1]  # trained under a key of its own, not fetched


def test_what_was_not_tested_is_named_with_a_reason(found: sn.Audit):
    assert all(name and why for name, why in found.left_out)
    judged = set(map(str, found.evidence["variant"].values))
    assert not judged & {name for name, _ in found.left_out}


def test_it_prints_and_becomes_strict_json(found: sn.Audit):
    text = str(found)
    assert "all norms" in text
    assert "exactly none" in text
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [each["group"]["name"] for each in data["answers"]] == list(found.rulings)
    assert (found.folder / "audit.json").is_file()


def test_the_page_shows_every_site_and_every_answer(found: sn.Audit):
    marks = marks_of(found)
    sites = [mark.name for mark in marks if mark.kind in ("norm", "shortcut")]
    assert sorted(sites) == sorted(s.name for s in (*found.anatomy.norms, *found.anatomy.skips))
    page = write_audit(found).read_text(encoding="utf-8")
    for answer in found.answers:
        assert f"without {answer.group.name}. Found: {answer.ruling}." in page
    assert 'class="tally"' not in page  # supported and refuted are not the words of an audit


def test_again_it_trains_nothing_and_says_the_same(found: sn.Audit):
    before = {path: path.stat().st_mtime_ns for path in found.folder.rglob("trials/*/*.nc")}
    again = sn.audit(
        RECIPE, sn.Digits(flat=True), budget="1h", folder=found.folder, clock=Clock(), **SETTINGS
    )
    assert {path: path.stat().st_mtime_ns for path in found.folder.rglob("trials/*/*.nc")} == before
    assert again.rulings == found.rulings


def test_progress_names_arms_trainings_and_the_time_left(told: list[str], found: sn.Audit):
    assert any("arms" in line and "trainings" in line and "left" in line for line in told)


class Silent(nn.Module):
    """Answers zero, whatever it is taught."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.weight = nn.LayerNorm(64), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight(self.norm(x)) * 0


class Broken(Silent):
    """Has no finite loss."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight(self.norm(x)) / 0


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 10))


def audited(build: object, folder: Path, **settings: object) -> sn.Audit:
    given = {**SETTINGS, "budget": "1h", "clock": Clock(), **settings}
    return sn.audit(build, sn.Digits(flat=True), folder=folder, **given)  # type: ignore[arg-type]


def test_a_network_that_learns_nothing_is_refused(tmp_path: Path):
    with pytest.raises(StudyError, match="does not learn"):
        audited(Silent, tmp_path)


def test_a_loss_that_is_not_finite_at_the_start_is_refused(tmp_path: Path):
    with pytest.raises(StudyError, match="before any training"):
        audited(Broken, tmp_path)


def test_no_norms_and_no_skips_are_refused(tmp_path: Path):
    with pytest.raises(StudyError, match="expected at least one, found none"):
        audited(plain, tmp_path)


def test_too_small_a_budget_is_refused_before_anything_is_trained(tmp_path: Path):
    with pytest.raises(StudyError, match="too small"):
        audited(RECIPE, tmp_path, budget="1s")
    assert not list(tmp_path.rglob("*.nc"))


def test_a_function_that_needs_arguments_is_refused(tmp_path: Path):
    with pytest.raises(StudyError, match="needs in_features"):
        audited(nn.Linear, tmp_path)


def test_regression_is_judged_by_the_ratio_of_losses(tmp_path: Path):
    inputs = torch.randn(400, 4)
    batches = [(part, part.sum(1, keepdim=True).sin()) for part in inputs.split(50)]
    recipe = sn.Perceptron(inputs=4, outputs=1, depth=1, width=8, norm="layer")
    found = sn.audit(
        recipe, sn.Batches(batches), budget="1h", folder=tmp_path, clock=Clock(), **SETTINGS
    )
    assert found.score == "loss"
    assert found.margin == pytest.approx(np.log(1.05))
    answer = found["all norms"]
    assert answer.removal is not None
    losses = found.evidence["test_loss"].isel(step=-1).min("rate")
    ratio = losses.sel(variant=answer.removal.arm) / losses.sel(variant="original")
    assert answer.removal.standing.effect == pytest.approx(float(np.log(ratio).mean()))
