"""Lesions of a trained network, against plain forward passes and networks made by hand."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import skipnorm as sn
from skipnorm.audit.groups import groups_of
from skipnorm.audit.lesions import lesions_of, loaded
from skipnorm.errors import StudyError

TASK = sn.Digits(flat=True)


class Block(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.weight = factor, nn.Linear(64, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.factor * self.weight(x).relu()


def network(factor: float = 1.0) -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), Block(factor), nn.LayerNorm(64))
    return nn.Sequential(*layers, nn.Linear(64, 10))


def lesions(subject: nn.Module):
    sites = sn.anatomy(subject, TASK.batch(32, 0)[0])
    return lesions_of(subject, TASK, groups_of(sites), sites)


def test_the_price_of_a_branch_is_the_loss_without_it_less_the_loss_with_it():
    subject = network()
    subject[1].track_running_stats, subject[1].running_mean, subject[1].running_var = (
        False,
        None,
        None,
    )
    found = next(p for p in lesions(subject).prices if p.group == "all shortcuts")
    costs = []
    for seed in range(8):
        x, y = TASK.batch(min(128, TASK.count("validation") // 8), seed, split="validation")
        with torch.no_grad():
            whole = F.cross_entropy(subject(x), y)
            inner = subject[:3](x)
            cut = F.cross_entropy(subject[4:](subject[3].weight(inner).relu()), y)
        costs.append(float(cut - whole))
    assert found.loss[0] == pytest.approx(sum(costs) / 8, rel=1e-4)
    assert found.loss[1] <= min(found.loss[0], found.loss[2])


def test_a_branch_that_adds_nothing_has_no_price_and_is_named():
    found = lesions(network(0.0))
    price = next(p for p in found.prices if p.group.startswith("branch"))
    assert price.loss == (0.0, 0.0, 0.0)
    assert [name for name, _ in found.idle] == ["3.add"]


def test_gains_near_zero_are_found():
    subject = network()
    with torch.no_grad():
        subject[4].weight[:16] = 1e-5
    assert lesions(subject).faded == (("4", 0.25),)


def test_a_batch_norm_behind_a_linear_map_folds_and_its_costs_are_measured():
    found = lesions(network())
    assert found.folded == ("1",)
    assert found.before is not None
    assert found.after is not None
    assert found.before.parameters - found.after.parameters == 2 * 64


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_checkpoint_is_loaded_plain_or_wrapped(tmp_path: Path, wrapped: bool):
    trained = network().state_dict()
    trained["0.bias"] = torch.full((64,), 7.0)
    torch.save({"state_dict": trained, "epoch": 3} if wrapped else trained, tmp_path / "file.pt")
    assert torch.equal(loaded(network(), tmp_path / "file.pt")[0].bias, trained["0.bias"])


def test_a_checkpoint_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(StudyError, match="no checkpoint"):
        loaded(network(), tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(StudyError, match="cannot be read"):
        loaded(network(), tmp_path / "text.pt")
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(StudyError, match="does not fit"):
        loaded(network(), tmp_path / "other.pt")
