"""Loss and accuracy on the parts of a task. Truth: plain torch, and `sn.scores`, which has tests of its own."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import skipnorm as sn
from skipnorm.studies import scoring
from skipnorm.studies.scoring import scored
from skipnorm.tasks import Digits

PARTS = ("train", "validation", "test")
NAMES = {"train": "training", "validation": "validation", "test": "test"}


def network(outputs: int = 10) -> nn.Module:
    torch.manual_seed(1)
    layers = nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, outputs)
    return nn.Sequential(*layers).train()


def task(make, loss=None, parts=PARTS):
    """A task of these samples, of which some parts may be missing."""

    def full(split):
        if split not in parts:
            raise sn.TaskError("no such part")
        torch.manual_seed(PARTS.index(split))
        return make()

    return SimpleNamespace(loss=loss, full=full, name="made up")


@pytest.mark.parametrize("chunk", [1000, 100])
def test_they_are_those_of_plain_torch(monkeypatch, chunk):
    monkeypatch.setattr(scoring, "CHUNK", chunk)
    digits, net = Digits(flat=True), network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = scored(net, digits)
    assert all(module.training for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    plain = network().eval()
    for part in ("validation", "test"):
        inputs, targets = digits.full(part)
        with torch.no_grad():
            outputs = plain(inputs)
        assert float(found[f"{part}_loss"]) == pytest.approx(
            F.cross_entropy(outputs, targets).item(), rel=1e-6
        )
        right = (outputs.argmax(1) == targets).double().mean().item()
        assert float(found[f"{part}_accuracy"]) == pytest.approx(right, abs=1e-12)
    inputs, targets = digits.batch(min(chunk, digits.count("train")), 0)
    expected = F.cross_entropy(plain(inputs), targets).item()
    assert float(found["training_loss"]) == pytest.approx(expected, rel=1e-6)


def vectors():
    return torch.randn(30, 64), torch.randint(0, 10, (30,))


def ignored():
    inputs, targets = vectors()
    targets[::3] = -100
    return inputs, targets


def real():
    return torch.randn(30, 64), torch.randn(30, 10)


def words():
    return torch.randn(30, 7, 64), torch.randint(0, 10, (30, 7))


@pytest.mark.parametrize(
    ("make", "loss"),
    [
        (vectors, None),
        (vectors, "cross_entropy"),
        (ignored, "cross_entropy"),
        (real, "mse"),
        (words, lambda outputs, targets: F.cross_entropy(outputs.flatten(0, 1), targets.flatten())),
    ],
)
def test_they_are_those_of_the_verb(make, loss):
    asked = task(make, loss)
    net = nn.Sequential(nn.Linear(64, 10), nn.Tanh()) if make is words else network()
    found = scored(net, asked)
    for part, name in NAMES.items():
        expected = sn.scores(net.eval(), asked.full(part), loss=loss)
        for score in ("loss", "accuracy"):
            assert float(found[f"{name}_{score}"]) == pytest.approx(
                float(expected[score]), rel=1e-6, nan_ok=True
            )
    assert math.isnan(found["test_accuracy"]) == (make is real)


def test_a_part_that_is_missing_is_nan_and_the_others_are_not():
    found = scored(network(), task(vectors, parts=("train", "test")))
    missing = {name for name, value in found.data_vars.items() if math.isnan(value)}
    assert missing == {"validation_loss", "validation_accuracy"}


def test_answers_that_are_no_numbers_are_right_in_no_share():
    broken = network()
    with torch.no_grad():
        broken[-1].bias[3] = math.nan
    found = scored(broken, task(vectors))
    assert math.isnan(found["test_loss"])
    assert math.isnan(found["test_accuracy"])
    assert all(math.isnan(value) for value in scored(None, task(vectors)).data_vars.values())
