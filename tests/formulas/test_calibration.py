"""Calibration: constructed probabilities, a loop written by hand, scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss

from skipnorm.formulas.calibration import (
    adaptive_calibration_error,
    brier_scores,
    calibration_error,
    log_likelihoods,
)


def by_hand(sure: np.ndarray, right: np.ndarray, bins: int) -> float:
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = (sure > low) & (sure <= high) if number else sure <= high
        if inside.any():
            total += inside.sum() * abs(right[inside].mean() - sure[inside].mean())
    return total / len(sure)


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_equal_width_against_a_loop(bins: int):
    draw = np.random.default_rng(0)
    sure, right = draw.beta(4, 1, 500), draw.integers(0, 2, 500).astype(float)
    found = calibration_error(torch.tensor(sure), torch.tensor(right), bins)
    assert float(found) == pytest.approx(by_hand(sure, right, bins), rel=1e-12)


def test_a_bin_holds_its_upper_edge():
    # .5 lies in (0, .5]: alone with .1 there, not with .9
    sure, right = torch.tensor([0.1, 0.5, 0.9]).double(), torch.tensor([0.0, 1.0, 1.0])
    assert float(calibration_error(sure, right, 2)) == pytest.approx((0.4 + 0.1) / 3)


def test_frequencies_that_are_as_stated_have_no_error():
    sure = torch.tensor([0.6] * 5 + [0.8] * 5 + [1.0] * 5, dtype=torch.float64)
    right = torch.tensor([1, 1, 1, 0, 0] + [1, 1, 1, 1, 0] + [1] * 5)
    assert float(calibration_error(sure, right)) == pytest.approx(0, abs=1e-15)
    assert float(adaptive_calibration_error(sure, right, 3)) == pytest.approx(0, abs=1e-15)


def test_equal_mass_against_sorting_and_splitting():
    draw = np.random.default_rng(1)
    sure, right = draw.uniform(size=90), draw.integers(0, 2, 90).astype(float)
    order = np.argsort(sure)
    expected = sum(
        len(part) / 90 * abs(right[part].mean() - sure[part].mean())
        for part in np.array_split(order, 15)
    )
    found = adaptive_calibration_error(torch.tensor(sure), torch.tensor(right), 15)
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_equal_confidences_are_not_parted_by_their_order():
    sure = torch.tensor([0.5] * 10).double()
    right = torch.tensor([1.0] * 5 + [0.0] * 5)
    assert float(adaptive_calibration_error(sure, right, 5)) == 0
    assert float(adaptive_calibration_error(sure, right.flip(0), 5)) == 0


def test_a_thousand_calibrated_answers_are_nearly_so():
    # labels drawn from the stated probabilities: the error is that of the sampling, about sqrt(bins / N)
    draw = torch.Generator().manual_seed(0)
    sure = 0.5 + 0.5 * torch.rand(40000, generator=draw, dtype=torch.float64)
    right = (torch.rand(40000, generator=draw, dtype=torch.float64) < sure).double()
    assert float(calibration_error(sure, right)) < 0.02
    assert float(calibration_error(sure, 1 - right)) > 0.4


def test_brier_and_likelihood_are_those_of_scikit_learn():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(60, 4, generator=draw, dtype=torch.float64)
    labels = torch.randint(0, 4, (60,), generator=draw)
    stated, classes = logits.softmax(-1).numpy(), range(4)
    assert -log_likelihoods(logits, labels).mean().item() == pytest.approx(
        log_loss(labels, stated, labels=classes), rel=1e-12
    )
    expected = brier_score_loss(labels, stated, labels=classes, scale_by_half=False)
    assert brier_scores(logits, labels).mean().item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("error", [calibration_error, adaptive_calibration_error])
def test_a_broken_answer_is_not_hidden(error):
    assert math.isnan(error(torch.tensor([0.5, math.nan]), torch.tensor([1.0, 1.0])))
    assert math.isnan(error(torch.tensor([0.5, 0.6]), torch.tensor([1.0, math.nan])))
    assert math.isnan(error(torch.tensor([]), torch.tensor([])))
