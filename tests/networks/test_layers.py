"""Standardised weights have the rows that scaled weight standardisation prescribes."""

import pytest
import torch

from skipnorm.networks.layers import (
    Shift,
    StandardizedConv1d,
    StandardizedConv2d,
    StandardizedLinear,
)

LAYERS = [
    StandardizedLinear(20, 7, dtype=torch.float64),
    StandardizedConv1d(20, 7, 3, dtype=torch.float64),
    StandardizedConv2d(20, 7, 3, dtype=torch.float64),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_rows_are_centred_and_of_the_factors_norm(layer):
    layer.scaled_by(1.7)
    rows = layer.standardized.flatten(1)
    torch.testing.assert_close(rows.sum(1), torch.zeros(7, dtype=torch.float64))
    torch.testing.assert_close(rows.norm(dim=1), torch.full((7,), 1.7, dtype=torch.float64))
    with torch.no_grad():
        layer.weight.mul_(3.0).add_(0.5)
    torch.testing.assert_close(layer.standardized.flatten(1), rows)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_forward_uses_the_standardised_weight(layer):
    layer.scaled_by(1.3)
    x = torch.randn(2, 20, *[5] * (layer.weight.dim() - 2), dtype=torch.float64)
    plain = type(layer).__mro__[2](20, 7, *layer.weight.shape[2:3], dtype=torch.float64)
    with torch.no_grad():
        plain.weight.copy_(layer.standardized)
        plain.bias.copy_(layer.bias)
    torch.testing.assert_close(layer(x), plain(x))
    layer(x).sum().backward()
    assert layer.gain.grad.isfinite().all()


def test_shift_starts_at_zero():
    x = torch.randn(3)
    assert torch.equal(Shift()(x), x)
