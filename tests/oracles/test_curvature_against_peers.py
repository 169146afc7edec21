"""Curvature against curvlinops, hessian-eigenthings and PyHessian, where they are importable and right (eval mode).

They are no dependencies: put them on the path, say by `pip install --target peers` and `PYTHONPATH=peers`.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.probes.curvature import curvature
from skipnorm.tasks import Digits

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

NETWORKS = {
    "perceptron": Perceptron(width=16, depth=3),
    "perceptron with batch norm": Perceptron(width=16, depth=3, norm="batch"),
    "residual convnet with batch norm": ConvNet(
        dims=2, width=6, depth=3, norm="batch", residual=True
    ),
}


def posed(name: str, dtype: torch.dtype = torch.float64):
    recipe = NETWORKS[name]
    inputs, targets = Digits(flat=isinstance(recipe, Perceptron)).batch(64, 0)
    network = recipe.build(0, dtype=dtype).train()
    with torch.no_grad():  # running statistics that are not the initial ones
        network(inputs.to(dtype))
    return network.eval(), (inputs.to(dtype), targets)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", ["hessian", "ggn"])
def test_eigenvalues_and_trace_of_curvlinops_matrices(name: str, kind: str):
    peer = pytest.importorskip("curvlinops")
    network, batch = posed(name)
    operator = {"hessian": peer.HessianLinearOperator, "ggn": peer.GGNLinearOperator}[kind]
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    matrix = operator(network, nn.CrossEntropyLoss(), parameters, [batch])
    size = sum(parameter.numel() for parameter in parameters)
    columns = [matrix @ block for block in torch.eye(size).double().split(64, dim=1)]
    dense = torch.cat([torch.as_tensor(column) for column in columns], dim=1)
    truth = torch.linalg.eigvalsh(dense).flip(0)
    found = curvature(network, batch, kind=kind, lengths=())
    assert found.values["top_eigenvalue"].tolist() == pytest.approx(truth[:5].tolist(), rel=1e-5)
    error = abs(found.values["trace"] - float(dense.trace()))
    assert error < 5 * found.values["trace_error"] + 1e-9


@pytest.mark.parametrize("name", NETWORKS)
def test_eigenvalues_trace_and_density_of_hessian_eigenthings(name: str):
    peer = pytest.importorskip("hessian_eigenthings")
    network, batch = posed(name)
    operator = peer.HessianOperator(
        copy.deepcopy(network), [batch], peer.supervised_loss(nn.functional.cross_entropy)
    )
    truth = peer.lanczos(
        operator, k=5, max_iter=80, tol=1e-8, reorthogonalize=True, which="LA", seed=0
    )
    found = curvature(network, batch, lengths=(), samples=100, vectors=10, steps=12)
    assert found.values["top_eigenvalue"].tolist() == pytest.approx(
        truth.eigenvalues.tolist(), rel=1e-5
    )
    theirs = peer.trace(operator, num_matvecs=300, method="hutchinson", seed=0)
    spread = np.hypot(theirs.stderr, found.values["trace_error"])
    assert abs(float(theirs.estimate) - found.values["trace"]) < 4 * spread
    # the first moment of their density is the mean eigenvalue, and so is that of ours
    wide = peer.spectral_density(operator, num_runs=10, lanczos_steps=12, seed=0)
    size = operator.size
    moment = float((wide.raw_weights * wide.raw_eigenvalues).sum() / 10)
    grid, height = found.values["density_grid"], found.values["density"]
    mine = float((grid * height).sum() * (grid[1] - grid[0]))
    assert mine * size == pytest.approx(
        moment * size, abs=4 * float(theirs.stderr) * np.sqrt(30 * 2)
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_the_largest_eigenvalues_of_pyhessian(name: str):
    peer = pytest.importorskip("pyhessian")
    network, batch = posed(name, torch.float32)
    theirs = peer.hessian(copy.deepcopy(network), nn.CrossEntropyLoss(), data=batch, cuda=False)
    values, _ = theirs.eigenvalues(maxIter=2000, tol=1e-7, top_n=3)
    found = curvature(network, batch, lengths=(), order="magnitude", top=3)
    # power iteration settles slowly: its own values are good to a few parts in a thousand
    assert found.values["top_eigenvalue"].tolist() == pytest.approx(values, rel=5e-3)


def test_pyhessian_measures_a_batch_norm_network_in_another_mode_than_it_is_in():
    peer = pytest.importorskip("pyhessian")
    network, batch = posed("residual convnet with batch norm", torch.float32)
    network.train()
    theirs = peer.hessian(copy.deepcopy(network), nn.CrossEntropyLoss(), data=batch, cuda=False)
    (value,), _ = theirs.eigenvalues(maxIter=1000, tol=1e-6, top_n=1)
    as_it_is = curvature(network, batch, lengths=(), top=1, order="magnitude")
    running = curvature(network, batch, lengths=(), top=1, order="magnitude", statistics="running")
    assert value == pytest.approx(float(running.values["top_eigenvalue"][0]), rel=5e-3)
    assert float(as_it_is.values["top_eigenvalue"][0]) != pytest.approx(value, rel=0.02)
