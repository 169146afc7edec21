"""Scaled weight standardisation. Truth: Brock et al. 2021, equation 1, by hand; variances in closed form."""

import copy
import math

import pytest
import torch
import transformers as hf
from torch import Tensor, nn
from torch.nn import functional

import skipnorm as sn


def standardized(network: nn.Module, x: Tensor, **settings: object) -> nn.Module:
    return sn.operate(network, sn.StandardizeWeights(**settings), inputs=x)


def by_hand(weight: Tensor, factor: float) -> Tensor:
    """Equation 1, with the (population) variance over the inputs of each output."""
    dims = tuple(range(1, weight.dim()))
    mean, fan_in = weight.mean(dims, keepdim=True), weight[0].numel()
    variance = (weight - mean).square().mean(dims, keepdim=True)
    return factor * (weight - mean) / (variance * fan_in).sqrt()


LAYERS = {
    "linear": (lambda: nn.Linear(6, 5), (4, 6), functional.linear),
    "series": (lambda: nn.Conv1d(4, 6, 3, groups=2, stride=2), (2, 4, 9), None),
    "images": (lambda: nn.Conv2d(4, 4, 3, groups=4, padding=1, padding_mode="reflect"), (2, 4, 6, 6), None),
    "volumes": (lambda: nn.Conv3d(2, 3, 2, dilation=2), (2, 2, 5, 5, 5), None),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_the_layer_multiplies_by_its_standardised_weight(name):
    make, shape, _ = LAYERS[name]
    network = nn.Sequential(make()).double()
    x = torch.randn(shape, dtype=torch.float64)
    altered = standardized(network, x, where="0")
    twin = copy.deepcopy(network)
    twin[0].weight.data = by_hand(network[0].weight.data, 1.0)
    assert torch.allclose(altered(x), twin(x), atol=1e-12)
    assert set(altered.state_dict()) == {"0.weight", "0.bias", "0.gain"}
    altered.load_state_dict(network.state_dict())
    altered.load_state_dict(altered.state_dict())
    assert isinstance(altered[0], type(network[0]))


class Leaky(nn.Module):
    """An activation in another module's code, with a slope of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(functional.leaky_relu(self.one(x), 0.3, inplace=True))


def two_layers(activation: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 6), activation, nn.Linear(6, 6))


def leaky_variance(slope: float) -> float:
    """`Var max(z, slope z)`: half of each square, less the squared mean `(1 - slope) / sqrt(2 pi)`."""
    return (1 + slope**2) / 2 - (1 - slope) ** 2 / (2 * math.pi)


FACTORS = {
    "relu": (lambda: two_layers(nn.ReLU()), "2", leaky_variance(0) ** -0.5),
    "in code": (Leaky, "two", leaky_variance(0.3) ** -0.5),
    "learned": (lambda: two_layers(nn.PReLU()), "2", leaky_variance(0.25) ** -0.5),
    "a norm between": (
        lambda: nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.LayerNorm(6), nn.Linear(6, 6)), "3", 1.0,
    ),
    "a hand-written module": (lambda: two_layers(hf.activations.ReLUSquaredActivation()), "2", 1.25**-0.5),
    "nothing": (lambda: two_layers(nn.ReLU()), "0", 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", FACTORS)
def test_the_factor_is_that_of_the_activation_in_front(name):
    """`Var relu(z)^2 = E z^4 / 2 - 1/4 = 5/4`."""
    make, path, factor = FACTORS[name]
    altered = standardized(make(), torch.randn(3, 6), where=path)
    assert altered.get_submodule(path).factor == pytest.approx(factor, rel=1e-5)


def test_by_default_all_but_the_head_and_twice_is_refused():
    network, x = sn.Perceptron(depth=2, width=6, inputs=6).build(0), torch.randn(3, 6)
    altered = standardized(network, x, expect=3)
    with pytest.raises(sn.SurgeryError, match="found none"):
        standardized(altered, x)
    assert isinstance(altered.head.weight, nn.Linear)
    assert not hasattr(altered.head.weight, "gain")


@pytest.mark.parametrize("first", ["scale", "standardize"])
def test_it_composes_with_gates_in_either_order(first):
    recipe = sn.Perceptron(residual=True, depth=2, width=6, inputs=6)
    network, x = recipe.build(0), torch.randn(3, 6)
    operations = [sn.ScaleSkips(branch=0.5), sn.StandardizeWeights()]
    altered = sn.operate(network, *operations[:: 1 if first == "scale" else -1], inputs=x)
    twin = copy.deepcopy(network)
    for path, factor in (
        ("stem", 1.0),
        *((f"blocks.{at}.weight", leaky_variance(0) ** -0.5) for at in (0, 1)),
    ):
        layer = twin.get_submodule(path)
        layer.weight.data = by_hand(layer.weight.data, factor)
    h = twin.stem(x)
    for block in twin.blocks:
        h = h + 0.5 * block.branch(h)
    assert torch.allclose(altered(x), twin.head(h), atol=1e-5)
    again = copy.deepcopy(altered)
    assert torch.equal(again(x), altered(x))


def test_hooks_of_an_earlier_operation_stay():
    network, x = two_layers(nn.ReLU()), torch.randn(3, 6)
    altered = sn.operate(
        network, sn.InsertNorm(to="layer"), sn.StandardizeWeights(where="2"), inputs=x
    )
    assert len(sn.anatomy(altered, x).norms) == 2


def test_its_gain_is_learned():
    network, x = two_layers(nn.ReLU()), torch.randn(3, 6)
    altered = standardized(network, x)
    optimiser = torch.optim.SGD(altered.parameters(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        altered(x).square().mean().backward()
        optimiser.step()
    assert not torch.equal(altered[0].gain, torch.ones(6))
    assert altered[0].weight.grad is not None


def test_a_row_of_weights_is_free_of_its_scale_and_its_mean():
    """The gradient has no part along the weight, nor along a constant."""
    network, x = nn.Sequential(nn.Linear(6, 6)).double(), torch.randn(3, 6).double()
    altered = standardized(network, x, where="0")
    altered(x).square().sum().backward()
    weight, gradient = altered[0].weight, altered[0].weight.grad
    assert torch.allclose((weight * gradient).sum(1), torch.zeros(6).double(), atol=1e-10)
    assert torch.allclose(gradient.sum(1), torch.zeros(6).double(), atol=1e-10)


def test_refusals_say_where_and_why():
    depthwise = nn.Sequential(nn.Conv1d(3, 3, 1, groups=3), nn.ReLU(), nn.Conv1d(3, 3, 1))
    with pytest.raises(sn.SurgeryError, match=r"at 0: .*two inputs or more"):
        standardized(depthwise, torch.randn(2, 3, 5))
    with pytest.raises(sn.SurgeryError, match="found none"):
        standardized(nn.Sequential(nn.Linear(3, 3)), torch.randn(2, 3))  # a head alone


def test_it_compiles_and_agrees():
    network, x = two_layers(nn.ReLU()), torch.randn(3, 6)
    altered = standardized(network, x)
    compiled = torch.compile(altered, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), altered(x))
