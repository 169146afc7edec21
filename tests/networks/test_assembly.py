"""Layers are numbered only where needed, and every layer of a network is drawn."""

import pytest
import torch

from skipnorm.networks.assembly import numbered
from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.networks.vocabulary import RESIDUAL_ORDERS


def test_numbers_where_a_kind_repeats():
    assert numbered(["norm", "act", "weight"]) == ["norm", "act", "weight"]
    assert numbered(["act", "weight", "act"]) == ["act1", "weight", "act2"]


@pytest.mark.parametrize("kind", [Perceptron, ConvNet])
@pytest.mark.parametrize("activation", ["relu", "crelu"])
@pytest.mark.parametrize("residual", [False, True])
def test_channels_fit(kind, activation, residual):
    recipe = kind(
        inputs=1, width=6, depth=3, activation=activation, residual=residual, norm="layer"
    )
    assert recipe.build(0)(torch.randn(4, 1, 1)).shape == (4, 10)


def test_normaliser_free_blocks_know_their_expected_deviation():
    recipe = Perceptron(residual=True, initializer="nf", branch_scale=0.5, depth=5)
    found = [block.expected_std**2 for block in recipe.build(0).blocks]
    assert found == pytest.approx([1, 1.25, 1.5, 1.75, 2])


@pytest.mark.parametrize("order", RESIDUAL_ORDERS)
def test_biases_start_at_zero_and_can_be_left_out(order):
    network = Perceptron(residual=True, order=order, depth=2).build(0)
    biases = [p for name, p in network.named_parameters() if name.endswith("bias")]
    assert biases
    assert all(float(bias.detach().abs().max()) == 0 for bias in biases)
    bare = Perceptron(residual=True, order=order, depth=2, bias=False).build(0)
    assert not [name for name, _ in bare.named_parameters() if name.endswith("bias")]
