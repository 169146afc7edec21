"""Drift of distributions: closed forms for Gaussians, scipy, and the invariants of BatchNorm."""

import copy
import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from skipnorm.errors import ProbeError
from skipnorm.formulas.distances import gaussian_wasserstein
from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.probes.shift import drift
from skipnorm.studies.measure import labelled


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seen(network: nn.Module, batch, states, **settings):
    return labelled(drift(network, batch, states=states, **settings))


def affine(weight: float, bias: float) -> nn.Module:
    network = nn.Sequential(nn.Linear(1, 1), nn.Tanh())
    nn.init.constant_(network[0].weight, weight)
    nn.init.constant_(network[0].bias, bias)
    return network


@pytest.mark.parametrize(("weight", "bias"), [(1.0, 2.0), (2.5, 0.0), (0.5, -0.4), (1.0, 0.0)])
def test_shifted_and_widened_gaussians(weight: float, bias: float):
    found = seen(affine(1, 0), draw(50_000, 1), (affine(1, 0), affine(weight, bias)))
    at = found.sel(site="1", port="input", step=1)
    expected = gaussian_wasserstein(bias, weight - 1)
    assert at.wasserstein_drift.item() == pytest.approx(expected, abs=0.02)
    assert at.mean_drift.item() == pytest.approx(abs(bias), abs=0.02)
    assert at.variance_drift.item() == pytest.approx(abs(weight**2 - 1), abs=0.05)
    levels = scipy.stats.norm.ppf([0.15, 0.5, 0.85]) * weight + bias
    np.testing.assert_allclose(at.unit_percentile.values[0], levels, atol=0.05)


def test_every_place_of_a_convnet_agrees_with_scipy():
    recipe = ConvNet(dims=2, depth=2, width=4, norm="batch", residual=True)
    first, second = recipe.build(0), recipe.build(1)
    x, outputs = draw(6, 1, 4, 4), {}
    found = seen(first, x, (first, second))
    for step, network in enumerate((first, second)):
        twin = copy.deepcopy(network)
        for name, module in twin.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                module.register_forward_hook(
                    lambda m, args, out, name=name, step=step: outputs.__setitem__(
                        (name, step), out.detach().clone().transpose(0, 1).flatten(1).numpy()
                    )
                )
        twin(x)
    for name in {name for name, _ in outputs}:
        at = found.sel(site=name, port="output")
        for unit in range(4):
            before, after = (outputs[name, step][unit].astype(float) for step in (0, 1))
            expected = scipy.stats.wasserstein_distance(before, after)
            assert at.unit_wasserstein[1, unit].item() == pytest.approx(expected, rel=1e-5)
            assert at.unit_mean[1, unit].item() == pytest.approx(after.mean(), abs=1e-6)
            assert at.unit_variance[1, unit].item() == pytest.approx(after.var(), rel=1e-5)
            quantiles = np.quantile(after, [0.15, 0.5, 0.85])
            np.testing.assert_allclose(at.unit_percentile[1, unit], quantiles, rtol=1e-5, atol=1e-6)


def test_what_computes_the_same_has_not_drifted_at_all():
    network = Perceptron(depth=3, width=8, inputs=5, norm="batch").build(0)
    found = seen(network, draw(20, 5), (network, network.state_dict(), None))
    for name in ("mean_drift", "variance_drift", "wasserstein_drift"):
        assert (found[name].fillna(0) == 0).all()
        assert not found[name].isnull().all()


def test_batch_norm_keeps_two_moments_at_every_step_and_the_plain_net_does_not():
    """H2-c: batch mean 0, variance var/(var+eps), whatever the weights."""
    x, moments = draw(64, 16), {}
    for norm in ("batch", "none"):
        recipe = Perceptron(depth=4, width=16, inputs=16, norm=norm, affine=norm == "none")
        network = recipe.build(0)
        optimiser, states = torch.optim.SGD(network.parameters(), lr=0.1), []
        for _ in range(5):
            states.append(copy.deepcopy(network.state_dict()))
            optimiser.zero_grad()
            network(x).square().sum(dim=1).mean().backward()
            optimiser.step()
        found = seen(network, x, states)
        moments[norm] = found.sel(site=found.kind == ("norm" if norm == "batch" else "activation"))
    norms = moments["batch"]
    before, after = norms.sel(port="input").unit_variance, norms.sel(port="output").unit_variance
    assert abs(norms.sel(port="output").unit_mean).max() < 1e-6
    np.testing.assert_allclose(after, before / (before + 1e-5), rtol=1e-5)
    assert norms.sel(port="output").mean_drift.max() < 1e-6
    assert moments["none"].sel(port="input").mean_drift.max() > 0.01


def test_batches_are_taken_together():
    first, second = affine(1, 0), affine(2, 1)
    x = draw(40, 1)
    whole = seen(first, x, (first, second))
    parts = seen(first, [(x[:11], None), (x[11:], None)], (first, second))
    for name in whole.data_vars:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-6, atol=1e-7)


def test_the_same_positions_in_every_state():
    network = ConvNet(dims=2, depth=1, width=3).build(0)
    found = seen(network, draw(4, 1, 16, 16), (None, None), positions=5)
    assert found.wasserstein_drift.max() == 0


def test_states_by_dict_and_by_network_agree_and_leave_no_trace():
    network = Perceptron(depth=2, width=6, inputs=4, norm="batch").build(0)
    other = Perceptron(depth=2, width=6, inputs=4, norm="batch").build(1)
    kept, random_state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    x = draw(9, 4)
    first = seen(network, x, (network, other))
    second = seen(network, x, (kept, other.state_dict()))
    assert first.equals(second)
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert network.training


def test_nan_is_reported():
    x = draw(8, 3)
    x[2, 1] = math.nan
    found = seen(nn.Sequential(nn.ReLU()), x, (None, None))
    assert np.isnan(found.unit_wasserstein.values[1, 0, 0]).tolist() == [False, True, False]
    assert np.isnan(found.wasserstein_drift.values[1, 0, 0])
    assert np.isnan(found.unit_percentile.values[0, 0, 0]).all(axis=1).tolist() == [0, 1, 0]


def test_what_makes_no_sense_is_refused():
    network, x = nn.Sequential(nn.Linear(2, 2), nn.ReLU()), draw(4, 2)
    with pytest.raises(ProbeError, match=r"before, after"):
        drift(network, x, states=(network,))
    with pytest.raises(ProbeError, match="same network"):
        drift(network, x, states=(network, {"0.weight": torch.zeros(2, 2)}))
    with pytest.raises(ProbeError, match="state_dict or as a network"):
        drift(network, x, states=(network, 3))
    with pytest.raises(ProbeError, match="same sites"):
        drift(network, x, states=(network, nn.Sequential(nn.Linear(2, 2), nn.Tanh())))
    with pytest.raises(ProbeError, match="positions"):
        drift(network, x, states=(None, None), positions=0)


def test_progress_is_told():
    told = []
    network = nn.Sequential(nn.ReLU())
    drift(network, draw(2, 2), states=(None, None), progress=lambda *done: told.append(done))
    assert told == [(1, 2), (2, 2)]
