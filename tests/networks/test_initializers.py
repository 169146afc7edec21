"""Weights have the moments and the structure that their sources prescribe."""

import math

import pytest
import torch

from skipnorm.errors import NetworkError
from skipnorm.networks.initializers import SCHEMES, Place, initialize
from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.networks.vocabulary import INITIALIZERS


def filled(name, shape=(300, 200), **place):
    weight = torch.empty(shape, dtype=torch.float64)
    initialize(weight, name, Place(torch.Generator().manual_seed(0), **place))
    return weight


def test_vocabulary_and_schemes_agree():
    assert set(INITIALIZERS) == set(SCHEMES)


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("he", 2 / 200),
        ("skipinit", 2 / 200),
        ("rezero", 2 / 200),
        ("lecun", 1 / 200),
        ("nf", 1 / 200),
        ("glorot", 2 / 500),
    ],
)
def test_variance(name, variance):
    weight = filled(name)
    assert float(weight.var()) == pytest.approx(variance, rel=0.03)
    assert abs(float(weight.mean())) < 5 * math.sqrt(variance / weight.numel())


@pytest.mark.parametrize("role", ["stem", "head"])
def test_no_rectifier_in_front_no_factor_two(role):
    assert float(filled("he", role=role).var()) == pytest.approx(1 / 200, rel=0.03)


def test_fan_in_of_a_kernel_counts_its_positions():
    assert float(filled("he", (100, 50, 3, 3)).var()) == pytest.approx(2 / 450, rel=0.03)


def test_glorot_is_uniform_in_its_range():
    assert float(filled("glorot").abs().max()) == pytest.approx(math.sqrt(6 / 500), rel=1e-3)


@pytest.mark.parametrize(
    ("activation", "gain"), [("relu", math.sqrt(2)), ("identity", 1), ("tanh", 1.59254)]
)
def test_orthogonal_rows_times_gain(activation, gain):
    weight = filled("orthogonal", (40, 40), activation=activation)
    expected = gain**2 * torch.eye(40, dtype=torch.float64)
    torch.testing.assert_close(weight @ weight.T, expected, rtol=1e-3, atol=1e-3)


def test_looks_linear_mirrors_behind_a_concatenated_relu():
    weight = filled("looks_linear", (8, 16), mirrored=True)
    assert torch.equal(weight[:, :8], -weight[:, 8:])
    half = weight[:, :8]
    torch.testing.assert_close(half @ half.T, torch.eye(8, dtype=torch.float64))


def test_fixup_rule():
    # Zhang et al. 2019: last weight and classifier 0, the others times depth^(-1/(2m-2)).
    inner = filled("fixup", depth=16, layers=2)
    assert float(inner.var()) == pytest.approx(2 / 200 / 16, rel=0.03)
    assert float(filled("fixup", depth=16, layers=3).var()) == pytest.approx(2 / 200 / 4, rel=0.03)
    assert float(filled("fixup", role="last").abs().max()) == 0
    assert float(filled("fixup", role="head").abs().max()) == 0


def test_unknown_scheme():
    with pytest.raises(NetworkError, match="Did you mean 'fixup'"):
        filled("fixop")


@pytest.mark.parametrize("kind", [Perceptron, ConvNet])
@pytest.mark.parametrize("initializer", ["fixup", "rezero"])
@pytest.mark.parametrize("order", ["norm-act-weight", "full-preactivation"])
def test_blocks_that_start_as_the_identity(kind, initializer, order):
    recipe = kind(
        width=6,
        depth=5,
        residual=True,
        order=order,
        initializer=initializer,
        stem=False,
        head=False,
    )
    x = torch.randn(4, 6) if kind is Perceptron else torch.randn(4, 6, 9)
    torch.testing.assert_close(recipe.build(0)(x), x, rtol=0, atol=0)


def test_fixup_has_a_shift_before_every_weight_and_activation_and_a_scale():
    block = Perceptron(residual=True, initializer="fixup", order="full-preactivation").build(0)
    names = [name for name, _ in block.blocks[0].named_parameters()]
    shifts = [f"shift{number}.bias" for number in (1, 2, 3, 4)]
    assert sorted(names) == sorted([*shifts, "scale", "weight1.weight", "weight2.weight"])
    assert block.blocks[0].scale.item() == 1


def test_skipinit_starts_at_one_over_the_root_of_the_depth():
    fields = {"residual": True, "initializer": "skipinit", "depth": 9, "width": 6}
    bare = {"stem": False, "head": False}
    network = Perceptron(**fields, **bare).build(0, dtype=torch.float64)
    twin = Perceptron(**{**fields, "initializer": "he"}, branch_scale=1 / 3, **bare)
    x = torch.randn(4, 6, dtype=torch.float64)
    torch.testing.assert_close(network(x), twin.build(0, dtype=torch.float64)(x))
    assert network.blocks[0].scale.requires_grad
    silent = Perceptron(**fields, branch_scale=0.0, **bare).build(0, dtype=torch.float64)
    torch.testing.assert_close(silent(x), x)
