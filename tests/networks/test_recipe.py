"""Recipes are values: text, equality, seeds, and refusals that say what to try."""

import copy
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch

from skipnorm.errors import NetworkError
from skipnorm.networks.recipe import ConvNet, OneLayer, Perceptron


def weights(network):
    return torch.cat([parameter.detach().double().flatten() for parameter in network.parameters()])


RECIPES = [
    Perceptron(inputs=6, width=8, depth=2, norm="batch"),
    Perceptron(inputs=6, width=8, depth=2, residual=True, initializer="orthogonal"),
    ConvNet(width=8, depth=2, residual=True, norm="layer"),
    OneLayer(inputs=6, outputs=2),
]


def test_text_omits_defaults():
    assert str(Perceptron()) == "Perceptron()"
    assert str(Perceptron(depth=20, norm="batch")) == "Perceptron(depth=20, norm='batch')"
    assert repr(ConvNet(dims=2)) == "ConvNet(dims=2)"
    assert str(OneLayer(activation="tanh")) == "OneLayer(activation='tanh')"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Perceptron(depth=20), Perceptron(depth=np.int64(20))),
        (Perceptron(residual=True, branch_scale=1), Perceptron(residual=True, branch_scale=1.0)),
        (Perceptron(order="weight-norm-act"), Perceptron()),
        (Perceptron(residual=True, order="norm-act-weight"), Perceptron(residual=True)),
        (Perceptron(eps=np.float32(0.5)), Perceptron(eps=0.5)),
    ],
)
def test_equal_settings_have_equal_text(one, other):
    assert one == other
    assert str(one) == str(other)
    assert hash(one) == hash(other)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_text_is_a_recipe(recipe):
    names = {"Perceptron": Perceptron, "ConvNet": ConvNet, "OneLayer": OneLayer}
    assert eval(str(recipe), names) == recipe
    assert pickle.loads(pickle.dumps(recipe)) == recipe


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_seed_decides_the_weights(recipe):
    first, again, other = recipe.build(1), recipe.build(1), recipe.build(2)
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_building_leaves_the_global_random_state(recipe):
    torch.manual_seed(5)
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    recipe.build(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002
    assert torch.equal(weights(recipe.build(3)), weights(recipe.build(3)))


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_every_precision_holds_the_same_network(recipe):
    exact = recipe.build(0, dtype=torch.float64)
    single = recipe.build(0)
    assert {p.dtype for p in exact.parameters()} == {torch.float64}
    assert {p.dtype for p in single.parameters()} == {torch.float32}
    assert torch.equal(weights(exact).float(), weights(single).float())


def test_networks_are_built_on_the_cpu_and_can_be_copied():
    with torch.device("meta"):
        network = Perceptron(width=4, depth=1).build(0)
    assert {p.device.type for p in network.parameters()} == {"cpu"}
    twin = pickle.loads(pickle.dumps(copy.deepcopy(network)))
    assert list(twin.state_dict()) == list(network.state_dict())


def test_whole_numbers_are_no_precision():
    with pytest.raises(NetworkError, match="floating"):
        Perceptron().build(0, dtype=torch.int64)


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (Perceptron, {"norm": "bach"}, "Did you mean 'batch'"),
        (Perceptron, {"activation": "rleu"}, "Did you mean 'relu'"),
        (Perceptron, {"initializer": "hee"}, "Did you mean 'he'"),
        (Perceptron, {"order": "norm-act-weight"}, "weight-act-norm"),
        (Perceptron, {"residual": True, "order": "orignal"}, "Did you mean 'original'"),
        (Perceptron, {"norm": "instance"}, "norm='layer'"),
        (Perceptron, {"norm": "group", "width": 12}, "Try groups=4"),
        (Perceptron, {"width": 0}, "width >= 1"),
        (Perceptron, {"depth": -1}, "depth >= 0"),
        (Perceptron, {"depth": 2.5}, "expected int"),
        (Perceptron, {"eps": -1e-5}, "eps >= 0"),
        (Perceptron, {"eps": "small"}, "expected float"),
        (Perceptron, {"initializer": "fixup"}, "residual=True"),
        (Perceptron, {"initializer": "skipinit"}, "residual=True"),
        (Perceptron, {"initializer": "rezero"}, "residual=True"),
        (Perceptron, {"initializer": "nf"}, "residual=True"),
        (Perceptron, {"branch_scale": 0.1}, "residual=True"),
        (Perceptron, {"shortcut_scale": 0.5}, "residual=True"),
        (Perceptron, {"residual": True, "branch_scale": float("nan")}, "finite"),
        (
            Perceptron,
            {"residual": True, "initializer": "rezero", "branch_scale": 0.5},
            "skipinit",
        ),
        (Perceptron, {"initializer": "looks_linear"}, "activation='crelu'"),
        (
            Perceptron,
            {"residual": True, "activation": "crelu", "order": "original"},
            "full-preactivation",
        ),
        (
            Perceptron,
            {"residual": True, "activation": "crelu", "order": "weight-norm-act"},
            "norm-act-weight",
        ),
        (Perceptron, {"residual": True, "initializer": "nf", "norm": "batch"}, "norm='none'"),
        (
            Perceptron,
            {"residual": True, "initializer": "nf", "order": "original"},
            "full-preactivation",
        ),
        (ConvNet, {"dims": 3}, "dims 1"),
        (ConvNet, {"kernel": 4}, "odd kernel"),
        (ConvNet, {"padding": "zero"}, "Did you mean 'zeros'"),
        (OneLayer, {"activation": "crelu"}, "expected one of"),
        (OneLayer, {"initializer": "rezero"}, "expected one of"),
        (OneLayer, {"outputs": 0}, "outputs >= 1"),
    ],
)
def test_refusals_say_what_to_try(kind, fields, message):
    with pytest.raises(NetworkError, match=message):
        kind(**fields)


def test_recipes_are_frozen_and_replaceable():
    recipe = Perceptron(residual=True, initializer="skipinit", depth=4)
    with pytest.raises(FrozenInstanceError):
        recipe.depth = 5
    deeper = replace(recipe, depth=16).build(0)
    assert deeper.blocks[0].scale.item() == 0.25  # 1 / sqrt(depth) of the new depth


def test_recipes_are_read_without_torch():
    script = (
        "import sys\n"
        "from skipnorm.networks.recipe import Perceptron\n"
        "assert str(Perceptron(depth=3)) == 'Perceptron(depth=3)'\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
