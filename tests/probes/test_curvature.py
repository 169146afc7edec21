"""Curvature against closed forms, finite differences and matrices built by plain double backward."""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skipnorm.networks.recipe import Perceptron
from skipnorm.probes.curvature import curvature, leading_directions


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(count, kinds=3, seed=0):
    return torch.randint(0, kinds, (count,), generator=torch.Generator().manual_seed(seed))


def dense_hessian(network, loss, names=None):
    """The truth: rows of the Hessian by one plain double backward each."""
    named = dict(network.named_parameters())
    parameters = [named[name] for name in names or named]
    gradient = torch.autograd.grad(loss(), parameters, create_graph=True, allow_unused=True)
    flat = torch.cat(
        [
            (torch.zeros_like(p) if g is None else g).reshape(-1)
            for g, p in zip(gradient, parameters, strict=True)
        ]
    )
    rows = []
    for entry in flat:
        row = (
            torch.autograd.grad(entry, parameters, retain_graph=True, allow_unused=True)
            if entry.requires_grad
            else [None] * len(parameters)
        )
        rows.append(
            torch.cat(
                [
                    (torch.zeros_like(p) if r is None else r).reshape(-1)
                    for r, p in zip(row, parameters, strict=True)
                ]
            )
        )
    return torch.stack(rows).detach()


def smooth(seed=0, norm="none"):
    recipe = Perceptron(inputs=5, outputs=3, width=6, depth=2, activation="tanh", norm=norm)
    return recipe.build(seed, dtype=torch.float64)


def assert_top(findings, matrix, top=5, rel=1e-6):
    truth = torch.linalg.eigvalsh(matrix).flip(0)[:top].tolist()
    assert findings.values["top_eigenvalue"].tolist() == pytest.approx(truth, rel=rel)
    assert float(findings.values["top_residual"].max()) <= 1e-3


# Closed forms -------------------------------------------------------------------------------------


def test_linear_regression():
    inputs, targets = gaussian(40, 8), gaussian(40, 1, seed=1)
    network = nn.Linear(8, 1, bias=False).double()
    found = curvature(network, (inputs, targets), loss="mse")
    matrix = 2 / 40 * inputs.T @ inputs
    assert_top(found, matrix)
    assert found.values["trace"] == pytest.approx(float(matrix.trace()), rel=1e-10)
    assert found.values["trace_error"] == 0
    assert found.values["lowest_eigenvalue"] == pytest.approx(
        float(torch.linalg.eigvalsh(matrix)[0])
    )


@pytest.mark.parametrize("kind", ["hessian", "ggn"])
def test_logistic_regression(kind):
    inputs, targets = gaussian(60, 7), classes(60, 2).double()[:, None]
    network = nn.Linear(7, 1, bias=False).double()

    def loss(outputs, wanted):
        return F.binary_cross_entropy_with_logits(outputs, wanted)

    found = curvature(network, (inputs, targets), loss=loss, kind=kind)
    chance = torch.sigmoid(network(inputs)).detach()
    matrix = inputs.T @ (chance * (1 - chance) * inputs) / 60
    assert_top(found, matrix)
    assert found.values["trace"] == pytest.approx(float(matrix.trace()), rel=1e-9)


def test_softmax_regression_is_its_own_gauss_newton_matrix():
    inputs, targets = gaussian(30, 4), classes(30)
    network = nn.Linear(4, 3, bias=False).double()
    shares = torch.softmax(network(inputs), 1).detach()
    middle = torch.diag_embed(shares) - shares[:, :, None] * shares[:, None, :]
    matrix = torch.einsum("nij,na,nb->iajb", middle, inputs, inputs).reshape(12, 12) / 30
    for kind in ("hessian", "ggn"):
        assert_top(curvature(network, (inputs, targets), kind=kind), matrix)


def test_a_deep_linear_network():
    # L = mean (x B A - y)^2 with scalars: d2L/dA2 = 2 B^2 E x^2, d2L/dB2 = 2 A^2 E x^2, d2L/dAdB = 2 E x (2 A B x - y)
    inputs, targets = gaussian(50, 1), gaussian(50, 1, seed=1)
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).double()
    first, second = (float(layer.weight.detach()) for layer in network)
    square = float((inputs**2).mean())
    mixed = float(2 * (2 * first * second * inputs**2 - inputs * targets).mean())
    matrix = torch.tensor([[2 * second**2 * square, mixed], [mixed, 2 * first**2 * square]])
    found = curvature(network, (inputs, targets), loss="mse", top=2)
    truth = torch.linalg.eigvalsh(matrix.double())
    assert found.values["top_eigenvalue"].tolist() == pytest.approx(truth.flip(0).tolist())
    # of a linear network the Gauss-Newton matrix leaves out what the layers do to each other
    through = torch.tensor([second, first]).double() * math.sqrt(2 * square)
    ggn = curvature(network, (inputs, targets), loss="mse", top=1, kind="ggn")
    assert float(ggn.values["top_eigenvalue"][0]) == pytest.approx(float(through @ through))


class Bowl(nn.Module):
    """w' A w / 2 with a known A; the input only says that there is one sample."""

    def __init__(self, values, dtype=torch.float64):
        super().__init__()
        turn = torch.linalg.qr(gaussian(len(values), len(values)))[0]
        matrix = (turn * torch.as_tensor(values, dtype=torch.float64)) @ turn.T
        self.register_buffer("matrix", matrix.to(dtype))
        self.weight = nn.Parameter(gaussian(len(values), seed=3).to(dtype))

    def forward(self, inputs):
        return self.weight @ self.matrix @ self.weight / 2 + 0 * inputs.sum()


def of_output(outputs, targets):
    return outputs


BULK = np.concatenate([np.linspace(-1, 1, 595), [5.0, 6, 7, 8, 20]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("vectors", [1, 2, 4])
def test_a_bowl_of_known_spectrum(vectors, dtype):
    batch = torch.zeros(1, 1, dtype=dtype)
    found = curvature(Bowl(BULK, dtype), batch, loss=of_output, vectors=vectors)
    values = found.values
    assert values["top_eigenvalue"].tolist() == pytest.approx([20, 8, 7, 6, 5], rel=1e-5)
    assert float(values["top_residual"].max()) < 1e-3
    assert values["outlier_ratio"].tolist() == pytest.approx([1, 2.5, 20 / 7, 20 / 6, 4], rel=1e-5)
    assert abs(values["trace"] - 46) < 4 * values["trace_error"] + 1e-3
    assert 0 < values["trace_error"] < 10  # Hutchinson alone, 8 vectors: sqrt(2/8 * ||A||_F^2) = 14
    assert values["products"] < 120
    grid, density = values["density_grid"], values["density"]
    assert float(density.sum() * (grid[1] - grid[0])) == pytest.approx(1, abs=1e-6)
    assert float(torch.trapezoid(density, grid)) == pytest.approx(1, abs=1e-6)
    assert not found.notes


def test_the_largest_in_magnitude():
    found = curvature(
        Bowl(-BULK), torch.zeros(1, 1).double(), loss=of_output, order="magnitude", top=3
    )
    assert found.values["top_eigenvalue"].tolist() == pytest.approx([-20, -8, -7], rel=1e-5)
    assert found.values["lowest_eigenvalue"] == pytest.approx(-20, rel=1e-5)


def test_the_standard_error_of_the_trace_is_one():
    network, batch = Bowl(np.linspace(0, 1, 200) ** 2), torch.zeros(1, 1).double()
    truth = float((np.linspace(0, 1, 200) ** 2).sum())
    scores = []
    for seed in range(60):
        found = curvature(
            network, batch, loss=of_output, seed=seed, top=1, steps=4, most=8, lengths=()
        )
        scores.append((found.values["trace"] - truth) / found.values["trace_error"])
    # Student's t with 7 degrees of freedom: standard deviation sqrt(7/5) = 1.18
    assert abs(np.mean(scores)) < 3 * 1.18 / math.sqrt(60)
    assert 0.8 < np.std(scores) < 1.7


# Against plain double backward --------------------------------------------------------------------


def test_a_smooth_network_by_plain_double_backward():
    network, batch = smooth(), (gaussian(20, 5), classes(20))
    matrix = dense_hessian(network, lambda: F.cross_entropy(network(batch[0]), batch[1]))
    found = curvature(network, batch, top=7)
    assert_top(found, matrix, top=7)
    gradient = torch.autograd.grad(
        F.cross_entropy(network(batch[0]), batch[1]), list(network.parameters())
    )
    flat = torch.cat([part.reshape(-1) for part in gradient])
    assert found.values["gradient_norm"] == pytest.approx(float(flat.norm()))
    along = float(flat @ matrix @ flat / flat.square().sum())
    assert float(found.values["curvature_along"][0]) == pytest.approx(along, rel=1e-9)
    assert found.values["parameters"] == len(flat)


def test_the_gauss_newton_matrix_by_its_definition():
    network, (inputs, targets) = smooth(), (gaussian(20, 5), classes(20))
    names, values = zip(*network.named_parameters(), strict=True)

    def outputs(*parameters):
        named = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(network, named, (inputs,))

    jacobian = torch.autograd.functional.jacobian(outputs, values)
    flat = torch.cat([part.reshape(60, -1) for part in jacobian], dim=1)
    middle = torch.autograd.functional.hessian(
        lambda z: F.cross_entropy(z, targets), network(inputs).detach()
    ).reshape(60, 60)
    assert_top(curvature(network, (inputs, targets), kind="ggn"), flat.T @ middle @ flat)


@pytest.mark.parametrize("per", ["layer", "parameter"])
def test_each_layer_is_a_diagonal_block(per):
    network, batch = smooth(), (gaussian(20, 5), classes(20))
    found = curvature(network, batch, per=per, top=2, steps=100)  # to the end: the trace is exact
    layers = found.coords["layer"]
    for row, layer in enumerate(layers):
        names = [n for n, _ in network.named_parameters() if layer in (n, n.rpartition(".")[0])]
        matrix = dense_hessian(
            network, lambda: F.cross_entropy(network(batch[0]), batch[1]), names=names
        )
        truth = torch.linalg.eigvalsh(matrix).flip(0)[:2].tolist()
        assert found.values["top_eigenvalue"][row].tolist() == pytest.approx(truth, rel=1e-6)
        assert float(found.values["trace"][row]) == pytest.approx(float(matrix.trace()), rel=1e-6)
    expected = {"layer": 4, "parameter": 8}[per]
    assert len(layers) == expected


def test_where_leaves_the_rest_constant():
    network, batch = smooth(), (gaussian(20, 5), classes(20))
    names = [n for n, _ in network.named_parameters() if n.endswith("weight")]
    matrix = dense_hessian(network, lambda: F.cross_entropy(network(batch[0]), batch[1]), names)
    found = curvature(network, batch, where="*weight")
    assert_top(found, matrix)
    assert found.values["parameters"] == len(matrix)


def test_micro_batches_of_unequal_size_are_the_whole_batch():
    network, (inputs, targets) = smooth(), (gaussian(20, 5), classes(20))
    whole = curvature(network, (inputs, targets))
    parts = [(inputs[:13], targets[:13]), (inputs[13:], targets[13:])]
    for kind in ("hessian", "ggn"):
        whole = curvature(network, (inputs, targets), kind=kind)
        cut = curvature(network, parts, kind=kind)
        for name in ("top_eigenvalue", "trace", "curvature_along", "finite_difference_curvature"):
            np.testing.assert_allclose(cut.values[name], whole.values[name], rtol=1e-7)


# Kinks --------------------------------------------------------------------------------------------


def test_finite_differences_are_the_hessian_of_a_smooth_network():
    found = curvature(smooth(), (gaussian(20, 5), classes(20)), top=3, lengths=(1e-5, 1e-4))
    along = found.values["curvature_along"].numpy()
    errors = np.abs(found.values["finite_difference_curvature"].numpy() - along[:, None])
    assert errors[:, 0].max() < 1e-7
    # the error of a central difference falls with the square of the step
    assert errors[1, 1] / errors[1, 0] == pytest.approx(100, rel=0.05)


def test_finite_differences_count_the_kinks_that_the_hessian_misses():
    # L = sum |w|: no second derivative anywhere; over [w - h, w + h] with h > w the slope jumps from -1 to 1
    class Kink(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([0.5], dtype=torch.float64))

        def forward(self, inputs):
            return torch.relu(self.weight).sum() + torch.relu(-self.weight).sum() + 0 * inputs.sum()

    found = curvature(Kink(), torch.zeros(1, 1).double(), loss=of_output, top=1, lengths=(0.5, 2.0))
    assert found.values["curvature_along"].tolist() == [0, 0]
    # steps of .25 and 1: nothing, and 2 / (2 * 1)
    assert found.values["finite_difference_step"].tolist() == pytest.approx([0.25, 1.0])
    assert found.values["finite_difference_curvature"].tolist() == [[0, 1], [0, 1]]
    assert "relu" in found.settings["kinks"]


def test_the_kinks_of_a_relu_network_are_where_the_loss_says():
    network = Perceptron(inputs=5, outputs=3, width=8, depth=3).build(0, dtype=torch.float64)
    inputs, targets = gaussian(200, 5), classes(200)
    found = curvature(network, (inputs, targets), top=2, lengths=(0.05,))
    _, directions = leading_directions(network, (inputs, targets), 2)
    names = list(directions[0])
    own = {name: value.detach() for name, value in network.named_parameters()}
    step = float(found.values["finite_difference_step"][0])
    norm = math.sqrt(sum(float(value.square().sum()) for value in own.values()))
    assert step == pytest.approx(0.05 * norm)
    for row, direction in enumerate(directions):
        # a second route: d/dh of the loss along the line, by a quotient of four losses
        @functools.cache
        def loss(at, direction=direction):
            moved = {name: own[name] + at * direction[name] for name in names}
            outputs = torch.func.functional_call(network, moved, (inputs,))
            return float(F.cross_entropy(outputs, targets))

        tiny = 1e-6
        slopes = [(loss(at + tiny) - loss(at - tiny)) / (2 * tiny) for at in (step, -step)]
        truth = (slopes[0] - slopes[1]) / (2 * step)
        assert float(found.values["finite_difference_curvature"][1 + row, 0]) == pytest.approx(
            truth, rel=1e-4
        )


def test_leading_directions_are_eigenvectors():
    network, batch = smooth(), (gaussian(20, 5), classes(20))
    matrix = dense_hessian(network, lambda: F.cross_entropy(network(batch[0]), batch[1]))
    values, directions = leading_directions(network, batch, 3, tolerance=1e-6)
    flat = torch.stack([torch.cat([d.reshape(-1) for d in each.values()]) for each in directions])
    torch.testing.assert_close(flat @ flat.T, torch.eye(3).double(), rtol=0, atol=1e-9)
    torch.testing.assert_close(flat @ matrix, values[:, None] * flat, rtol=0, atol=1e-5)
    assert [list(each) for each in directions] == [[n for n, _ in network.named_parameters()]] * 3
