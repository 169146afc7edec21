"""What lint says of skips. Truth: lesions that show what the reason claims, and matrices written out."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import skipnorm as sn

X = torch.randn(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
MAPS = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def found(network: nn.Module, x: torch.Tensor, rule: str) -> list[tuple[str, ...]]:
    return [each.sites for each in sn.lint(network.double(), x).of(rule)]


class Block(nn.Module):
    """A residual block whose parts can be chosen."""

    def __init__(self, branch, shortcut=None, after=None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut or nn.Identity()
        self.after = after or nn.Identity()

    def forward(self, x):
        return self.after(self.shortcut(x) + self.branch(x))


def mlp(width: int = 6) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))


def convs(stride: int = 1, out: int = 4) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(4, out, 3, stride=stride, padding=1), nn.ReLU(), nn.Conv2d(out, out, 1)
    )


# Activation after the addition --------------------------------------------------------------------


@pytest.mark.parametrize("inplace", [True, False])
def test_an_activation_between_two_additions(inplace):
    network = nn.Sequential(*(Block(mlp(), after=nn.ReLU(inplace)) for _ in range(3)), mlp())
    assert [each[0] for each in found(network, X, "activation-after-addition")] == [
        "0.after",
        "1.after",
    ], "behind the third there is no block to harm"
    bare = sn.operate(network[:3].double(), sn.DropBranches(), inputs=X)
    assert torch.equal(bare(X), X.relu()), "without branches the network should be the identity"
    x = X.clone().requires_grad_()
    bare(x).sum().backward()
    assert torch.equal(x.grad == 0, X < 0)


def test_pre_activation_leaves_the_shortcuts_alone():
    def branch():
        return nn.Sequential(nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 6))

    network = nn.Sequential(*(Block(branch()) for _ in range(3)), nn.ReLU(), nn.Linear(6, 2))
    assert not found(network, X, "activation-after-addition")
    bare = sn.operate(network[:3].double(), sn.DropBranches(), inputs=X)
    assert torch.equal(bare(X), X)


@pytest.mark.parametrize(
    "network",
    [
        Block(mlp(), after=nn.ReLU()),  # nothing behind
        nn.Sequential(Block(mlp(), after=nn.LayerNorm(6)), Block(mlp())),  # a norm is none
        nn.Sequential(
            Block(mlp()), Block(nn.Sequential(nn.ReLU(), nn.Linear(6, 6)))
        ),  # in a branch
        nn.Sequential(Block(mlp(), after=nn.Sequential(nn.ReLU(), nn.Linear(6, 6))), Block(mlp())),
    ],
    ids="last post_norm in_the_branch another_stage".split(),
)
def test_other_activations_stand_well(network):
    assert not found(network, X, "activation-after-addition")


# Projections --------------------------------------------------------------------------------------


def test_a_projection_where_an_identity_fits():
    network = Block(convs(), shortcut=nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)))
    (finding,) = sn.lint(network.double(), MAPS).of("needless-projection")
    assert finding.sites[0] == "shortcut.0"
    before = sum(p.numel() for p in network.parameters())
    network.shortcut = nn.Identity()
    assert network(MAPS).shape == MAPS.shape
    assert before - sum(p.numel() for p in network.parameters()) == finding.parameters == 28
    (skip,) = sn.anatomy(network, MAPS).skips
    assert skip.shortcut == "identity"


class Gated(nn.Module):
    """A sum of two maps of different signals: no shortcut at all."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(6, 6), mlp()

    def forward(self, x):
        return torch.sigmoid(self.one(x)) * self.two(x)


def test_a_lateral_connection_between_two_scales_is_no_shortcut():
    coarse = nn.Sequential(
        nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU(), nn.Upsample((5, 5)), nn.Conv2d(4, 4, 1)
    )
    assert not found(Block(coarse, shortcut=nn.Conv2d(4, 4, 1)), MAPS, "needless-projection")


@pytest.mark.parametrize(
    ("network", "x"),
    [
        (Block(convs(out=8), shortcut=nn.Conv2d(4, 8, 1)), MAPS),
        (Block(convs(2), shortcut=nn.Conv2d(4, 4, 1, stride=2)), MAPS),
        (Block(convs()), MAPS),
        (Block(nn.Linear(6, 6), shortcut=nn.Linear(6, 6)), X),
        (Block(nn.Sequential(nn.Linear(6, 2), nn.Linear(2, 6)), shortcut=nn.Linear(6, 6)), X),
        (Gated(), X),
    ],
    ids="wider strided identity parallel low_rank gate".split(),
)
def test_a_projection_that_has_work_to_do(network, x):
    assert not found(network, x, "needless-projection")


# Linear skips -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "branch",
    [
        nn.Linear(6, 6),
        nn.Sequential(nn.Linear(6, 2), nn.Linear(2, 6)),
        nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 6)),
        nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6)),
    ],
    ids="map two dropout batch_norm".split(),
)
def test_a_skip_around_a_linear_branch_is_one_linear_map(branch):
    network = Block(branch).double().eval()
    (finding,) = sn.lint(network, X).of("linear-skip")
    assert finding.sites[0].startswith("add")
    zero = network(torch.zeros_like(X))
    torch.testing.assert_close(network(3 * X) - zero, 3 * (network(X) - zero))
    other = X.flip(0)
    torch.testing.assert_close(network(X + other) + zero, network(X) + network(other))
    matrix = network(torch.eye(6, dtype=torch.float64)) - network(torch.zeros(6, 6).double())
    torch.testing.assert_close(X @ matrix + zero, network(X))


def test_low_rank_updates_can_be_merged():
    low = nn.Sequential(nn.Linear(6, 2, bias=False), nn.Linear(2, 6, bias=False))
    network = Block(low, shortcut=nn.Linear(6, 6))
    assert len(found(network, X, "linear-skip")) == 1
    merged = network.shortcut.weight + low[1].weight @ low[0].weight
    torch.testing.assert_close(
        functional.linear(X, merged, network.shortcut.bias), network.double()(X)
    )


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(6, 6) for _ in range(3))

    def forward(self, x):
        return x + (self.query(x) @ self.key(x).mT) @ self.value(x)


@pytest.mark.parametrize(
    ("network", "x"),
    [
        (Block(mlp()), X),
        (Block(nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 6))), X),
        (Block(nn.Sequential(nn.Linear(6, 6), nn.Softmax(-1))), X),
        (Block(nn.Sequential(nn.Conv2d(4, 4, 1), nn.MaxPool2d(3, 1, 1))), MAPS),
        (Attention(), X[None]),
    ],
    ids="activation layer_norm softmax max_pooling product".split(),
)
def test_a_branch_that_bends(network, x):
    assert not found(network, x, "linear-skip")
    network = network.eval()
    zero = network(torch.zeros_like(x))
    other = x.flip(0, 1)
    assert (network(x + other) + zero - network(x) - network(other)).abs().max() > 1e-3
