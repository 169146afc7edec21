"""Singular values of Jacobians against products of matrices, closed forms and torch.func."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import jacrev

from skipnorm.errors import ProbeError
from skipnorm.formulas import theory
from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.probes.jacobian import jacobian
from skipnorm.studies.measure import labelled


def value(findings, name):
    return findings.values[f"jacobian_{name}"]


def deep_linear(depth, width, seed=0):
    recipe = Perceptron(
        stem=False, head=False, width=width, depth=depth, activation="identity",
        initializer="lecun", bias=False,
    )  # fmt: skip
    return recipe.build(seed, dtype=torch.float64)


def product(network):
    found = None
    for parameter in network.parameters():
        found = parameter.detach() if found is None else parameter.detach() @ found
    return found.numpy()


@pytest.mark.parametrize("method", ["exact", "lanczos"])
def test_a_deep_linear_network_is_the_product_of_its_matrices(method):
    network = deep_linear(4, 20)
    expected = np.linalg.svd(product(network), compute_uv=False)
    found = jacobian(network, torch.randn(3, 20).double(), method=method, draws=4000)
    assert found.coords["sample"] == ["0", "1", "2"]
    np.testing.assert_allclose(value(found, "largest"), [[expected[0]] * 3], rtol=1e-9)
    np.testing.assert_allclose(value(found, "smallest"), [[expected[-1]] * 3], rtol=1e-6)
    error = 4 * value(found, "mean_square_error") + 1e-9
    assert bool(((value(found, "mean_square") - (expected**2).mean()).abs() < error).all())
    if method == "exact":
        np.testing.assert_allclose(value(found, "median")[0], np.median(expected), rtol=1e-9)
        logs = np.log(expected).var()
        np.testing.assert_allclose(value(found, "log_variance")[0], logs, rtol=1e-9)
        np.testing.assert_allclose(
            value(found, "condition")[0], expected[0] / expected[-1], rtol=1e-9
        )


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_most_stretched_direction_lies_at_the_fuss_catalan_edge(depth):
    found = jacobian(deep_linear(depth, 400, depth), torch.randn(1, 400).double(), method="lanczos")
    expected = theory.fuss_catalan_edge(depth)
    assert float(value(found, "largest")) ** 2 == pytest.approx(expected, rel=0.06)
    assert float(value(found, "mean_square")) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("shape", [(12, 3), (3, 3, 4)])
def test_batch_norm_has_gamma_over_sigma_and_two_zeros_a_channel(shape):
    """Truth: the backward pass of Ioffe & Szegedy, eps 0: a projection off 1 and off yhat, times gamma / sigma."""
    channels = shape[1]
    kind = nn.BatchNorm1d
    norm = kind(channels, eps=1e-30).double()  # torch takes no 0
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, -2.0]))
    x = torch.randn(shape).double()
    members = x.numel() // channels
    found = jacobian(norm, x, statistics="batch")
    assert found.coords["sample"] == ["batch"]
    axes = [axis for axis in range(x.dim()) if axis != 1]
    gains = norm.weight.detach().abs() / x.var(axes, correction=0).sqrt()
    expected = torch.cat([gains.repeat(members - 2), torch.zeros(2 * channels).double()])
    values = value(found, "singular_value")[0, 0]
    torch.testing.assert_close(values, expected.sort(descending=True)[0], rtol=1e-10, atol=1e-10)
    assert float(value(found, "rank")) == channels * (members - 2)
    assert float(value(found, "condition")) == float("inf")


def test_batch_norm_with_detached_or_running_statistics_is_a_scaling():
    norm = nn.BatchNorm1d(3, eps=0.0).double()
    x = torch.randn(6, 3).double()
    found = jacobian(norm, x, statistics="detached")
    gains = (1 / x.var(0, correction=0).sqrt()).sort(descending=True)[0]
    torch.testing.assert_close(value(found, "singular_value")[0], gains.expand(6, 3))
    found = jacobian(norm, x, statistics="running")
    torch.testing.assert_close(
        value(found, "singular_value")[0], torch.ones(6, 3).double(), rtol=1e-6, atol=0
    )


class LooksLinear(nn.Module):
    """Concatenated ReLU with weights [W, -W]: relu(x) - relu(-x) = x, so the network is a product of rotations."""

    def __init__(self, width, depth):
        super().__init__()
        halves = [torch.linalg.qr(torch.randn(width, width).double())[0] for _ in range(depth)]
        self.layers = nn.ParameterList([torch.cat([half, -half], dim=1) for half in halves])

    def forward(self, x):
        for weight in self.layers:
            x = torch.cat([x.relu(), (-x).relu()], dim=1) @ weight.T
        return x


@pytest.mark.parametrize("method", ["exact", "lanczos"])
def test_an_orthogonal_looks_linear_network_is_an_isometry(method):
    found = jacobian(LooksLinear(16, 20), torch.randn(2, 16).double(), method=method)
    for name in ("largest", "smallest", "condition"):
        np.testing.assert_allclose(value(found, name), 1.0, rtol=1e-10)
    if method == "exact":
        assert float(value(found, "log_variance").max()) < 1e-20


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(5, 6).double(), nn.Linear(6, 6).double()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.a(x)
        z = self.b(self.act(y))
        z += y
        return 2 * self.act(z)


def twin(network):
    y = lambda x: network.a(x)  # noqa: E731
    return {
        ("input", "output"): lambda x: 2 * (network.b(y(x).relu()) + y(x).relu()).relu(),
        ("input", "a"): y,
        ("input", "act:input"): y,
        ("input", "b"): lambda x: network.b(y(x).relu()),
        ("input", "add:output"): lambda x: network.b(y(x).relu()) + y(x).relu(),
    }


@pytest.mark.parametrize("between", list(twin(InPlace())))
def test_places_are_caught_before_anything_overwrites_them(between):
    network, x = InPlace(), torch.randn(4, 5).double()
    found = jacobian(network, x, between=between)
    for sample in range(4):
        expected = torch.linalg.svdvals(jacrev(twin(network)[between])(x[sample]))
        torch.testing.assert_close(value(found, "singular_value")[0, sample], expected)


def test_from_a_place_within_to_the_output():
    network, x = InPlace(), torch.randn(4, 5).double()
    found = jacobian(network, x, between=("a:output", "output"))
    for sample in range(4):
        y = network.a(x[sample]).detach()
        expected = torch.linalg.svdvals(
            jacrev(lambda y: 2 * (network.b(y.relu()) + y.relu()).relu())(y)
        )
        torch.testing.assert_close(value(found, "singular_value")[0, sample], expected)


def test_every_block_by_itself_as_by_torch_func():
    network = Perceptron(depth=3, width=8, residual=True, norm="layer").build(
        0, dtype=torch.float64
    )
    x, stream = torch.randn(2, 64).double(), []
    hooks = [
        block.register_forward_pre_hook(lambda module, args: stream.append(args[0].detach()))
        for block in network.blocks
    ]
    network(x)
    for hook in hooks:
        hook.remove()
    found = jacobian(network, x, modules="blocks.?")
    assert found.coords["block"] == ["blocks.0", "blocks.1", "blocks.2"]
    for index, block in enumerate(network.blocks):
        for sample in range(2):
            expected = torch.linalg.svdvals(jacrev(block)(stream[index][sample]))
            torch.testing.assert_close(value(found, "singular_value")[index, sample], expected)


def test_blocks_with_batch_statistics_are_maps_of_the_batch():
    network = ConvNet(depth=2, width=2, residual=True, norm="batch").build(0, dtype=torch.float64)
    found = jacobian(network, torch.randn(3, 1, 5).double(), modules="blocks.*.norm*")
    assert found.coords["sample"] == ["batch"]
    assert dict(labelled(found).sizes) == {"block": 2, "sample": 1, "direction": 30}
    mixed = jacobian(network, torch.randn(3, 1, 5).double(), modules="blocks.0.*")
    assert mixed.coords["sample"] == ["0", "1", "2", "batch"]
    assert bool(value(mixed, "largest").isnan().any())  # each block has the one or the other


def test_exact_and_lanczos_agree_on_a_convolution_of_more_inputs_than_outputs():
    network = ConvNet(depth=2, width=4, dims=2, norm="group", groups=2).build(
        0, dtype=torch.float64
    )
    x = torch.randn(3, 1, 8, 8).double()
    exact, lanczos = (jacobian(network, x, method=m, count=10) for m in ("exact", "lanczos"))
    for name in ("largest", "smallest", "singular_value"):
        torch.testing.assert_close(value(exact, name), value(lanczos, name), rtol=1e-7, atol=1e-12)


def test_nan_is_reported_for_its_sample_alone():
    x = torch.randn(3, 5).double()
    x[1] = torch.nan
    network = nn.Sequential(nn.Linear(5, 4).double(), nn.Sigmoid())
    found = jacobian(network, x)
    assert value(found, "largest")[0].isnan().tolist() == [False, True, False]
    assert found.notes


class Fragile(InPlace):
    def forward(self, x):
        super().forward(x)
        raise RuntimeError("midway")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", [InPlace, Fragile])
def test_leaves_no_trace_and_says_the_same_twice(kind, training):
    network = nn.Sequential(kind(), nn.BatchNorm1d(6).double(), nn.Dropout(0.5)).train(training)
    x = torch.randn(4, 5).double()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    before, random, classes = x.clone(), torch.get_rng_state(), [type(m) for m in network.modules()]
    answers = []
    for _ in range(2):
        try:
            answers.append(jacobian(network, x, between=("0:output", "output")))
        except Exception as error:
            answers.append(error)
    if kind is InPlace:
        one, two = answers
        for name, tensor in one.values.items():
            torch.testing.assert_close(tensor, two.values[name], rtol=0, atol=0, equal_nan=True)
    assert torch.equal(before, x)
    assert torch.equal(random, torch.get_rng_state())
    assert classes == [type(module) for module in network.modules()]
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in state.items())
    assert all(p.grad is None for p in network.parameters())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in network.modules())
    assert network.training is training


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"between": ("imput", "output")}, "expected one of"),
        ({"between": ("a:outptu", "output")}, "Did you mean 'output'"),
        ({"between": ("input",)}, "two places"),
        ({"modules": "z*"}, "no module"),
        ({"method": "lanzcos"}, "Did you mean 'lanczos'"),
        ({"statistics": "detatched"}, "Did you mean 'detached'"),
        ({"samples": 0}, "at least 1"),
    ],
)
def test_settings_without_sense_are_refused_with_the_remedy(settings, message):
    with pytest.raises(ProbeError, match=message):
        jacobian(InPlace(), torch.randn(2, 5).double(), **settings)


def test_integers_as_inputs_are_refused_with_the_remedy():
    network = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2))
    with pytest.raises(ProbeError, match="behind the embedding"):
        jacobian(network, torch.zeros(2, 4, dtype=torch.long))
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    found = jacobian(network, torch.zeros(2, 4, dtype=torch.long), between=("0", "1"))
    assert value(found, "rank").tolist() == [[8.0, 8.0]]
