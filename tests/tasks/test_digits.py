"""The digits against scikit-learn's own arrays."""

import numpy as np
from sklearn.datasets import load_digits

from skipnorm.tasks.digits import Digits


def test_split_and_standardisation():
    arrays = Digits().arrays()
    train, test = arrays["train_inputs"], arrays["test_inputs"]
    assert train.shape == (1437, 1, 8, 8)
    assert test.shape == (360, 1, 8, 8)
    assert float(np.abs(train).max()) <= 4
    assert float(np.abs(test).max()) <= 4
    # Clipping moves rare pixels only: those never clipped are standardised exactly.
    inside = np.abs(train).max(axis=0) < 4
    spread = train.std(axis=0)[inside]
    assert inside.sum() > 30
    np.testing.assert_allclose(train.mean(axis=0)[inside], 0, atol=1e-5)
    assert set(np.round(spread, 4)) <= {0.0, 1.0}


def test_labels_are_those_of_scikit_learn():
    arrays = Digits().arrays()
    labels = np.concatenate([arrays["train_targets"], arrays["test_targets"]])
    _, expected = load_digits(return_X_y=True)
    assert np.array_equal(np.bincount(labels), np.bincount(expected))


def test_flat_inputs_are_the_same_pixels():
    images, labels = Digits().batch(5, seed=1)
    vectors, same = Digits(flat=True).batch(5, seed=1)
    assert images.flatten(1).tolist() == vectors.tolist()
    assert labels.tolist() == same.tolist()
