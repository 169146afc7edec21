"""Activations by name: one module each, the same functions that theory integrates."""

import pytest
import torch

from skipnorm.errors import NetworkError
from skipnorm.formulas.quadrature import SCALAR_ACTIVATIONS
from skipnorm.networks.activations import CReLU, activation
from skipnorm.networks.vocabulary import ACTIVATIONS


def test_vocabulary_modules_and_theory_agree():
    assert set(SCALAR_ACTIVATIONS) == set(ACTIVATIONS) - {"crelu"}
    z = torch.linspace(-4, 4, 33, dtype=torch.float64)
    for name in ACTIVATIONS:
        module = activation(name)
        if name == "identity":
            assert module is None
        elif name != "crelu":
            expected = torch.from_numpy(SCALAR_ACTIVATIONS[name](z.numpy()))
            torch.testing.assert_close(module(z), expected)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5), (3, 4, 5, 5)])
def test_concatenated_relu_loses_nothing(shape):
    x = torch.randn(shape)
    both = CReLU()(x)
    assert both.shape[1] == 8
    torch.testing.assert_close(both[:, :4] - both[:, 4:], x)
    assert float(both.min()) >= 0


def test_unknown_activation():
    with pytest.raises(NetworkError, match="Did you mean 'gelu'"):
        activation("gleu")
