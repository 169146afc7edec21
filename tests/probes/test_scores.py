"""Scores: against scikit-learn, definitions written out, constructed probabilities and known sampling errors."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn import metrics
from torch import Tensor, nn

from skipnorm.errors import ProbeError
from skipnorm.probes.scores import scores
from skipnorm.probes.scores_marks import estimated
from skipnorm.studies.measure import labelled


class Says(nn.Module):
    """Answers with its input."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.one * x


def answers(samples: int = 80, classes: int = 8) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(samples, classes, generator=draw, dtype=torch.float64)
    return logits, torch.randint(0, classes, (samples,), generator=draw)


def score(batch: Any, **settings: Any) -> dict[str, float]:
    return dict(scores(Says(), batch, **settings).values)


# Classes ------------------------------------------------------------------------------------------


def test_scores_of_classes_are_those_of_scikit_learn() -> None:
    logits, labels = answers()
    found, stated = score((logits, labels)), logits.softmax(-1).numpy()
    chosen, every = logits.argmax(-1), list(range(8))
    expected = {
        "loss": metrics.log_loss(labels, stated, labels=every),
        "negative_log_likelihood": metrics.log_loss(labels, stated, labels=every),
        "accuracy": metrics.accuracy_score(labels, chosen),
        "accuracy_top5": metrics.top_k_accuracy_score(labels, stated, k=5, labels=every),
        "brier_score": metrics.brier_score_loss(labels, stated, labels=every, scale_by_half=False),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name
    assert found["perplexity"] == pytest.approx(np.exp(expected["loss"]))
    assert np.isnan(found["mean_squared_error"])


def test_errors_are_standard_errors_of_the_mean() -> None:
    logits, labels = answers()
    found = score((logits, labels))
    each = F.cross_entropy(logits, labels, reduction="none").numpy()
    right = (logits.argmax(-1) == labels).double().numpy()
    assert found["loss_error"] == pytest.approx(stats.sem(each), rel=1e-12)
    assert found["accuracy_error"] == pytest.approx(stats.sem(right), rel=1e-12)
    slope = found["perplexity"] * stats.sem(each)
    assert found["perplexity_error"] == pytest.approx(slope, rel=1e-12)


def test_a_ratio_has_the_error_that_resampling_finds() -> None:
    draw = np.random.default_rng(0)
    counts = draw.integers(1, 30, 400).astype(float)
    sums = counts * draw.uniform(0.2, 0.9, 400)
    mean, error = estimated([(torch.tensor(sums), torch.tensor(counts))])
    picks = draw.integers(0, 400, (4000, 400))
    resampled = sums[picks].sum(1) / counts[picks].sum(1)
    assert mean == pytest.approx(sums.sum() / counts.sum())
    assert error == pytest.approx(resampled.std(), rel=0.05)


def test_the_errors_cover_the_truth_as_often_as_they_should() -> None:
    """Nineteen in twenty intervals of two errors hold the true accuracy."""
    draw, hits = torch.Generator().manual_seed(0), 0
    for _ in range(300):
        labels = (torch.rand(60, generator=draw) < 0.3).long()
        found = estimated([(1 - labels.double(), torch.ones(60))])
        hits += abs(found[0] - 0.7) < 1.96 * found[1]
    assert hits / 300 == pytest.approx(0.95, abs=0.03)


def test_calibration_of_constructed_answers() -> None:
    # says .8 ten times and is right eight times; says .6 ten times and is right ten times
    stated = torch.tensor([[0.8, 0.2]] * 10 + [[0.6, 0.4]] * 10, dtype=torch.float64)
    labels = torch.tensor([0] * 8 + [1] * 2 + [0] * 10)
    found = score((stated.log(), labels))
    assert found["calibration_error"] == pytest.approx(0.2)
    assert found["calibration_error_adaptive"] == pytest.approx(0.2)
    # in one bin: said .7, was right nine times in ten
    assert score((stated.log(), labels), bins=1)["calibration_error"] == pytest.approx(0.2)
    brier = (10 * 0.4**2 * 2 + 8 * 0.2**2 * 2 + 2 * 0.8**2 * 2) / 20
    assert found["brier_score"] == pytest.approx(brier)


def test_maps_of_labels_have_the_classes_second() -> None:
    draw = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 4, 5, 6, generator=draw, dtype=torch.float64)
    labels = torch.randint(0, 4, (3, 5, 6), generator=draw)
    labels[0] = -100
    found, kept = score((logits, labels)), labels != -100
    flat = logits.movedim(1, -1)[kept]
    assert found["loss"] == pytest.approx(float(F.cross_entropy(logits, labels)))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels[kept], flat.argmax(-1)))


def test_truths_of_a_single_logit() -> None:
    draw = torch.Generator().manual_seed(1)
    logits = torch.randn(50, 1, generator=draw, dtype=torch.float64)
    truths = (torch.rand(50, 1, generator=draw) < 0.5).double()
    found = score((logits, truths), loss=F.binary_cross_entropy_with_logits)
    stated, right = logits.sigmoid().flatten(), ((logits > 0) == (truths > 0)).double()
    assert found["accuracy"] == pytest.approx(float(right.mean()))
    assert found["negative_log_likelihood"] == pytest.approx(metrics.log_loss(truths, stated))
    brier = metrics.brier_score_loss(truths, stated, scale_by_half=True)
    assert found["brier_score"] == pytest.approx(2 * brier)


def test_the_gap_is_what_is_lost_from_the_reference() -> None:
    logits, labels = answers()
    sure = logits + 3 * F.one_hot(labels, 8)
    found = score((logits, labels), reference=(sure[:40], labels[:40]))
    train, test = score((sure[:40], labels[:40])), score((logits, labels))
    assert found["generalisation_gap_loss"] == pytest.approx(test["loss"] - train["loss"])
    accuracy = train["accuracy"] - test["accuracy"]
    assert found["generalisation_gap_accuracy"] == pytest.approx(accuracy)
    assert accuracy > 0
    error = np.hypot(test["loss_error"], train["loss_error"])
    assert found["generalisation_gap_loss_error"] == pytest.approx(error)
    assert np.isnan(test["generalisation_gap_loss"])


def test_batches_are_one_large_batch() -> None:
    logits, labels = answers()
    whole = score((logits, labels))
    parts = score([(logits[:30], labels[:30]), (logits[30:], labels[30:])])
    for name, value in whole.items():
        assert parts[name] == pytest.approx(value, rel=1e-12, nan_ok=True), name


# Real numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 3), (40, 1), (40,)])
def test_scores_of_real_targets_are_those_of_scikit_learn(shape: tuple[int, ...]) -> None:
    draw = torch.Generator().manual_seed(0)
    said = torch.randn(shape, generator=draw, dtype=torch.float64)
    wanted = said + torch.randn(shape, generator=draw, dtype=torch.float64)
    found = score((said, wanted))
    assert found["loss"] == pytest.approx(found["mean_squared_error"], rel=1e-14)
    assert found["loss"] == pytest.approx(metrics.mean_squared_error(wanted, said))
    pooled = metrics.r2_score(wanted, said, multioutput="variance_weighted")
    assert found["r_squared"] == pytest.approx(pooled)
    each = (said - wanted).square().reshape(40, -1).mean(1).numpy()
    assert found["mean_squared_error_error"] == pytest.approx(stats.sem(each))
    assert np.isnan(found["accuracy"])


# Laws ---------------------------------------------------------------------------------------------


def test_nan_is_reported() -> None:
    logits, labels = answers()
    logits[3, 2] = torch.nan
    found = score((logits, labels))
    for name in ("loss", "accuracy", "accuracy_top5", "brier_score", "calibration_error"):
        assert np.isnan(found[name]), name


def test_no_trace_where_it_raises() -> None:
    network = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ProbeError, match="from 0 to 1"):
        scores(network, (torch.randn(4, 3), torch.tensor([0, 1, 1, 2])), loss=_first)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.training


def _first(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs[0, 0]


@pytest.mark.parametrize("bins", [0, -1, 1.5, True])
def test_senseless_bins_are_refused(bins: Any) -> None:
    with pytest.raises(ProbeError, match="bins"):
        score(answers(), bins=bins)


def test_a_loss_that_is_something_else_is_kept_and_said() -> None:
    logits, labels = answers()
    found = scores(Says(), (logits, labels), loss=lambda o, t: 3 * F.cross_entropy(o, t) + 1)
    plain = score((logits, labels))
    assert found.values["loss"] == pytest.approx(3 * plain["loss"] + 1)
    assert np.isnan(found.values["loss_error"])  # one batch, and no loss of each sample
    assert found.values["accuracy"] == plain["accuracy"]
    assert any("errors are those over batches" in note for note in found.notes)


def test_the_findings_can_be_labelled() -> None:
    dataset = labelled(scores(Says(), answers()))
    assert dataset["accuracy"].attrs["unit"] == "1"
    assert dataset.attrs["read_as"] == "labels"
