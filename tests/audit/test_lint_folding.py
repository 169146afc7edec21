"""What lint says of folding. Truth: the same function after the fix, and `FoldNorm`'s own opinion."""

import copy

import pytest
import torch
from torch import nn

import skipnorm as sn
from skipnorm.errors import SurgeryError
from skipnorm.surgery.patient import Patient


def found(network: nn.Module, x: torch.Tensor, rule: str) -> list[tuple[str, ...]]:
    return [each.sites for each in sn.lint(network, x).of(rule)]


def drawn(network: nn.Module) -> nn.Module:
    network = network.double()
    for module in network.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                parameter.data.uniform_(0.5, 1.5)
        for buffer in module._buffers.values():
            if buffer is not None and buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    return network


def fold_forwards(norm: nn.Module, maps: list[nn.Module], *, shift: bool) -> None:
    """The algebra of the fix, written out: W (g x + s) = (W diag(g)) x + W s = (W diag(g)) (x + s / g)."""
    bias = getattr(norm, "bias", None)
    for each in maps:
        weight = each.weight.data
        axis = 0 if isinstance(each, nn.ConvTranspose2d) else 1
        kernel = weight.sum(tuple(range(2, weight.dim()))) if weight.dim() > 2 else weight
        if shift and bias is not None:
            each.bias.data += kernel @ bias.data
        per_group = weight.shape[axis]
        gain = norm.weight.data
        if getattr(each, "groups", 1) > 1 and axis == 1:
            outputs = weight.shape[0] // each.groups
            for group in range(each.groups):
                rows = slice(group * outputs, (group + 1) * outputs)
                part = gain[group * per_group : (group + 1) * per_group]
                weight[rows] *= part.view(1, -1, *[1] * (weight.dim() - 2))
        else:
            shape = [1] * weight.dim()
            shape[axis] = -1
            weight *= gain.view(shape)
    if bias is not None:
        bias.data.copy_(torch.zeros_like(bias) if shift else bias / norm.weight)
    norm.weight.data.fill_(1)


class Last(nn.Module):
    """Channels last, then a convolution that wants them second."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.map = nn.LayerNorm(4), nn.Conv2d(4, 6, 1)

    def forward(self, x):
        return self.map(self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.one, self.two = nn.LayerNorm(5), nn.Linear(5, 3), nn.Linear(5, 3)

    def forward(self, x):
        h = self.norm(x)
        return self.one(h) * self.two(h)


class Also(Several):
    def forward(self, x):
        h = self.norm(x)
        return self.one(h) + h.mean()


class Twice(Several):
    def forward(self, x):
        return self.one(self.norm(x)) + self.one(x)


class Returned(Several):
    def forward(self, x):
        h = self.norm(x)
        return self.one(h), h


X = (7, 4, 5, 5)
FOLDABLE = {  # network, norm, maps, whether the shift folds too
    "layer": (lambda: nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 3)), "0", ["1"], True),
    "rms": (lambda: nn.Sequential(nn.RMSNorm(5), nn.Linear(5, 3)), "0", ["1"], True),
    "no bias to take the shift": (
        lambda: nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 3, bias=False)),
        "0",
        ["1"],
        False,
    ),
    "batch": (lambda: nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3)), "0", ["1"], True),
    "padded": (
        lambda: nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, padding=1)),
        "0",
        ["1"],
        False,
    ),
    "groups": (
        lambda: nn.Sequential(nn.GroupNorm(2, 4), nn.Conv2d(4, 6, 3, padding=1, groups=2)),
        "0",
        ["1"],
        False,
    ),
    "transposed": (
        lambda: nn.Sequential(nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 6, 3)),
        "0",
        ["1"],
        False,
    ),
    "channels last": (Last, "norm", ["map"], True),
    "several maps": (Several, "norm", ["one", "two"], True),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", FOLDABLE)
def test_the_function_is_the_same_with_the_gain_in_the_weights(name, training):
    make, norm, maps, shift = FOLDABLE[name]
    network, x = drawn(make()).train(training), torch.randn(X, dtype=torch.float64)
    (finding,) = sn.lint(network, x).of("foldable-gain")
    assert set(finding.sites) == {norm, *maps}
    twin = copy.deepcopy(network)
    fold_forwards(
        twin.get_submodule(norm), [twin.get_submodule(each) for each in maps], shift=shift
    )
    torch.testing.assert_close(twin(x), network(x), rtol=1e-9, atol=1e-9)
    module = network.get_submodule(norm)
    shifts = module.bias.numel() if shift and getattr(module, "bias", None) is not None else 0
    assert finding.parameters == module.weight.numel() + shifts
    if "RemoveAffine" in finding.fix:
        bare = sn.operate(twin, sn.RemoveAffine(where=norm), inputs=x)
        torch.testing.assert_close(bare(x), network(x), rtol=1e-9, atol=1e-9)
        fewer = sum(p.numel() for p in network.parameters()) - finding.parameters
        assert sum(p.numel() for p in bare.parameters()) == fewer


def test_a_shift_does_not_fold_where_zeros_are_padded():
    network = drawn(nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, padding=1)))
    x = torch.randn(X, dtype=torch.float64)
    twin = copy.deepcopy(network)
    fold_forwards(twin[0], [twin[1]], shift=True)
    assert (twin(x) - network(x)).abs().max() > 0.1
    (finding,) = sn.lint(network, x).of("foldable-gain")
    assert finding.parameters == 4


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.LayerNorm(5), nn.ReLU(), nn.Linear(5, 3)),
        nn.Sequential(nn.LayerNorm(5, elementwise_affine=False), nn.Linear(5, 3)),
        nn.Sequential(nn.LayerNorm((5, 5)), nn.Linear(5, 3)),
        nn.Sequential(nn.BatchNorm2d(4), nn.Linear(5, 3)),
        Also(),
        Twice(),
        Returned(),
        nn.LayerNorm(5),
    ],
    ids="bent bare wide other_channels also_elsewhere map_shared returned last".split(),
)
def test_a_gain_that_cannot_be_folded(network):
    assert not found(network, torch.randn(X), "foldable-gain")


def test_a_gain_of_zero_cannot_give_its_shift_away():
    network, x = nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 3, bias=False)), torch.randn(X)
    assert found(network, x, "foldable-gain")
    network[0].weight.data[2] = 0
    assert not found(network, x, "foldable-gain")


def test_a_weight_tied_to_an_embedding_keeps_its_scale():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.norm, self.head = nn.Embedding(9, 5), nn.LayerNorm(5), nn.Linear(5, 9)

        def forward(self, ids):
            return self.head(self.norm(self.table(ids)))

    network, ids = Tied(), torch.randint(9, (2, 3))
    assert found(network, ids, "foldable-gain") == [("norm", "head")]
    network.head.weight = network.table.weight
    assert not found(network, ids, "foldable-gain")


# Batch norms --------------------------------------------------------------------------------------


class Fork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.map, self.norm = nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6)

    def forward(self, x):
        h = self.map(x)
        return self.norm(h) + h


NORMED = {
    "conv": lambda: nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)),
    "no bias": lambda: nn.Sequential(nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6)),
    "no affine": lambda: nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6, affine=False)),
    "grouped": lambda: nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)),
    "transposed": lambda: nn.Sequential(nn.ConvTranspose2d(4, 6, 3), nn.BatchNorm2d(6)),
    "transposed and grouped": lambda: nn.Sequential(
        nn.ConvTranspose2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)
    ),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(100, 6), nn.BatchNorm1d(6)),
    "bent": lambda: nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.BatchNorm2d(6)),
    "first": lambda: nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3)),
    "no statistics": lambda: nn.Sequential(
        nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6, track_running_stats=False)
    ),
    "layer": lambda: nn.Sequential(nn.Conv2d(4, 6, 3), nn.LayerNorm(3)),
    "fork": Fork,
    "weights computed": lambda: nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3)), nn.BatchNorm2d(6)
    ),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NORMED)
def test_what_is_foldable_is_what_fold_norm_folds(name, training):
    network, x = drawn(NORMED[name]()).eval(), torch.randn(X, dtype=torch.float64)
    try:
        foldable = [site.name for site in sn.FoldNorm().candidates(Patient(network, (x,), {}))]
    except SurgeryError:
        foldable = []
    findings = sn.lint(network.train(training), x).of("foldable-batch-norm")
    if name == "weights computed":  # whoever folds would have to take the parametrization off
        assert not findings
        return
    assert [each.sites[0] for each in findings] == foldable
    for each in findings:
        folded = sn.operate(network.eval(), sn.FoldNorm(where=each.sites[0]), inputs=x)
        torch.testing.assert_close(folded(x), network(x), rtol=1e-9, atol=1e-9)
        before, after = (sum(p.numel() for p in n.parameters()) for n in (network, folded))
        assert each.parameters == before - after
