"""The handwritten digits that ship with scikit-learn: 1797 images of 8 x 8 pixels, ten classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from skipnorm.tasks.task import Arrays, Labelled, read_only

__all__ = ["Digits"]

SPLIT_SEED, TEST_SIZE, CLIP = 123, 360, 4.0


@dataclass(frozen=True, repr=False)
class Digits(Labelled):
    """scikit-learn's ``digits``: 1437 images to train and validate, 360 to test, inputs (1, 8, 8).

    Every pixel is standardised with mean and standard deviation of those 1437 images and clipped
    to +-4; a pixel that is the same in all training images becomes 0 there. Nothing is downloaded.

    >>> Digits(flat=True).inputs_shape, Digits().inputs_shape, Digits().classes
    ((64,), (1, 8, 8), 10)
    """

    def arrays(self) -> Arrays:
        """All images as float32, labels as int64."""
        return digits_arrays()


@cache
def digits_arrays() -> Arrays:
    """Split, standardised and clipped."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        images, labels, test_size=TEST_SIZE, random_state=SPLIT_SEED
    )
    mean, spread = train.mean(axis=0), train.std(axis=0)
    spread[spread == 0] = 1.0

    def standardised(part: NDArray[np.float64]) -> NDArray[np.float32]:
        clipped: NDArray[np.float64] = np.clip((part - mean) / spread, -CLIP, CLIP)
        return clipped.reshape(-1, 1, 8, 8).astype(np.float32)

    arrays = {
        "train_inputs": standardised(train),
        "train_targets": train_labels.astype(np.int64),
        "test_inputs": standardised(test),
        "test_targets": test_labels.astype(np.int64),
    }
    return read_only(arrays)
