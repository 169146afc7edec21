"""Smoothness against quadratic bowls, where every number is known on paper, and against its own laws."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skipnorm.errors import ProbeError
from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.probes.smoothness import smoothness
from skipnorm.studies.measure import labelled


def bowl(weight: list[float]) -> nn.Linear:
    network = nn.Linear(len(weight), 1, bias=False, dtype=torch.float64)
    network.weight.data.copy_(torch.tensor([weight]))
    return network


def diagonal(curvatures: list[float]) -> tuple[Tensor, Tensor]:
    """Inputs of a regression whose Hessian 2/N X'X has these eigenvalues, along the axes; minimum at zero."""
    count = len(curvatures)
    inputs = torch.tensor(
        [math.sqrt(c * count / 2) for c in curvatures], dtype=torch.float64
    ).diag()
    return inputs, torch.zeros(count, 1).double()


def test_along_an_eigenvector_beta_is_the_eigenvalue_for_every_length() -> None:
    network, batch = bowl([0.0, 2.0]), diagonal([1.0, 5.0])
    found = smoothness(network, batch, loss="mse", lengths=[0.01, 1.0, 100.0], lr=0.1).values
    np.testing.assert_allclose(found["smoothness"], [5.0] * 3, rtol=1e-12)
    np.testing.assert_allclose(found["effective_smoothness"], 5.0, rtol=1e-12)
    np.testing.assert_allclose(found["gradient_norm"], 10.0, rtol=1e-12)
    steps = 0.1 * np.array([0.01, 1.0, 100.0])
    np.testing.assert_allclose(found["gradient_change"], steps * 10 * 5, rtol=1e-12)
    np.testing.assert_allclose(
        found["loss_along_gradient"], 2.5 * (2 - 10 * steps) ** 2, rtol=1e-12
    )


def test_in_any_bowl_the_change_is_the_hessian_times_the_step() -> None:
    """||g(w) - g(w - s g)|| = s ||H g||, and the loss is L - s g'g + s^2/2 g'Hg."""
    torch.manual_seed(0)
    inputs, targets = torch.randn(20, 4).double(), torch.randn(20, 1).double()
    network = nn.Linear(4, 1, bias=False, dtype=torch.float64)
    hessian = 2 / 20 * inputs.T @ inputs
    gradient = 2 / 20 * inputs.T @ (inputs @ network.weight.detach().T - targets)
    lengths = np.array([0.5, 1.0, 2.0, 4.0])
    found = smoothness(network, (inputs, targets), loss="mse", lengths=lengths, lr=0.3).values
    curved = (hessian @ gradient).norm().item()
    norm = gradient.norm().item()
    np.testing.assert_allclose(found["gradient_change"], 0.3 * lengths * curved, rtol=1e-10)
    np.testing.assert_allclose(found["gradient_predictiveness"], 1.2 * curved, rtol=1e-10)
    np.testing.assert_allclose(found["effective_smoothness"], curved / norm, rtol=1e-10)
    start = F.mse_loss(network(inputs), targets).item()
    steps = 0.3 * lengths
    bend = (gradient.T @ hessian @ gradient).item()
    losses = start - steps * norm**2 + steps**2 / 2 * bend
    np.testing.assert_allclose(found["loss_along_gradient"], losses, rtol=1e-10)
    np.testing.assert_allclose(found["loss_range"], losses.max() - losses.min(), rtol=1e-10)
    np.testing.assert_allclose(found["loss_here"], start, rtol=1e-12)


def test_the_gradient_is_that_of_the_mean_over_batches() -> None:
    torch.manual_seed(0)
    network = nn.Linear(3, 1, dtype=torch.float64)
    inputs, targets = torch.randn(9, 3).double(), torch.randn(9, 1).double()
    whole = smoothness(network, (inputs, targets), loss="mse")
    parts = [(inputs[:2], targets[:2]), (inputs[2:], targets[2:])]
    split = smoothness(network, parts, loss="mse")
    for name, value in whole.values.items():
        np.testing.assert_allclose(split.values[name], value, rtol=1e-12, err_msg=name)
    assert split.settings["samples"] == "9 in 2 batches"


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_batch_norms_statistics_are_those_that_were_asked_for(statistics: Any) -> None:
    """By hand: autograd on a copy in the mode meant, statistics of the batch differentiated."""
    network = ConvNet(depth=3, width=6, norm="batch", dims=2).build(0, dtype=torch.float64)
    batch = torch.randn(6, 1, 6, 6).double(), torch.randint(0, 10, (6,))
    network.train()(batch[0])
    found = smoothness(network, batch, lr=0.05, lengths=[1.0], statistics=statistics)
    twin = copy.deepcopy(network).train(statistics == "batch")

    def gradient() -> list[Tensor]:
        return list(
            torch.autograd.grad(F.cross_entropy(twin(batch[0]), batch[1]), twin.parameters())
        )

    first = gradient()
    with torch.no_grad():
        for parameter, each in zip(twin.parameters(), first, strict=True):
            parameter -= 0.05 * each
    change = math.sqrt(sum((a - b).square().sum() for a, b in zip(first, gradient(), strict=True)))
    np.testing.assert_allclose(found.values["gradient_predictiveness"], change, rtol=1e-9)
    assert found.settings["statistics"] == statistics


def test_scale_invariant_weights_have_a_smaller_beta_the_larger_they_are() -> None:
    """BN(a W u) = BN(W u): with only W moving, L''/a^2, so beta at a step scaled to match falls by a^2."""
    torch.manual_seed(0)
    layers = [nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4, eps=1e-14), nn.Linear(4, 3)]
    network = nn.Sequential(*layers).double().train()
    batch = (torch.randn(16, 5).double(), torch.randint(0, 3, (16,)))
    other = copy.deepcopy(network)
    other[0].weight.data.mul_(10.0)
    ours = smoothness(network, batch, lr=0.1, where="0.weight").values
    theirs = smoothness(other, batch, lr=10.0, where="0.weight").values
    np.testing.assert_allclose(theirs["smoothness"] * 100, ours["smoothness"], rtol=1e-9)
    np.testing.assert_allclose(
        theirs["loss_along_gradient"], ours["loss_along_gradient"], rtol=1e-11
    )


def test_what_is_not_finite_stays() -> None:
    network, batch = bowl([1.0, 1.0]), diagonal([1.0, 5.0])
    found = smoothness(network, batch, loss="mse", lengths=[1.0, 1e200], lr=1.0)
    assert np.isfinite(found.values["loss_along_gradient"][0])
    assert np.isposinf(found.values["loss_along_gradient"][1])
    assert np.isposinf(found.values["loss_range"])
    assert "loss_along_gradient" in found.notes[0]
    network.weight.data.fill_(math.nan)
    found = smoothness(network, batch, loss="mse")
    assert all(np.isnan(value).all() for value in found.values.values())


def test_without_a_gradient_there_is_no_ratio() -> None:
    found = smoothness(bowl([0.0, 0.0]), diagonal([1.0, 5.0]), loss="mse")
    assert found.values["gradient_norm"] == 0
    assert np.isnan(found.values["effective_smoothness"])
    assert "effective_smoothness" in found.notes[0]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("statistics", ["as_is", "batch", "running", "recalibrated"])
def test_the_same_answer_twice_and_no_trace(training: bool, statistics: Any) -> None:
    network = nn.Sequential(
        nn.LeakyReLU(-1.0, inplace=True),
        ConvNet(depth=2, width=6, norm="batch", dims=2, residual=True).build(0),
        nn.Dropout(0.3),
    ).train(training)
    batch = torch.randn(6, 1, 6, 6), torch.randint(0, 10, (6,))
    kept = batch[0].clone()
    before = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    first, second = (smoothness(network, batch, statistics=statistics) for _ in range(2))
    for name, value in first.values.items():
        assert np.array_equal(value, second.values[name]), name
    after = network.state_dict()
    assert all(torch.equal(each, after[name]) for name, each in before[0].items())
    assert torch.equal(before[1], torch.get_rng_state())
    assert torch.equal(kept, batch[0])
    assert all(parameter.grad is None for parameter in network.parameters())
    assert network.training is training
    plain = nn.Sequential(nn.LeakyReLU(-1.0), *network[1:]).train(training)
    assert (
        smoothness(plain, batch, statistics=statistics).values["loss_here"]
        == first.values["loss_here"]
    )


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"lengths": []}, "positive lengths"),
        ({"lengths": [0.0, 1.0]}, "positive lengths"),
        ({"lengths": [1.0, math.inf]}, "positive lengths"),
        ({"lengths": [1.0, 1.0]}, "once"),
        ({"lr": 0.0}, "positive learning rate"),
        ({"lr": -1.0}, "positive learning rate"),
        ({"statistics": "frozen"}, "statistics"),
        ({"where": "nothing*"}, "no parameter"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_the_remedy(settings: Any, word: str) -> None:
    with pytest.raises(ProbeError, match=word):
        smoothness(bowl([1.0]), diagonal([1.0]), loss="mse", **settings)


def test_the_result_is_evidence() -> None:
    seen: list[tuple[int, int]] = []
    found = smoothness(bowl([1.0]), diagonal([2.0]), loss="mse", progress=lambda *x: seen.append(x))
    evidence = labelled(found)
    assert evidence["smoothness"].sizes == {"length": 4}
    assert evidence["effective_smoothness"].dims == ()
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


@pytest.mark.slow
def test_batch_norm_narrows_the_loss_range_of_a_deep_plain_perceptron() -> None:
    """H3-b and H3-c: range ratio plain over BN above 3, predictiveness above 2, after some training on digits."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    inputs = torch.tensor(pixels, dtype=torch.float32) / 8 - 1
    targets = torch.tensor(labels)
    found = {}
    for norm in ("none", "batch"):
        network = Perceptron(depth=10, width=64, norm=norm, inputs=64, outputs=10).build(0)
        optimiser = torch.optim.SGD(network.parameters(), lr=0.02)
        draw = torch.Generator().manual_seed(0)
        for _ in range(100):
            rows = torch.randint(0, len(inputs), (128,), generator=draw)
            optimiser.zero_grad()
            F.cross_entropy(network(inputs[rows]), targets[rows]).backward()
            optimiser.step()
        batch = (inputs[:512], targets[:512])
        found[norm] = smoothness(network, batch, lr=0.1, statistics="batch").values
    assert found["none"]["loss_range"] > 3 * found["batch"]["loss_range"]
    ratio = found["none"]["gradient_predictiveness"] / found["batch"]["gradient_predictiveness"]
    assert ratio > 2
