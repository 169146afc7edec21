"""What every probe owes: the same answer twice, no trace, honest NaN, refusals with a remedy."""

import copy
import random
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skipnorm.errors import ProbeError
from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.probes.curvature import curvature
from skipnorm.studies.measure import labelled


def network_and_batch(norm="batch", dtype=torch.float32):
    network = Perceptron(inputs=6, outputs=3, width=8, depth=2, norm=norm).build(0, dtype=dtype)
    return network, (torch.randn(16, 6, dtype=dtype), torch.randint(0, 3, (16,)))


def state_of(network):
    return (
        {name: value.clone() for name, value in network.state_dict().items()},
        [None if p.grad is None else p.grad.clone() for p in network.parameters()],
        [
            (m.training, type(m), len(m._forward_hooks), sorted(m.__dict__))
            for m in network.modules()
        ],
        [p.requires_grad for p in network.parameters()],
        (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()),  # noqa: NPY002
    )


def assert_same_state(found, expected):
    for name, value in expected[0].items():
        assert torch.equal(found[0][name], value), name
    assert all(a is b or torch.equal(a, b) for a, b in zip(found[1], expected[1], strict=True))
    assert found[2:4] == expected[2:4]
    assert torch.equal(found[4][0], expected[4][0])
    assert found[4][1:] == expected[4][1:]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["hessian", "ggn"])
def test_nothing_is_left_behind_and_the_answer_stays(training, kind):
    network, batch = network_and_batch()
    network.train(training)
    F.cross_entropy(network(batch[0]), batch[1]).backward()
    next(network.parameters()).requires_grad_(False)
    before = state_of(network)
    first = curvature(network, batch, kind=kind)
    assert_same_state(state_of(network), before)
    second = curvature(network, batch, kind=kind)
    for name, value in first.values.items():
        np.testing.assert_array_equal(np.asarray(value), np.asarray(second.values[name]))
    assert first.settings == second.settings


@pytest.mark.parametrize("per", ["network", "layer"])
def test_progress_grows_to_its_end(per):
    network, batch = network_and_batch()
    told = []
    curvature(network, batch, per=per, progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize("per", ["network", "layer", "parameter"])
@pytest.mark.parametrize("lengths", [(), (1e-3, 1e-2)])
def test_the_findings_are_evidence(per, lengths):
    network, batch = network_and_batch()
    found = curvature(network, batch, per=per, lengths=lengths, top=3)
    evidence = labelled(found)
    assert {quantity.name for quantity in found.quantities} == set(evidence.data_vars)
    assert evidence["top_eigenvalue"].sizes["eigenvalue"] == 3
    assert ("layer" in evidence.sizes) == (per != "network")
    for name in ("kind", "statistics", "attention", "kinks", "memory"):
        assert evidence.attrs[name]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_reported(value):
    network, batch = network_and_batch("none")
    batch[0][3, 2] = value
    found = curvature(network, batch, per="network")
    for name in (
        "top_eigenvalue",
        "trace",
        "density",
        "curvature_along",
        "finite_difference_curvature",
    ):
        assert np.isnan(np.asarray(found.values[name])).all(), name
    assert "not finite" in " ".join(found.notes)
    labelled(found)


def test_a_layer_whose_curvature_is_not_finite_leaves_the_others_alone():
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.safe, self.root = nn.Linear(3, 1), nn.Linear(1, 1, bias=False)
            nn.init.zeros_(self.root.weight)

        def forward(self, inputs):
            return self.safe(inputs) + self.root.weight.clamp(min=0).sqrt()

    inputs = torch.randn(8, 3)
    found = curvature(Root(), (inputs, torch.zeros(8, 1)), loss="mse", per="layer", top=1)
    by_layer = dict(
        zip(found.coords["layer"], found.values["top_eigenvalue"][:, 0].tolist(), strict=True)
    )
    assert np.isnan(by_layer["root"])
    features = torch.cat([inputs, torch.ones(8, 1)], 1)
    truth = float(torch.linalg.eigvalsh(2 / 8 * features.T @ features)[-1])
    assert by_layer["safe"] == pytest.approx(truth, rel=1e-4)


class Block(nn.Module):
    def __init__(self, inplace):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.norm, self.head = nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)
        self.inplace, self.act = inplace, nn.ReLU(inplace=inplace)
        self.double()

    def forward(self, inputs):
        hidden = self.norm(self.inner(inputs))
        if self.inplace:
            hidden += inputs
        else:
            hidden = hidden + inputs
        return self.head(self.act(hidden))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["hessian", "ggn"])
def test_in_place_is_the_same_as_out_of_place(training, kind):
    batch = (torch.randn(16, 6).double(), torch.randint(0, 3, (16,)))
    here, there = (
        curvature(Block(flag).train(training), batch, kind=kind) for flag in (True, False)
    )
    for name in ("top_eigenvalue", "trace", "density", "finite_difference_curvature"):
        np.testing.assert_allclose(here.values[name], there.values[name], rtol=1e-9, atol=1e-12)


def test_dropout_draws_one_mask_for_all_products():
    network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3)).train()
    found = curvature(network, (torch.randn(16, 6), torch.randint(0, 3, (16,))))
    assert float(found.values["top_residual"].max()) < 1e-3
    assert not found.notes


@pytest.mark.parametrize("vectors", [1, 4])
def test_several_vectors_at_once_are_the_same_as_one_by_one(vectors):
    # a tiny network is multiplied with several vectors in one sweep, unless memory forbids it
    network = ConvNet(dims=2, inputs=2, outputs=3, width=4, depth=2, norm="batch", residual=True)
    network = network.build(0, dtype=torch.float64)
    batch = (torch.randn(6, 2, 6, 6).double(), torch.randint(0, 3, (6,)))
    together = curvature(network, batch, vectors=vectors, most=60)
    assert "10 vectors at once" in together.settings["memory"]
    megabytes = float(together.settings["memory"].split()[1])
    alone = curvature(network, batch, vectors=vectors, most=60, memory_gib=0.6 * megabytes / 1024)
    assert "kept" in alone.settings["memory"]
    assert ", 1 vectors at once" in alone.settings["memory"]
    np.testing.assert_allclose(
        alone.values["top_eigenvalue"], together.values["top_eigenvalue"], rtol=1e-7
    )
    np.testing.assert_allclose(alone.values["trace"], together.values["trace"], rtol=1e-7)


class Square(torch.autograd.Function):
    """Can be differentiated twice, but only along one vector at a time."""

    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return values**2

    @staticmethod
    def backward(ctx, gradient):
        (values,) = ctx.saved_tensors
        return Slope.apply(values, gradient)


class Slope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, gradient):
        ctx.save_for_backward(values, gradient)
        return 2 * values * gradient

    @staticmethod
    def backward(ctx, gradient):
        values, first = ctx.saved_tensors
        if bool(
            gradient.isnan().any()
        ):  # looks at the values: nothing that several vectors at once allow
            raise ArithmeticError
        return 2 * first * gradient, 2 * values * gradient


class Squares(nn.Linear):
    def forward(self, inputs):
        return Square.apply(super().forward(inputs))


def test_a_function_without_batching_rule_falls_back_and_says_so():
    torch.manual_seed(0)
    network = Squares(5, 2).double()
    plain = nn.Linear(5, 2).double()
    plain.load_state_dict(network.state_dict())
    batch = (torch.randn(9, 5).double(), torch.randn(9, 2).double())
    found = curvature(network, batch, loss="mse")
    truth = curvature(plain, batch, loss=lambda z, y: F.mse_loss(z**2, y))
    np.testing.assert_allclose(
        found.values["top_eigenvalue"], truth.values["top_eigenvalue"], rtol=1e-8
    )
    assert any("one by one" in note for note in found.notes)


def test_a_network_that_cannot_be_differentiated_twice_is_refused():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values):
            return values * 2

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, gradient):
            return gradient * 2

    class Blocked(nn.Linear):
        def forward(self, inputs):
            return Once.apply(super().forward(inputs)) ** 2

    batch = (torch.randn(4, 3), torch.randn(4, 1))
    with pytest.raises(ProbeError, match="differentiated twice"):
        curvature(Blocked(3, 1), batch, loss="mse")


def test_a_penalty_on_weights_has_no_gauss_newton_matrix():
    _, batch = network_and_batch("none")

    class Penalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(6, 3)

        def forward(self, inputs, labels):
            logits = self.inner(inputs)
            value = F.cross_entropy(logits, labels) + self.inner.weight.square().sum()
            return {"loss": value, "logits": logits}

    with pytest.raises(ProbeError, match="through the outputs only"):
        curvature(Penalised(), {"inputs": batch[0], "labels": batch[1]}, kind="ggn")
    curvature(Penalised(), {"inputs": batch[0], "labels": batch[1]})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "hesian"}, "Did you mean 'hessian'"),
        ({"per": "layers"}, "Did you mean 'layer'"),
        ({"order": "large"}, "largest"),
        ({"statistics": "bach"}, "Did you mean 'batch'"),
        ({"where": "nothing.*"}, "no parameter"),
        ({"top": 0}, "top"),
        ({"top": 2.5}, "top"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"samples": 1}, "samples"),
        ({"vectors": 0}, "vectors"),
        ({"most": 10}, "Raise most="),
        ({"lengths": (0.0,)}, "lengths"),
        ({"lengths": (1e-3, 1e-3)}, "lengths"),
        ({"memory_gib": 0.0}, "memory_gib"),
        ({"memory_gib": 1e-6}, "Try"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_the_remedy(settings, words):
    network, batch = network_and_batch()
    with pytest.raises(ProbeError, match=words.replace("(", r"\(")):
        curvature(network, batch, **settings)


def test_too_few_products_are_said_to_be_too_few():
    network = Perceptron(depth=6).build(0)
    batch = (torch.randn(64, 64), torch.randint(0, 10, (64,)))
    found = curvature(network, batch, steps=2, vectors=1, most=6)
    assert "raise most=" in " ".join(found.notes)
    assert float(found.values["top_residual"].max()) > 1e-3


def test_no_warning_and_no_graph_is_left():
    network, batch = network_and_batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curvature(network, batch)
    assert all(p.grad_fn is None and p.grad is None for p in network.parameters())


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_it_works_inside_no_grad(context):
    network, batch = network_and_batch(dtype=torch.float64)
    twin = copy.deepcopy(network)
    with context():
        inside = curvature(twin, batch)
    np.testing.assert_allclose(
        inside.values["top_eigenvalue"], curvature(network, batch).values["top_eigenvalue"]
    )
