"""The pieces of the essay's network; its gradients are in truths/test_essay_gradients.py."""

import pytest
import torch

from skipnorm.formulas.layers import ACTIVATIONS, chain, half_squared_error, one_layer


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_are_derivatives(name):
    sigma, slope = ACTIVATIONS[name]
    z = torch.linspace(-4, 4, 41, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(sigma(z).sum(), z)
    torch.testing.assert_close(slope(z.detach()), expected)


def test_loss_is_half_the_summed_mse():
    outputs, targets = torch.randn(3, 4), torch.randn(3, 4)
    expected = 0.5 * torch.nn.functional.mse_loss(outputs, targets, reduction="sum")
    torch.testing.assert_close(half_squared_error(outputs, targets), expected)


def test_chain_applies_layer_after_layer():
    first, second, inputs = torch.randn(4, 3), torch.randn(2, 4), torch.randn(3, 5)
    outputs = chain([first, second], inputs, torch.tanh)
    assert [tuple(output.shape) for output in outputs] == [(4, 5), (2, 5)]
    torch.testing.assert_close(outputs[1], one_layer(second, outputs[0], torch.tanh))
