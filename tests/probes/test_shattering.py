"""Pairs of gradients, layer by layer, against a plain loop over samples; and the laws of a probe."""

import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skipnorm.errors import ProbeError
from skipnorm.formulas.rank import effective_rank
from skipnorm.formulas.similarity import sample_correlation
from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.probes.shattering import gradient_correlation
from skipnorm.studies.measure import labelled

SAMPLES = 6


def by_loop(network, inputs, targets, loss):
    """Each sample alone, `.grad` of every parameter in one row: what the layer-wise way must equal."""
    rows = []
    for sample in range(SAMPLES):
        network.zero_grad()
        loss(network(inputs[sample : sample + 1]), targets[sample : sample + 1]).backward()
        rows.append(
            torch.cat([
                (torch.zeros_like(p) if p.grad is None else p.grad).flatten()
                for p in network.parameters()
            ])
        )  # fmt: skip
    network.zero_grad(set_to_none=True)
    return torch.stack(rows)


def matches(findings, gradients, scale=1.0):
    values = {name: value[0] for name, value in findings.values.items()}
    torch.testing.assert_close(values["gradient_norm"], scale * gradients.norm(dim=1))
    torch.testing.assert_close(values["gradient_correlation"], sample_correlation(gradients))
    units = gradients / gradients.norm(dim=1, keepdim=True)
    torch.testing.assert_close(values["gradient_effective_rank"], effective_rank(units @ units.T))
    eigenvalues = torch.linalg.svdvals(units) ** 2
    torch.testing.assert_close(
        values["gradient_correlation_eigenvalue"][: len(eigenvalues)], eigenvalues
    )
    assert float(values["gradient_absent"]) == 0


class Shapes(nn.Module):
    """Every kind of use: grouped, strided, dilated, depthwise, 1-D and 3-D, shared, broadcast, in place."""

    def __init__(self):
        super().__init__()
        self.plain = nn.Conv2d(2, 4, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)
        self.same = nn.Conv2d(6, 6, 3, padding="same", padding_mode="circular")
        self.norm = nn.GroupNorm(3, 6)
        self.instance = nn.InstanceNorm2d(6, affine=True)
        self.line = nn.Conv1d(6, 6, 3, padding=1)
        self.cube = nn.Conv3d(1, 2, 3, padding=1)
        self.layer = nn.LayerNorm((6, 16))
        self.rms = nn.RMSNorm(16)
        self.gain = nn.Parameter(torch.randn(6, 1))
        self.shift = nn.Parameter(torch.randn(1, 6, 16))
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.shared = nn.Linear(16, 16)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(2 * 7 * 16, 3)

    def forward(self, x):
        x = self.act(self.plain(x))
        x = self.act(self.grouped(x))
        x = x + self.instance(self.norm(self.same(self.depthwise(x))))
        x = self.line(x.flatten(2)) * self.gain + self.shift
        x = self.rms(self.layer(x))
        x = self.shared(self.act(self.shared(x)))
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        return self.head(self.cube(x[:, None, None]).flatten(1))


def shapes():
    return Shapes().double(), torch.randn(SAMPLES, 2, 8, 8).double()


@pytest.mark.parametrize("method", ["auto", "vmap", "loop"])
def test_every_kind_of_use_as_by_a_plain_loop(method):
    network, x = shapes()
    y = torch.randint(0, 3, (SAMPLES,))
    found = gradient_correlation(network, (x, y), method=method)
    if (
        method == "auto"
    ):  # what F.linear returns is a view, and writing into it hides where it came from
        assert found.settings["one by one"] == "shared.weight, shared.bias by vmap(grad)"
    matches(found, by_loop(network, x, y, F.cross_entropy), scale=1 / SAMPLES)


@pytest.mark.parametrize(
    "recipe",
    [
        Perceptron(inputs=5, depth=3, width=9, norm="layer"),
        Perceptron(inputs=5, depth=3, width=9, residual=True, norm="rms", initializer="skipinit"),
        Perceptron(inputs=5, depth=2, width=9, residual=True, initializer="fixup"),
        ConvNet(inputs=5, depth=3, width=8, norm="group", residual=True),
        ConvNet(inputs=5, depth=2, width=8, norm="instance"),
        ConvNet(inputs=5, depth=2, width=8, residual=True, initializer="nf"),
    ],
    ids=str,
)
def test_canonical_networks_as_by_a_plain_loop(recipe):
    network = recipe.build(0, dtype=torch.float64)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    shape = (5, 7) if isinstance(recipe, ConvNet) else (5,)
    x = torch.randn(SAMPLES, *shape).double()
    y = torch.randint(0, 10, (SAMPLES,))
    found = gradient_correlation(network, (x, y))
    matches(found, by_loop(network, x, y, F.cross_entropy), scale=1 / SAMPLES)


def test_long_sequences_and_wide_vocabularies_take_the_other_way():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(40, 4, padding_idx=0)
            self.mix = nn.Linear(4, 4)

        def forward(self, tokens):
            return self.mix(self.table(tokens)).relu() @ self.table.weight.T

    network = Model().double()
    for length in (2, 60):
        tokens = torch.randint(0, 40, (SAMPLES, length))
        target = torch.randn(SAMPLES, length, 40).double()
        found = gradient_correlation(network, (tokens, target), loss="inner_product")
        expected = by_loop(network, tokens, target, lambda out, t: (out * t).sum())
        matches(found, expected)


@pytest.mark.parametrize("method", ["auto", "vmap", "loop"])
def test_detached_batch_norm_is_a_network_with_those_statistics_as_constants(method):
    """Truth: the same network in eval mode whose running statistics are those of the batch, biased."""
    recipe = ConvNet(inputs=2, depth=2, width=4, residual=True, norm="batch")
    network = recipe.build(0, dtype=torch.float64).train()
    x, y = torch.randn(SAMPLES, 2, 5).double(), torch.randint(0, 10, (SAMPLES,))
    frozen = copy.deepcopy(network).eval()
    norms = [m for m in frozen.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

    def keep(module, args):
        axes = [axis for axis in range(args[0].dim()) if axis != 1]
        module.running_mean.copy_(args[0].mean(axes))
        module.running_var.copy_(args[0].var(axes, correction=0))

    hooks = [norm.register_forward_pre_hook(keep) for norm in norms]
    with torch.no_grad():
        frozen(x)
    for hook in hooks:
        hook.remove()
    found = gradient_correlation(network, (x, y), statistics="detached", method=method)
    matches(found, by_loop(frozen, x, y, F.cross_entropy), scale=1 / SAMPLES)
    running = gradient_correlation(frozen.train(), (x, y), statistics="running")
    torch.testing.assert_close(
        found.values["gradient_correlation"], running.values["gradient_correlation"]
    )


class HandMade(nn.Module):
    def __init__(self, detached):
        super().__init__()
        self.layer, self.detached = nn.Linear(4, 4), detached

    def forward(self, x):
        x = self.layer(x)
        mean = x.mean(0)
        return x - (mean.detach() if self.detached else mean)


@pytest.mark.parametrize("wrt", ["parameters", "input"])
def test_batch_statistics_are_refused_with_the_remedy(wrt):
    x, y = torch.randn(SAMPLES, 4), torch.randint(0, 4, (SAMPLES,))
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    with pytest.raises(ProbeError, match="statistics='detached'"):
        gradient_correlation(network, (x, y), wrt=wrt)
    assert gradient_correlation(network, (x, y), wrt=wrt, statistics="detached").values
    assert gradient_correlation(network.eval(), (x, y), wrt=wrt).values
    with pytest.raises(ProbeError, match=r"detach\(\) its statistics"):
        gradient_correlation(HandMade(False), (x, y), wrt=wrt, statistics="detached")
    assert gradient_correlation(HandMade(True), (x, y), wrt=wrt).values


def test_tokens_with_batch_statistics_are_refused_too():
    network = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.BatchNorm1d(12))
    tokens = torch.arange(4 * 3).reshape(4, 3) % 9
    with pytest.raises(ProbeError, match="detached"):
        gradient_correlation(network, (tokens, torch.zeros(4, dtype=torch.long)))


def test_a_loss_that_compares_samples_is_refused():
    x = torch.randn(SAMPLES, 4)
    with pytest.raises(ProbeError, match="compares them"):
        gradient_correlation(
            nn.Linear(4, 3), (x, x), loss=lambda out, t: out.var(0).sum() + out.sum()
        )
    fine = gradient_correlation(nn.Linear(4, 3), (x, x), loss=lambda out, t: out.square().mean())
    assert bool(fine.values["gradient_correlation"].isfinite().all())


@pytest.mark.parametrize("method", ["auto", "loop"])
def test_dropout_is_the_same_for_every_way(method):
    """Truth: the whole batch's gradient is the sum of the parts, so the norms and cosines must add up to its length."""
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(4, 32), nn.Dropout(0.5), nn.Linear(32, 3)).double()
    x, y = torch.randn(SAMPLES, 4).double(), torch.randint(0, 3, (SAMPLES,))
    found = gradient_correlation(network, (x, y), method=method)
    torch.manual_seed(0)  # what the probe draws dropout from
    grads = torch.autograd.grad(F.cross_entropy(network(x), y), list(network.parameters()))
    whole = sum(g.square().sum() for g in grads)
    again = gradient_correlation(network, (x, y), method="loop")
    for name, value in found.values.items():
        torch.testing.assert_close(value, again.values[name], rtol=1e-9, atol=1e-12)
    norms = found.values["gradient_norm"][0]
    eigen = found.values["gradient_correlation_eigenvalue"][0]
    assert float(norms.sum() ** 2) >= float(whole) > 0
    assert float(eigen.sum()) == pytest.approx(SAMPLES)


def test_gradients_near_the_end_of_float32_are_not_lost():
    network = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))
    x, y = torch.randn(SAMPLES, 4), torch.randn(SAMPLES, 3)
    usual = gradient_correlation(network, (x, y), loss="inner_product")
    for size in (1e-25, 1e25):
        far = gradient_correlation(network, (x, size * y), loss="inner_product")
        torch.testing.assert_close(
            far.values["gradient_correlation"], usual.values["gradient_correlation"], rtol=1e-4, atol=1e-6
        )  # fmt: skip


def test_a_sample_without_gradient_is_left_out_and_counted_and_nan_is_not():
    network = nn.Linear(4, 3).double()
    x, y = torch.randn(SAMPLES, 4).double(), torch.randn(SAMPLES, 3).double()
    y[2] = 0
    found = gradient_correlation(network, (x, y), loss="inner_product")
    assert found.values["gradient_absent"].tolist() == [1.0]
    assert found.notes
    rest = [0, 1, 3, 4, 5]
    alone = gradient_correlation(network, (x[rest], y[rest]), loss="inner_product")
    torch.testing.assert_close(
        found.values["gradient_correlation"], alone.values["gradient_correlation"]
    )
    y[2] = torch.nan
    found = gradient_correlation(network, (x, y), loss="inner_product")
    assert bool(found.values["gradient_correlation"].isnan().all())
    assert "NaN" in found.notes[-1]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize("wrt", ["parameters", "input"])
def test_leaves_no_trace_and_says_the_same_twice(wrt, fails, training):
    network, x = shapes()
    network = nn.Sequential(network, nn.BatchNorm1d(3).double(), nn.Dropout(0.3)).train(training)
    network[0].plain.weight.requires_grad_(False)
    y = torch.randint(0, 3, (SAMPLES,))

    def loss(out, target):
        if fails:
            raise RuntimeError("midway")
        return F.cross_entropy(out, target)

    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    kept = x.clone(), torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    dicts = [(m, dict(m.__dict__), type(m)) for m in network.modules()]
    answers = []
    for _ in range(2):
        try:
            answers.append(
                gradient_correlation(network, (x, y), loss=loss, wrt=wrt, statistics="detached")
            )
        except RuntimeError as error:
            assert fails and "midway" in str(error)  # noqa: PT018, PT017
    if not fails:
        for name, value in answers[0].values.items():
            torch.testing.assert_close(
                value, answers[1].values[name], rtol=0, atol=0, equal_nan=True
            )
    assert torch.equal(kept[0], x)
    assert torch.equal(kept[1], torch.get_rng_state())
    assert kept[2] == np.random.get_state()[1].tolist()  # noqa: NPY002
    assert kept[3] == random.getstate()
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in state.items())
    assert all(p.grad is None for p in network.parameters())
    for module, before, kind in dicts:
        assert type(module) is kind
        assert module.__dict__.keys() == before.keys()
        assert not module._forward_hooks
    assert network.training is training


def test_frozen_parameters_and_a_choice_of_them():
    network, x = shapes()
    y = torch.randint(0, 3, (SAMPLES,))
    chosen = gradient_correlation(network, (x, y), where="plain*")
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for method in ("auto", "vmap", "loop"):
        frozen = gradient_correlation(network, (x, y), where="plain*", method=method)
        torch.testing.assert_close(frozen.values["gradient_norm"], chosen.values["gradient_norm"])


def test_several_batches_and_labels():
    network = nn.Linear(4, 3)
    batches = [(torch.randn(n, 4), torch.randint(0, 3, (n,))) for n in (5, 3)]
    seen = []
    found = gradient_correlation(network, batches, progress=lambda *each: seen.append(each))
    evidence = labelled(found)
    assert dict(evidence.sizes) == {"batch": 2, "quantile": 5, "eigenvalue": 5, "sample": 5}
    assert seen == [(1, 2), (2, 2)]
    alone = gradient_correlation(network, batches[1])
    assert float(evidence["gradient_correlation"][1]) == float(alone.values["gradient_correlation"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wrt": "inputs"}, "Did you mean 'input'"),
        ({"method": "vamp"}, "Did you mean 'vmap'"),
        ({"where": "heda*"}, "no parameter"),
        ({"quantiles": (1.5,)}, "between 0 and 1"),
        ({"statistics": "detach"}, "Did you mean 'detached'"),
    ],
)
def test_settings_without_sense_are_refused(settings, message):
    batch = torch.randn(3, 4), torch.randint(0, 3, (3,))
    with pytest.raises(ProbeError, match=message):
        gradient_correlation(nn.Linear(4, 3), batch, **settings)


def test_one_sample_and_unknown_layers_are_refused():
    with pytest.raises(ProbeError, match="two samples"):
        gradient_correlation(nn.Linear(4, 3), (torch.randn(1, 4), torch.zeros(1).long()))
    network = nn.Sequential(nn.Linear(4, 3), nn.PReLU(3))
    batch = torch.randn(3, 4), torch.randint(0, 3, (3,))
    with pytest.raises(ProbeError, match=r"1\.weight"):
        gradient_correlation(network, batch, method="layerwise")
    assert "1.weight by vmap(grad)" in gradient_correlation(network, batch).settings["one by one"]


class Mixing(nn.Module):
    """Mixes samples where they are longer than four."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x):
        centred = x - x.mean(0) if x.shape[1] > 4 else x
        return self.gain * centred.sum(1, keepdim=True)


def test_a_later_batch_of_other_shapes_is_tried_too():
    calm, mixing = torch.randn(SAMPLES, 4), torch.randn(SAMPLES, 5)
    targets = torch.randn(SAMPLES, 1)
    gradient_correlation(Mixing(), [(calm, targets)] * 2, loss="mse")
    with pytest.raises(ProbeError, match="each sample by itself"):
        gradient_correlation(Mixing(), [(calm, targets), (mixing, targets)], loss="mse")


def test_norms_after_an_offset_as_by_a_plain_loop():
    """The gain's gradient is formed from the statistics that the norm used, however far the signal is from zero."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.BatchNorm2d(4), nn.Flatten(),
        nn.LayerNorm(144), nn.Linear(144, 3),
    ).double().eval()  # fmt: skip
    nn.init.constant_(network[0].bias, 30.0)
    network[2].running_mean.normal_()
    network[2].running_var.uniform_(0.5, 2.0)
    inputs, targets = torch.randn(SAMPLES, 2, 8, 8, dtype=torch.float64), torch.arange(SAMPLES) % 3
    found = gradient_correlation(network, (inputs, targets), method="layerwise")
    rows = by_loop(network, inputs, targets, F.cross_entropy)
    matches(found, rows, scale=1 / SAMPLES)
