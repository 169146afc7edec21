"""Curvature under BatchNorm: which statistics, scale invariance, micro-batches, and what norms do to sharpness."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skipnorm.networks.recipe import Perceptron
from skipnorm.probes.curvature import curvature
from skipnorm.tasks import Digits


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(count, kinds=3, seed=0):
    return torch.randint(0, kinds, (count,), generator=torch.Generator().manual_seed(seed))


class ConvNorm(nn.Module):
    """Convolution, BatchNorm, tanh, twice; running statistics that are not those of the batch."""

    def __init__(self, eps=1e-5):
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.norm1 = nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3, eps=eps)
        self.conv2, self.norm2 = nn.Conv2d(3, 3, 3, bias=False), nn.BatchNorm2d(3, eps=eps)
        self.head = nn.Linear(3, 3)
        self.double()
        for norm in (self.norm1, self.norm2):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)

    def forward(self, images):
        hidden = torch.tanh(self.norm1(self.conv1(images)))
        hidden = torch.tanh(self.norm2(self.conv2(hidden)))
        return self.head(hidden.mean((2, 3)))


BATCH = (gaussian(12, 2, 7, 7), classes(12))


def top_by_double_backward(network, batches, count=3):
    """Eigenvalues of the mean Hessian, row by row, on a copy in its own mode."""
    network = copy.deepcopy(network)
    parameters = list(network.parameters())
    total, samples = 0, sum(len(targets) for _, targets in batches)
    for inputs, targets in batches:
        loss = F.cross_entropy(network(inputs), targets) * len(targets) / samples
        gradient = torch.autograd.grad(loss, parameters, create_graph=True)
        flat = torch.cat([part.reshape(-1) for part in gradient])
        rows = [torch.autograd.grad(entry, parameters, retain_graph=True) for entry in flat]
        total = total + torch.stack([torch.cat([r.reshape(-1) for r in row]) for row in rows])
    return torch.linalg.eigvalsh(total).flip(0)[:count].tolist(), float(total.trace())


@pytest.mark.parametrize("training", [True, False])
def test_each_mode_is_that_of_plain_double_backward(training):
    network = ConvNorm().train(training)
    truth, _ = top_by_double_backward(network, [BATCH])
    found = curvature(network, BATCH, top=3)
    assert found.values["top_eigenvalue"].tolist() == pytest.approx(truth, rel=1e-6)
    count = "2 of 2" if training else "0 of 2"
    assert (
        f"as_is: {count} BatchNorm modules normalise by the batch" in found.settings["statistics"]
    )


@pytest.mark.parametrize("mode", [True, False])
def test_statistics_can_be_said_whatever_the_mode(mode):
    network = ConvNorm()
    truths = {
        "batch": top_by_double_backward(network.train(), [BATCH])[0],
        "running": top_by_double_backward(network.eval(), [BATCH])[0],
    }
    assert abs(truths["batch"][0] / truths["running"][0] - 1) > 0.1
    network.train(mode)
    for statistics, truth in truths.items():
        found = curvature(network, BATCH, top=3, statistics=statistics)
        assert found.values["top_eigenvalue"].tolist() == pytest.approx(truth, rel=1e-6)


def test_recalibrated_statistics_are_those_of_the_batches_held_fixed():
    network = ConvNorm()
    batches = [BATCH, (gaussian(12, 2, 7, 7, seed=5), classes(12, seed=5))]
    twin = copy.deepcopy(network).train()
    for norm in (twin.norm1, twin.norm2):
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        for inputs, _ in batches:
            twin(inputs)
    truth, _ = top_by_double_backward(twin.eval(), batches)
    found = curvature(network, batches, top=3, statistics="recalibrated")
    assert found.values["top_eigenvalue"].tolist() == pytest.approx(truth, rel=1e-6)
    assert "held fixed" in found.settings["statistics"]
    # the finite differences hold them fixed too
    along = found.values["curvature_along"].tolist()
    beside = found.values["finite_difference_curvature"][:, 0].tolist()
    assert beside == pytest.approx(along, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_micro_batches_each_with_its_own_statistics(statistics):
    network = ConvNorm().train(statistics == "batch")
    batches = [
        (BATCH[0][:7], BATCH[1][:7]),
        (BATCH[0][7:], BATCH[1][7:]),
    ]
    truth, trace = top_by_double_backward(network, batches)
    found = curvature(network, batches, top=3, statistics=statistics, steps=300, most=600)
    assert found.values["top_eigenvalue"].tolist() == pytest.approx(truth, rel=1e-6)
    assert found.values["trace"] == pytest.approx(trace, rel=1e-6)
    assert found.values["trace_error"] == 0


def test_a_graph_built_anew_for_every_product_gives_the_same():
    network = ConvNorm()
    batches = [(BATCH[0][:6], BATCH[1][:6]), (BATCH[0][6:], BATCH[1][6:])]
    kept = curvature(network, batches, top=3)
    assert "graphs of 2 batches kept" in kept.settings["memory"]
    estimate = float(kept.settings["memory"].split()[1])
    # too little for both graphs and all vectors at once, enough for one of each
    least = float(str(refusal(network, batches)).split("needs about ")[1].split()[0])
    anew = curvature(network, batches, top=3, memory_gib=(least + 0.01 * (estimate - least)) / 1024)
    assert "one graph at a time" in anew.settings["memory"]
    assert anew.values["top_eigenvalue"].tolist() == pytest.approx(
        kept.values["top_eigenvalue"].tolist()
    )


def refusal(network, batches):
    from skipnorm.errors import ProbeError

    with pytest.raises(ProbeError) as caught:
        curvature(network, batches, top=3, memory_gib=1e-5)
    return caught.value


def test_the_block_of_a_convolution_before_batch_norm_scales_with_one_over_its_square():
    network = ConvNorm(eps=1e-14).train()
    before = curvature(network, BATCH, where="conv1.weight", top=3)
    scale = 3.0
    larger = copy.deepcopy(network)
    with torch.no_grad():
        larger.conv1.weight.mul_(scale)
    torch.testing.assert_close(larger(BATCH[0]), network(BATCH[0]))
    after = curvature(larger, BATCH, where="conv1.weight", top=3)
    for name in ("top_eigenvalue", "curvature_along"):
        expected = (before.values[name] / scale**2).tolist()
        assert after.values[name].tolist() == pytest.approx(expected, rel=1e-6)
    assert after.values["gradient_norm"] == pytest.approx(before.values["gradient_norm"] / scale)


def test_running_statistics_stay_what_they_were():
    network = ConvNorm().train()
    before = copy.deepcopy(network.state_dict())
    curvature(network, BATCH, statistics="batch")
    curvature(network, [BATCH, BATCH], statistics="recalibrated")
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())


def test_sharpness_at_the_start_is_ordered_by_norm():
    # science.md, H3-g: 8-layer ReLU perceptron of 64, digits: plain 64, layer norm 15, batch norm 2.6;
    # residual without norm 1406, with batch norm 2.4. The order is asserted, not the numbers.
    batch = Digits(flat=True).batch(256, 0)
    sharpness = {}
    for residual, norm in (
        (False, "none"),
        (False, "layer"),
        (False, "batch"),
        (True, "none"),
        (True, "batch"),
    ):
        values = []
        for seed in range(3):
            network = Perceptron(depth=8, norm=norm, residual=residual).build(seed)
            found = curvature(network, batch, top=1, vectors=1, steps=4, samples=2, lengths=())
            values.append(float(found.values["top_eigenvalue"][0]))
        sharpness[residual, norm] = sorted(values)[1]
    assert sharpness[False, "none"] > sharpness[False, "layer"] > sharpness[False, "batch"]
    assert sharpness[True, "none"] > 10 * sharpness[True, "batch"]
    assert sharpness[True, "none"] > sharpness[False, "none"]
