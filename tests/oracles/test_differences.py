"""Gradients at sites against finite differences, and against torch's functional derivatives.

Source of truth: central differences in float64: what an added `t * direction` at a site does to the loss,
`dE/dt = <dE/dx, direction>`. The site is moved by `altered`, so that reading and altering check each other.
"""

from typing import Any

import pytest
import torch
from tests.probes.recording import inner, record
from torch import Tensor

import skipnorm as sn
from skipnorm.anatomy.alter import altered

DOUBLE = torch.float64
STEP = 1e-5

RECIPES = [
    sn.Perceptron(depth=3, width=6, inputs=5, norm="batch", activation="tanh"),
    sn.Perceptron(residual=True, depth=3, width=6, inputs=5, norm="layer", activation="gelu"),
    sn.Perceptron(residual=True, depth=2, width=6, inputs=5, norm="rms", order="original",
                  activation="silu"),
    sn.ConvNet(residual=True, depth=2, width=4, norm="instance", activation="tanh"),
    sn.ConvNet(dims=2, depth=2, width=4, norm="group", groups=2, activation="softplus"),
]  # fmt: skip


def case(recipe: Any) -> tuple[Any, Tensor, Tensor]:
    network = recipe.build(seed=0, dtype=DOUBLE)
    shape = (4, 5) if isinstance(recipe, sn.Perceptron) else (4, 1, 7, 7)[: 2 + recipe.dims]
    return network, torch.randn(shape, dtype=DOUBLE), torch.randn(4, 10, dtype=DOUBLE)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_gradient_at_the_output_of_every_site(recipe: Any) -> None:
    network, x, covector = case(recipe)
    anatomy = sn.anatomy(network, x)
    found = record(network, (x, covector), loss=inner, flows=True)
    for site in anatomy:
        direction = torch.randn(site.shape, dtype=DOUBLE)

        def loss(shift: float, site: Any = site, direction: Tensor = direction) -> float:
            edit = {site.name: lambda at: at.original() + shift * direction}
            with torch.no_grad(), altered(network, anatomy, edit):
                return float(inner(network(x), covector))

        slope = (loss(STEP) - loss(-STEP)) / (2 * STEP)
        gradient = found.gradients[f"{site.name}:output"]
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_the_loss_is_that_of_a_functional_call(recipe: Any) -> None:
    network, x, covector = case(recipe)
    found = record(network, (x, covector), loss=inner)
    value = torch.func.functional_call(network, dict(network.named_parameters()), (x,))
    assert found.loss == pytest.approx(float(inner(value, covector).detach()), rel=1e-12)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch's own forward mode
@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_forward_mode_agrees(recipe: Any) -> None:
    """Along a direction of the input, dE by torch's forward mode is <dE/dx, direction> by reverse mode."""
    network, x, covector = case(recipe)
    network.eval().requires_grad_(False)  # forward mode may not count BatchNorm's batches
    probe = torch.nn.Sequential(torch.nn.Tanh(), network)  # its input is a site's
    found = record(probe, (x, covector), loss=inner)
    direction = torch.randn_like(x)
    _, slope = torch.func.jvp(lambda x: inner(probe(x), covector), (x,), (direction,))
    gradient = found.gradients["0:input"]
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-9)
