"""What lint says of norms. Truth: what the fix, or the reason, does to the numbers.

Each rule meets a network that has the fault, the nearest ones that have not, and the proof.
"""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import skipnorm as sn

IMAGES = torch.Size((6, 3, 5, 5))


def found(network: nn.Module, x: torch.Tensor, rule: str, **more: object) -> list[tuple[str, ...]]:
    return [each.sites for each in sn.lint(network, x, **more).of(rule)]


def conv(out: int = 4, **more: object) -> nn.Conv2d:
    return nn.Conv2d(3, out, 3, **more)


class Unpadded(nn.Module):
    """A norm written by hand: batch statistics over all but the channels, gain and shift."""

    def __init__(self, channels: int, centred: bool = True) -> None:
        super().__init__()
        self.weight, self.bias = (nn.Parameter(torch.randn(channels)) for _ in range(2))
        self.centred = centred

    def forward(self, x):
        if self.centred:
            x = x - x.mean((0, 2, 3), keepdim=True)
        size = torch.rsqrt(x.square().mean((0, 2, 3), keepdim=True) + 1e-6)
        return x * size * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class Split(nn.Module):
    """What the map returns goes to the norm and elsewhere: there the bias is felt."""

    def __init__(self) -> None:
        super().__init__()
        self.map, self.norm = conv(), nn.BatchNorm2d(4)

    def forward(self, x):
        h = self.map(x)
        return self.norm(h) + h


class Positions(nn.Module):
    """The bias varies along what is last, the batch norm counts channels second."""

    def __init__(self) -> None:
        super().__init__()
        self.map, self.norm = nn.Linear(5, 5), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(self.map(x))


class Transposed(nn.Module):
    """A linear map over the last dimension, brought to the second before the norm."""

    def __init__(self) -> None:
        super().__init__()
        self.map, self.norm = nn.Linear(5, 7), nn.BatchNorm1d(7)

    def forward(self, x):
        return self.norm(self.map(x.flatten(1, 2)).transpose(1, 2))


REDUNDANT = {
    "batch": lambda: nn.Sequential(conv(), nn.BatchNorm2d(4)),
    "batch without running statistics": lambda: nn.Sequential(
        conv(), nn.BatchNorm2d(4, track_running_stats=False)
    ),
    "instance": lambda: nn.Sequential(conv(), nn.InstanceNorm2d(4)),
    "a group for each channel": lambda: nn.Sequential(conv(), nn.GroupNorm(4, 4)),
    "layer norm over positions alone": lambda: nn.Sequential(conv(), nn.LayerNorm((3, 3))),
    "by hand": lambda: nn.Sequential(conv(), Unpadded(4)),
    "padded": lambda: nn.Sequential(conv(padding=1), nn.BatchNorm2d(4)),
    "in groups": lambda: nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6)),
    "transposed convolution": lambda: nn.Sequential(
        nn.ConvTranspose2d(3, 4, 3, stride=2), nn.BatchNorm2d(4)
    ),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(75, 8), nn.BatchNorm1d(8)),
    "moved": Transposed,
}
FELT = {
    "no bias": lambda: nn.Sequential(conv(bias=False), nn.BatchNorm2d(4)),
    "layer norm over channels": lambda: nn.Sequential(conv(), nn.LayerNorm((4, 3, 3))),
    "two channels a group": lambda: nn.Sequential(conv(), nn.GroupNorm(2, 4)),
    "not centred": lambda: nn.Sequential(conv(), nn.RMSNorm((3, 3))),
    "not centred, by hand": lambda: nn.Sequential(conv(), Unpadded(4, centred=False)),
    "an activation between": lambda: nn.Sequential(conv(), nn.ReLU(), nn.BatchNorm2d(4)),
    "pooling between": lambda: nn.Sequential(conv(), nn.MaxPool2d(2), nn.BatchNorm2d(4)),
    "used elsewhere": Split,
    "other channels": Positions,
}


def with_other_biases(network: nn.Module) -> nn.Module:
    twin = copy.deepcopy(network)
    for module in twin.modules():
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd) and module.bias is not None:
            module.bias.data.normal_()
    return twin


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", REDUNDANT)
def test_a_redundant_bias_is_found_and_not_felt(name, training):
    network, x = REDUNDANT[name]().train(training), torch.randn(IMAGES)
    lint = sn.lint(network, x)
    (finding,) = lint.of("bias-before-norm")
    assert finding in lint.warnings
    owner = network.get_submodule(finding.sites[0])
    assert finding.parameters == owner.bias.numel()
    network, x = network.double().train(), x.double()
    torch.testing.assert_close(network(x), with_other_biases(network)(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", FELT)
def test_a_bias_that_is_felt_is_left_alone(name, training):
    network, x = FELT[name]().train(training), torch.randn(IMAGES)
    assert not found(network, x, "bias-before-norm")
    if name not in ("no bias", "pooling between"):
        network, x = network.double().train(), x.double()
        moved = (network(x) - with_other_biases(network)(x)).abs().max()
        assert moved > 1e-3


def test_a_frozen_batch_norm_feels_the_bias():
    network, x = nn.Sequential(conv(), nn.BatchNorm2d(4)), torch.randn(IMAGES)
    network[1].eval()
    assert not found(network, x, "bias-before-norm")
    fixed = sn.operate(network.train(), sn.FreezeStatistics(), inputs=x).eval()
    assert not found(fixed, x, "bias-before-norm")


def test_the_fix_of_a_trained_network_keeps_its_evaluation():
    network, x = nn.Sequential(conv(), nn.BatchNorm2d(4)), torch.randn(IMAGES)
    for _ in range(5):
        network(x + torch.randn(IMAGES))
    (finding,) = sn.lint(network.eval(), x).of("bias-before-norm")
    assert "1.running_mean -= 0.bias" in finding.fix
    before = network(x)
    network[1].running_mean -= network[0].bias.data
    network[0].bias = None
    torch.testing.assert_close(network(x), before)


def test_a_bias_shared_with_a_map_that_needs_it_stays():
    one, two = conv(), nn.Conv2d(4, 4, 3)
    two.bias = one.bias
    assert not found(
        nn.Sequential(one, nn.BatchNorm2d(4), two), torch.randn(IMAGES), "bias-before-norm"
    )


# Norm after norm ----------------------------------------------------------------------------------

Y = torch.randn(6, 5, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 3 + 1


def pair(first: nn.Module, second: nn.Module) -> nn.Sequential:
    network = nn.Sequential(first, second).double()
    for parameter in network.parameters():
        parameter.data.uniform_(0.5, 1.5)
    return network


def plain(size: int = 8) -> nn.LayerNorm:
    return nn.LayerNorm(size, elementwise_affine=False, eps=1e-12)


UNDONE = {
    "layer, layer": lambda: pair(plain(), nn.LayerNorm(8, eps=1e-12)),
    "rms, layer": lambda: pair(
        nn.RMSNorm(8, eps=1e-12, elementwise_affine=False), nn.LayerNorm(8, eps=1e-12)
    ),
    "rms, rms": lambda: pair(
        nn.RMSNorm(8, eps=1e-12, elementwise_affine=False), nn.RMSNorm(8, eps=1e-12)
    ),
    "batch, instance": lambda: pair(
        nn.BatchNorm1d(5, eps=1e-12), nn.InstanceNorm1d(5, eps=1e-12, affine=True)
    ),
    "batch, batch": lambda: pair(nn.BatchNorm1d(5, eps=1e-12), nn.BatchNorm1d(5, eps=1e-12)),
    "one group, many": lambda: pair(
        nn.GroupNorm(1, 6, eps=1e-12, affine=False), nn.GroupNorm(3, 6, eps=1e-12)
    ),
}


def signal_for(network: nn.Sequential) -> torch.Tensor:
    grouped = isinstance(network[0], nn.GroupNorm)
    return Y[..., :6].transpose(1, 2) if grouped else Y


@pytest.mark.parametrize("name", UNDONE)
def test_a_norm_that_the_next_one_undoes(name):
    network = UNDONE[name]()
    y = signal_for(network)
    lint = sn.lint(network, y)
    assert [each.sites for each in lint.of("norm-after-norm")] == [("0", "1")]
    assert lint.warnings
    torch.testing.assert_close(network(y), network[1](y), rtol=1e-8, atol=1e-8)
    without = sn.operate(network, sn.SwapNorm(where="0", to="none"), inputs=y)
    torch.testing.assert_close(without(y), network(y), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "pairing",
    [
        lambda: pair(plain(), nn.RMSNorm(8, eps=1e-12, elementwise_affine=False)),
        lambda: pair(nn.InstanceNorm1d(5, eps=1e-12), nn.BatchNorm1d(5, eps=1e-12, affine=False)),
    ],
)
def test_a_second_norm_that_finds_nothing_to_do(pairing):
    network = pairing()
    (finding,) = sn.lint(network, Y).of("norm-after-norm")
    assert finding.sites == ("1", "0")
    assert finding.severity == "warning"
    torch.testing.assert_close(network(Y), network[0](Y), rtol=1e-8, atol=1e-8)


def test_a_second_norm_that_undoes_only_what_the_first_has_learned():
    network = nn.Sequential(nn.LayerNorm(8, eps=1e-12), nn.LayerNorm(8, eps=1e-12)).double()
    lint = sn.lint(network, Y)
    assert [(each.sites, each.severity) for each in lint.of("norm-after-norm")] == [
        (("1", "0"), "note")
    ]
    torch.testing.assert_close(network(Y), network[0](Y), rtol=1e-8, atol=1e-8)
    network[0].weight.data.uniform_(0.5, 1.5)
    assert (network(Y) - network[0](Y)).abs().max() > 1e-2


NEEDED = {
    "layer, batch": lambda: pair(plain(), nn.BatchNorm1d(8)),
    "batch, layer": lambda: pair(nn.BatchNorm1d(8), nn.LayerNorm(8)),
    "layer, rms": lambda: pair(nn.LayerNorm(8), nn.RMSNorm(8)),
    "many groups, few": lambda: pair(nn.GroupNorm(4, 8), nn.GroupNorm(2, 8)),
    "a map between": lambda: nn.Sequential(plain(), nn.Linear(8, 8), nn.LayerNorm(8)).double(),
    "an activation between": lambda: nn.Sequential(plain(), nn.ReLU(), nn.LayerNorm(8)).double(),
}


@pytest.mark.parametrize("name", NEEDED)
def test_other_pairs_both_do_something(name):
    network, y = NEEDED[name](), Y.flatten(0, 1)
    findings = sn.lint(network, y).of("norm-after-norm")
    assert all("have learned" in each.reason for each in findings)
    assert len(findings) == (name in ("layer, rms", "many groups, few"))
    assert (network(y) - network[-1](y)).abs().max() > 1e-3
    assert (network(y) - network[:-1](y)).abs().max() > 1e-3


# Over few, shared ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "shape", "constant"),
    [
        (nn.GroupNorm(4, 4), (3, 4), True),
        (nn.LayerNorm(1), (3, 4, 1), True),
        (nn.RMSNorm(1), (3, 4, 1), False),
    ],
)
def test_a_norm_over_one_element_says_nothing_of_its_input(network, shape, constant):
    x, y = torch.rand(shape) + 1, torch.rand(shape) + 5
    assert found(network, x, "norm-over-few")
    assert torch.allclose(network(x), network(y), atol=1e-4)
    assert torch.allclose(network(x), network(-x), atol=1e-4) == constant


def test_a_norm_over_two_elements_is_no_such():
    assert not found(nn.GroupNorm(2, 4), torch.randn(3, 4), "norm-over-few")
    assert not found(nn.RMSNorm(2), torch.randn(3, 2), "norm-over-few")


@pytest.mark.parametrize(
    ("shape", "training", "tiny"),
    [((7, 4), True, True), ((8, 4), True, False), ((2, 4), False, False)],
)
def test_a_batch_norm_over_a_tiny_batch(shape, training, tiny):
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).train(training)
    assert bool(found(network, torch.randn(shape), "norm-over-few")) == tiny
    wide = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train(training)
    assert not found(wide, torch.randn(2, 3, 2, 2), "norm-over-few")


class Recurrent(nn.Module):
    def __init__(self, norm: nn.Module, chained: bool = True) -> None:
        super().__init__()
        self.map, self.norm, self.chained = nn.Linear(4, 4, bias=False), norm, chained

    def forward(self, x):
        first = self.norm(self.map(x)).relu()
        return self.norm(self.map(first)) if self.chained else first + self.norm(x * x)


def test_a_batch_norm_that_two_depths_share():
    network, x = Recurrent(nn.BatchNorm1d(4)), torch.randn(64, 4)
    (finding,) = sn.lint(network, x).of("shared-batch-norm")
    assert (finding.severity, finding.sites) == ("warning", ("norm", "norm", "norm#2"))
    for _ in range(200):  # until the running statistics have settled
        trained = network(x)
    apart = (network.eval()(x) - trained).abs().max()
    alone = nn.BatchNorm1d(4)
    for _ in range(200):
        once = alone(x)
    assert apart > 10 * (alone.eval()(x) - once).abs().max()


def test_two_signals_side_by_side_are_only_a_note():
    lint = sn.lint(Recurrent(nn.BatchNorm1d(4), chained=False), torch.randn(64, 4))
    assert [each.severity for each in lint.of("shared-batch-norm")] == ["note"]


@pytest.mark.parametrize(
    "norm", [nn.LayerNorm(4), nn.BatchNorm1d(4, track_running_stats=False)], ids=["layer", "batch"]
)
def test_a_shared_norm_without_running_statistics_mixes_none(norm):
    assert not found(Recurrent(norm), torch.randn(64, 4), "shared-batch-norm")


def test_functional_norms_are_read_too():
    class Inline(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = (
                nn.Parameter(torch.randn(4, 3, 3, 3)),
                nn.Parameter(torch.randn(4)),
            )

        def forward(self, x):
            return functional.instance_norm(functional.conv2d(x, self.weight, self.bias))

    assert found(Inline(), torch.randn(IMAGES), "bias-before-norm") == [("conv2d", "instance_norm")]
