"""The use of non-linearities: published tables, theory for Gaussian input, units built to be dead or always on."""

import copy
import math
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from skipnorm.errors import ProbeError
from skipnorm.formulas.quadrature import nonlinearity_index, on_fraction
from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.probes import pass_through
from skipnorm.probes.activation import activation, activation_summary
from skipnorm.studies.measure import labelled

SAMPLES = 100_000


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seen(network: nn.Module, batch, **settings):
    return labelled(activation(network, batch, **settings))


# The tables of the literature ---------------------------------------------------------------------

TANH = {0.25: 0.0019, 0.5: 0.0158, 1: 0.0695, 2: 0.1623, 4: 0.2477, 8: 0.3023}
SIGMOID = {0.25: 0.0001, 0.5: 0.0019, 1: 0.0158, 2: 0.0695, 4: 0.1623, 8: 0.2477}
RELU = {-2: 0.909, -1: 0.632, 0: 0.2665, 1: 0.0576, 2: 0.0054, 3: 0.0002}
RELU_ON = {-3: 0.0013, -2: 0.0228, -1: 0.1587, 0: 0.5, 1: 0.8413, 2: 0.9772, 3: 0.9987}


@pytest.mark.parametrize(("module", "table"), [(nn.Tanh(), TANH), (nn.Sigmoid(), SIGMOID)])
def test_the_index_of_saturating_units_on_gaussian_input(module: nn.Module, table: dict):
    gains = torch.tensor(list(table))
    found = seen(nn.Sequential(module), draw(SAMPLES, 1) * gains).unit_nonlinearity[0]
    np.testing.assert_allclose(found, list(table.values()), atol=0.01)
    name = type(module).__name__.lower()
    exact = [nonlinearity_index(name, gain) for gain in table]
    np.testing.assert_allclose(found, exact, atol=0.003)


def test_the_index_and_the_on_fraction_of_rectifiers_on_gaussian_input():
    found = seen(nn.Sequential(nn.ReLU()), draw(SAMPLES, 1) + torch.tensor(list(RELU)))
    np.testing.assert_allclose(found.unit_nonlinearity[0], list(RELU.values()), atol=0.01)
    found = seen(nn.Sequential(nn.ReLU()), draw(SAMPLES, 1) + torch.tensor(list(RELU_ON)))
    np.testing.assert_allclose(found.unit_on[0], list(RELU_ON.values()), atol=0.005)
    np.testing.assert_allclose(
        found.unit_on[0], [on_fraction(shift=shift) for shift in RELU_ON], atol=0.005
    )


def test_saturation_of_sigmoid_and_tanh_on_gaussian_input():
    """tanh' = 1 - tanh^2 < 0.1 where |z| > artanh(sqrt .9); sigmoid' likewise at twice that."""
    edge = math.atanh(math.sqrt(0.9))
    for module, factor in ((nn.Tanh(), 1), (nn.Sigmoid(), 2)):
        found = seen(nn.Sequential(module), 2 * draw(SAMPLES, 1))
        expected = 2 * on_fraction(gain=2, shift=-edge * factor)
        assert found.saturated_fraction.item() == pytest.approx(expected, abs=0.005)


def test_a_saturated_unit_is_known_without_one_that_is_not():
    """The steepest slope is that of the function, not the steepest that this batch has met."""
    found = seen(nn.Sequential(nn.Tanh()), draw(100, 3) * 0.1 + 6)
    assert found.saturated_fraction.item() == 1
    assert found.steepest_slope.item() == 1


DEAD = {10: 0.14, 20: 0.24, 50: 0.39}
ALWAYS_ON = {10: 0.12, 20: 0.24, 50: 0.38}
TOGETHER = {1: 0.302, 2: 0.332, 3: 0.353, 5: 0.382, 10: 0.418, 20: 0.449, 50: 0.475}


@pytest.mark.parametrize("deepest", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_deep_rectifiers_die_or_stay_on_without_norm(deepest: int):
    """H4-b (measured elsewhere) and H4-c (J'(c)/2, derived): He weights, width 500, 256 Gaussian inputs."""
    recipe = Perceptron(depth=deepest + 1, width=500, inputs=500, stem=False, head=False)
    draws = [activation(recipe.build(seed), draw(256, 500, seed=seed)).values for seed in range(8)]
    mean = {name: torch.stack([each[name] for each in draws]).mean(dim=0) for name in draws[0]}
    for layer in (layer for layer in DEAD if layer <= deepest):
        assert mean["dead_fraction"][layer].item() == pytest.approx(DEAD[layer], abs=0.05)
        assert mean["always_on_fraction"][layer].item() == pytest.approx(ALWAYS_ON[layer], abs=0.05)
    for layer, expected in TOGETHER.items():
        if layer > deepest:
            continue
        assert mean["co_activation"][layer].item() == pytest.approx(expected, abs=0.01)


def test_behind_batch_norm_no_unit_dies_and_pairs_stay_at_a_quarter():
    recipe = Perceptron(depth=20, width=300, inputs=300, norm="batch", stem=False, head=False)
    found = seen(recipe.build(0), draw(256, 300))
    rectifiers = found.sel(site=found.kind == "activation")
    assert rectifiers.dead_fraction.max() == 0
    assert rectifiers.always_on_fraction.max() == 0
    # deep behind BN the samples' correlation is slightly negative or 0: J'(0)/2 = 1/4 and skewness
    assert abs(rectifiers.co_activation - 0.25).max() < 0.03


# By construction ----------------------------------------------------------------------------------


def biased(bias: list[float], act: nn.Module) -> nn.Module:
    network = nn.Sequential(nn.Linear(1, len(bias)), act)
    nn.init.ones_(network[0].weight)
    network[0].bias.data = torch.tensor(bias)
    return network


@pytest.mark.parametrize("act", [nn.ReLU(), nn.ReLU(inplace=True)])
def test_dead_and_always_on_by_construction(act: nn.Module):
    x = torch.linspace(-1, 1, 21)[:, None]
    found = seen(biased([-5.0, 5.0, 0.0], act), x)
    assert found.unit_dead.values.tolist() == [[1, 0, 0]]
    assert found.unit_always_on.values.tolist() == [[0, 1, 0]]
    np.testing.assert_allclose(found.unit_on[0], [0, 1, 10 / 21])
    np.testing.assert_allclose(found.unit_co_activation[0], [0, 1, 10 * 9 / (21 * 20)])
    np.testing.assert_allclose(found.unit_saturated[0], [1, 0, 11 / 21])
    assert np.isnan(found.unit_nonlinearity[0, 0])
    assert found.unit_nonlinearity[0, 1] < 1e-12
    assert found.nonlinearity.item() == pytest.approx(float(found.unit_nonlinearity[0, 1:].mean()))
    assert found.still_fraction.item() == pytest.approx(1 / 3)


def test_batches_are_accounted_for_together():
    x, network = draw(60, 4) * 2 + 0.5, nn.Sequential(nn.Tanh())
    whole, parts = seen(network, x), seen(network, [(x[:13], None), (x[13:], None)])
    for name in ("unit_on", "unit_nonlinearity", "unit_saturated"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-12)


def test_channels_of_images_are_units_and_positions_are_averaged_over():
    x = draw(6, 3, 5, 5)
    found = seen(nn.Sequential(nn.ReLU()), x)
    np.testing.assert_allclose(found.unit_on[0], (x > 0).double().mean(dim=(0, 2, 3)))
    pairs = [(x[i] > 0) & (x[j] > 0) for i in range(6) for j in range(6) if i != j]
    expected = torch.stack(pairs).double().mean(dim=(0, 2, 3))
    np.testing.assert_allclose(found.unit_co_activation[0], expected)


# Activations of any make --------------------------------------------------------------------------


class Swishish(nn.Module):
    """A hand-written leaf: x * sigmoid(a x)."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.full((4,), 3.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.a * x)


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.inner, self.reentrant = nn.Sequential(nn.Linear(4, 4), nn.Tanh()), reentrant

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.inner, x, use_reentrant=self.reentrant)


class Graphless(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.tanh(x)


def test_saturation_of_a_hand_written_leaf_module():
    x = draw(4000, 4)
    found = seen(nn.Sequential(Swishish()), x)
    grid = torch.linspace(-5, 5, 100_001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad((grid * torch.sigmoid(3 * grid)).sum(), grid)
    z = x.double().requires_grad_()
    (met,) = torch.autograd.grad((z * torch.sigmoid(3 * z)).sum(), z)
    assert found.steepest_slope.item() == pytest.approx(slope.max().item(), rel=1e-3)
    expected = (met.abs() < 0.1 * slope.max()).double().mean(dim=0)
    np.testing.assert_allclose(found.unit_saturated[0], expected, atol=1e-3)


class Layer(nn.Module):
    """A leaf that is more than its activation."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight)


def test_the_steepest_slope_is_that_of_the_function_not_of_the_module_around_it():
    found = seen(Layer(), draw(30, 3))
    assert found.steepest_slope.item() == 1
    assert seen(nn.Sequential(nn.ELU(3.0)), draw(30, 3) + 9).steepest_slope.item() > 2.9


@pytest.mark.parametrize("network", [Checkpointed(True), Checkpointed(False)])
def test_checkpointing_changes_nothing(network: nn.Module):
    x = draw(50, 4) * 4
    found, plain = seen(network, x), seen(network.inner, x)
    np.testing.assert_array_equal(found.unit_saturated, plain.unit_saturated)
    np.testing.assert_array_equal(found.unit_nonlinearity, plain.unit_nonlinearity)


def test_where_autograd_does_not_reach_slopes_come_from_the_samples():
    x = draw(5000, 2) * 3
    found, plain = (seen(nn.Sequential(act), x) for act in (Graphless(), nn.Tanh()))
    np.testing.assert_allclose(found.unit_saturated, plain.unit_saturated, atol=0.01)
    assert "slopes are those between samples" in found.attrs["notes"]


def test_an_output_of_another_shape_is_said_and_not_guessed():
    found = seen(nn.Sequential(nn.Linear(6, 6), nn.GLU()), draw(8, 6))
    assert np.isnan(found.nonlinearity.item())
    assert "another shape" in found.attrs["notes"]


# Norms --------------------------------------------------------------------------------------------


class HandRMS(nn.Module):
    """As in Gemma: multiplies by 1 + weight."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * (1 + self.weight)


class HandBatchNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma, self.beta = (nn.Parameter(draw(width, seed=seed)) for seed in (1, 2))

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=0, correction=0)
        return (x - mean) / (variance + 1e-7).sqrt() * self.gamma + self.beta


@pytest.mark.parametrize("make", [nn.BatchNorm1d, nn.LayerNorm])
def test_gains_and_shifts_of_torchs_norms(make):
    norm = make(5)
    norm.weight.data = torch.tensor([0.5, -2.0, 0.001, -0.009, 0.02])
    norm.bias.data = torch.tensor([0.0, 1.0, -3.0, 0.0, 2.0])
    found = seen(nn.Sequential(norm), draw(16, 5))
    np.testing.assert_allclose(found.unit_gain[0], norm.weight.detach(), rtol=1e-6)
    np.testing.assert_allclose(found.unit_shift[0], norm.bias.detach(), rtol=1e-6)
    assert found.disabled_fraction.item() == pytest.approx(0.4)
    assert found.shift_size.item() == pytest.approx(1.2)
    assert found.shift_mean.item() == pytest.approx(0.0, abs=1e-7)
    quantiles = np.quantile(norm.weight.detach().abs().numpy(), found["quantile"])
    np.testing.assert_allclose(found.gain_size_quantile[0], quantiles, rtol=1e-6)


def test_gains_of_hand_written_norms_are_read_off_what_they_do():
    rms, batch = HandRMS(6), HandBatchNorm(6)
    found = seen(nn.Sequential(rms), draw(64, 6))
    np.testing.assert_allclose(found.unit_gain[0], 1 + rms.weight.detach(), atol=1e-5)
    np.testing.assert_allclose(found.unit_shift[0], 0, atol=1e-5)
    found = seen(nn.Sequential(batch), draw(64, 6))
    np.testing.assert_allclose(found.unit_gain[0], batch.gamma.detach(), rtol=1e-5)
    np.testing.assert_allclose(found.unit_shift[0], batch.beta.detach(), rtol=1e-5)


def test_a_norm_without_parameters_has_gain_one():
    found = seen(nn.Sequential(nn.BatchNorm1d(3, affine=False)), draw(8, 3))
    assert found.unit_gain.values.tolist() == [[1, 1, 1]]
    assert found.disabled_fraction.item() == 0


# Laws ---------------------------------------------------------------------------------------------


def test_the_same_answer_twice_and_no_trace():
    network = ConvNet(dims=2, depth=3, width=6, norm="batch", residual=True).build(0)
    x = draw(5, 1, 6, 6)
    network(x).sum().backward()
    before = copy.deepcopy(network.state_dict())
    grads = [parameter.grad.clone() for parameter in network.parameters()]
    state, other = torch.get_rng_state(), random.getstate()
    first, second = seen(network, x), seen(network, x)
    assert first.identical(second)
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == other
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    for parameter, grad in zip(network.parameters(), grads, strict=True):
        assert torch.equal(parameter.grad, grad)
    assert network.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


class Breaking(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("midway")


def test_no_trace_where_the_network_breaks_midway():
    network = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(inplace=True), Breaking())
    x, state = draw(4, 3), torch.get_rng_state()
    kept = x.clone()
    with pytest.raises(Exception, match="midway"):
        activation(network, x)
    assert torch.equal(x, kept)
    assert network[0].num_batches_tracked == 0
    assert torch.equal(torch.get_rng_state(), state)
    assert type(network[0]) is nn.BatchNorm1d
    y = torch.ones(3, requires_grad=True)  # and what autograd saves is saved as before
    assert torch.autograd.grad(y.exp().sum(), y)[0].allclose(y.exp())


def test_in_place_and_out_of_place_agree():
    def build(inplace: bool) -> nn.Module:
        torch.manual_seed(1)
        layers = [nn.Linear(4, 8), nn.ReLU(inplace), nn.Linear(8, 8), nn.ELU(2.0, inplace)]
        return nn.Sequential(*layers, nn.Linear(8, 8), nn.Hardtanh(-0.3, 0.3, inplace))

    x = draw(40, 4)
    first, second = (seen(build(inplace), x) for inplace in (True, False))
    for name in first.data_vars:
        np.testing.assert_array_equal(first[name].values, second[name].values, err_msg=name)
    assert first.steepest_slope.values[1] == pytest.approx(2.0, rel=1e-2)  # alpha exp(z), z -> 0-


def test_train_and_eval_mode_and_the_statistics_asked_for():
    network = nn.Sequential(nn.BatchNorm1d(2), nn.ReLU())
    x = draw(400, 2) + 5
    assert seen(network, x).on_fraction.values[1] == pytest.approx(0.5, abs=0.06)
    assert seen(network, x, statistics="running").on_fraction.values[1] > 0.99
    assert seen(network.eval(), x).on_fraction.values[1] > 0.99
    assert seen(network, x, statistics="batch").on_fraction.values[1] == pytest.approx(
        0.5, abs=0.06
    )
    recalibrated = seen(network, x, statistics="recalibrated").on_fraction.values[1]
    assert recalibrated == pytest.approx(0.5, abs=0.06)
    assert torch.equal(network[0].running_mean, torch.zeros(2))


@pytest.mark.parametrize("act", [nn.ReLU(), nn.Tanh(), nn.GELU()])
def test_nan_in_nan_out(act: nn.Module):
    x = draw(20, 3)
    x[4, 1] = math.nan
    found = seen(nn.Sequential(act), x)
    for name in ("on", "dead", "always_on", "co_activation", "saturated", "nonlinearity"):
        assert np.isnan(found[f"unit_{name}"].values[0]).tolist() == [False, True, False], name
    for name in ("on_fraction", "dead_fraction", "saturated_fraction", "nonlinearity"):
        assert np.isnan(found[name].item()), name


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ProbeError, match="Did you mean 'batch'"):
        activation(nn.Sequential(nn.ReLU()), draw(3, 3), statistics="batches")
    with pytest.raises(ProbeError, match="an activation or a norm"):
        activation(nn.Sequential(nn.Linear(3, 3)), draw(3, 3))


def test_half_precision_and_double_are_read_alike():
    x = draw(50, 3)
    found = [seen(nn.Sequential(nn.Tanh()), x.to(kind)) for kind in (torch.bfloat16, torch.float64)]
    np.testing.assert_allclose(found[0].unit_nonlinearity, found[1].unit_nonlinearity, atol=0.02)


# The site probe -----------------------------------------------------------------------------------


def test_the_summary_gives_the_same_numbers_at_an_activations_input():
    network = ConvNet(dims=2, depth=3, width=6, norm="batch").build(0)
    x = draw(7, 1, 6, 6)
    whole = seen(network, x)
    reading = pass_through(network, (x, None), [activation_summary()])
    places = {site.name: (site.index, "input") for site in reading.anatomy.activations}
    for quantity in activation_summary().quantities:
        for name, place in places.items():
            expected = whole[quantity.name].sel(site=name).item()
            assert reading.numbers[quantity.name][place] == pytest.approx(expected, rel=1e-12)


def test_the_summary_reports_nan():
    x = draw(5, 3)
    x[0, 0] = math.nan
    reading = pass_through(nn.Sequential(nn.ReLU()), (x, None), [activation_summary()])
    assert all(math.isnan(numbers[0, "input"]) for numbers in reading.numbers.values())
