"""Whether a classifier is as sure of itself as it should be: calibration errors and proper scores.

All take what a classifier said about each of ``N`` cases and give one number; float64 inside. A NaN among the inputs
gives NaN: a broken answer never falls out of every bin unseen.
"""

import torch
from torch import Tensor

__all__ = [
    "adaptive_calibration_error",
    "brier_scores",
    "calibration_error",
    "log_likelihoods",
]


def calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> Tensor:
    """How far stated confidence is from the frequency of being right, over bins of equal width.

    ``sum_b n_b / N |mean correct_b - mean confidence_b|`` with bins ``(b/B, (b+1)/B]``, a confidence of 0 in the first.
    0 for a calibrated classifier, at most 1. Guo et al. 2017, eq. 3 (Naeini et al. 2015).

    Args:
        confidence: (N,), the probability given to the class that was chosen.
        correct: (N,), 1 where that class was right.
        bins: how many.

    >>> sure = torch.tensor([0.9, 0.9, 0.9, 0.9])
    >>> error = calibration_error(sure, torch.tensor([1.0, 1.0, 1.0, 0.0]))
    >>> round(error.item(), 6)  # said .9, was .75
    0.15
    """
    sure = confidence.double().flatten()
    upper = torch.arange(1, bins, dtype=torch.float64, device=sure.device) / bins
    return _gap(sure, correct, torch.bucketize(sure, upper), bins)


def adaptive_calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> Tensor:
    """How far stated confidence is from the frequency of being right, over bins that hold equally many cases.

    As `calibration_error`, but the cases are sorted by confidence and parted into ``B`` bins of equal size, so that a
    classifier that is nearly always sure is not judged by one bin. Equal confidences stay together, by the middle
    of their ranks, so that the order of the cases does not matter. Nguyen & O'Connor 2015; Nixon et al. 2019.

    >>> sure, right = torch.tensor([0.6, 0.7, 0.8, 0.9]), torch.tensor([0.0, 1.0, 1.0, 1.0])
    >>> round(adaptive_calibration_error(sure, right, bins=2).item(), 6)  # |.65 - .5| / 2 + |.85 - 1| / 2
    0.15
    """
    sure = confidence.double().flatten()
    _, group, size = sure.unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]
    middle = size.cumsum(0) - size + (size - 1).double() / 2
    place = (middle * bins / max(len(sure), 1)).floor().long()
    return _gap(sure, correct, place[group], bins)


def _gap(sure: Tensor, correct: Tensor, place: Tensor, bins: int) -> Tensor:
    right = correct.double().flatten()
    if not len(sure) or bool((sure + right).isnan().any()):
        return sure.new_tensor(float("nan"))
    difference = sure.new_zeros(bins).index_add(0, place, right - sure)
    return difference.abs().sum() / len(sure)


def brier_scores(logits: Tensor, labels: Tensor) -> Tensor:
    """How far the stated probabilities are from what happened, for each case.

    ``sum_c (p_c - [c = label])^2`` with ``p = softmax(logits)``: 0 for certainty that was right, 2 for certainty that
    was wrong. The original score of Brier 1950, twice the usual one for two classes.

    Args:
        logits: (..., classes).
        labels: (...), integers.

    >>> brier_scores(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
    tensor([0.5000], dtype=torch.float64)
    """
    stated = logits.double().softmax(-1)
    happened = torch.zeros_like(stated).scatter_(-1, labels.unsqueeze(-1), 1.0)
    return (stated - happened).square().sum(-1)


def log_likelihoods(logits: Tensor, labels: Tensor) -> Tensor:
    """How probable the network thought what happened, for each case: ``log softmax(logits)[label]``.

    >>> log_likelihoods(torch.tensor([[0.0, 0.0]]), torch.tensor([1])).exp()
    tensor([0.5000], dtype=torch.float64)
    """
    return logits.double().log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
