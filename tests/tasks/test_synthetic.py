"""Gaussian samples are standard, independent, and not tied to the weights of the same seed."""

import pytest
import torch

from skipnorm.errors import TaskError
from skipnorm.networks.recipe import Perceptron
from skipnorm.tasks.synthetic import Gaussian


def test_moments_of_inputs_and_covectors():
    inputs, targets = Gaussian(200).batch(500, seed=0)
    for values in (inputs, targets):
        assert float(values.mean()) == pytest.approx(0, abs=0.02)
        assert float(values.var()) == pytest.approx(1, abs=0.02)
    assert float((inputs * targets).mean()) == pytest.approx(0, abs=0.02)


def test_shapes():
    inputs, targets = Gaussian((3, 5, 5), covector=4).batch(2, seed=0)
    assert inputs.shape == (2, 3, 5, 5)
    assert targets.shape == (2, 4)
    assert Gaussian((8,), covector=8) == Gaussian(8)
    assert str(Gaussian()) == "Gaussian()"


def test_same_seed_does_not_tie_samples_to_weights():
    inputs, targets = Gaussian(64).batch(64, seed=0)
    weight = Perceptron(stem=False, head=False, depth=1).build(0).blocks[0].weight.weight.detach()
    for values in (inputs, targets):
        together = torch.stack([values.flatten(), weight.flatten()])
        assert abs(float(torch.corrcoef(together)[0, 1])) < 0.06  # four standard errors


def test_default_precision_decides():
    inputs, _ = Gaussian(4).batch(2, seed=0)
    torch.set_default_dtype(torch.float64)
    try:
        exact, _ = Gaussian(4).batch(2, seed=0)
    finally:
        torch.set_default_dtype(torch.float32)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(exact.float(), inputs)


def test_refusals():
    with pytest.raises(TaskError, match="positive sizes"):
        Gaussian((3, 0))
    with pytest.raises(TaskError, match="no last sample"):
        Gaussian().full("train")
