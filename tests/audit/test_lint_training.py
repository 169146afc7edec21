"""What lint says of training. Truth: variances in the two modes, and outputs under a scaled weight."""

import copy

import pytest
import torch
from torch import nn

import skipnorm as sn
from skipnorm.errors import AnatomyError


def found(network: nn.Module, x: torch.Tensor, rule: str, **more) -> list:
    return list(sn.lint(network, x, **more).of(rule))


# Dropout before batch norms -----------------------------------------------------------------------

RULE = "dropout-before-batch-norm"


class Summed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5))
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x):
        return self.norm(x + self.branch(x))


def test_the_variance_shifts_by_what_the_finding_says():
    share, x = 0.4, torch.randn(20_000, 8, dtype=torch.float64)
    norm = nn.BatchNorm1d(8, momentum=None)
    network = nn.Sequential(nn.Dropout(share), nn.Linear(8, 8, bias=False), norm).double()
    (finding,) = found(network, x, RULE)
    assert finding.severity == "warning"
    assert finding.sites == ("0", "2")
    assert "by 1.67 in" in finding.reason
    for _ in range(5):
        network(x)
    in_evaluation = network[:2].eval()(x).var(0)
    ratio = (norm.running_var / in_evaluation).mean()
    assert abs(ratio - 1 / (1 - share)) < 0.03  # x has mean 0; 1 % is the sampling error


@pytest.mark.parametrize("training", [True, False])
def test_where_dropout_reaches_a_batch_norm(training):
    def severities(network, shape=(32, 8)):
        return [e.severity for e in found(network.train(training), torch.randn(shape), RULE)]

    behind = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    assert severities(nn.Sequential(nn.Dropout(0.5), *behind)) == ["warning"]
    assert severities(nn.Sequential(nn.Dropout(0.5), nn.ReLU(), *behind)) == ["warning"]
    assert severities(Summed()) == ["note"]
    assert severities(nn.Sequential(nn.Dropout(0.0), *behind)) == []
    assert severities(nn.Sequential(*behind, nn.Dropout(0.5), nn.Linear(8, 8))) == []
    assert severities(nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 8), nn.LayerNorm(8))) == []
    kept = nn.BatchNorm1d(8, track_running_stats=False)
    assert severities(nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 8), kept)) == []
    renewed = nn.Sequential(nn.Dropout(0.5), nn.LayerNorm(8), *behind)
    assert severities(renewed) == [], "the layer norm takes the size away"
    assert severities(nn.Sequential(nn.AlphaDropout(0.5), *behind)) == [], "it keeps the variance"


# Weight decay -------------------------------------------------------------------------------------

DECAYED = "decayed-scale-invariant-weight"


def decaying(network: nn.Module, decay: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=decay)


MAPS = (6, 3, 5, 5)
INVARIANT = {  # network, the parameters that the output does not feel a common factor of
    "batch": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), ["0.weight"]),
    "layer": (
        lambda: nn.Sequential(nn.Linear(5, 6, bias=False), nn.LayerNorm(6)),
        ["0.weight"],
    ),
    "layer with a bias": (
        lambda: nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6)),
        ["0.weight", "0.bias"],
    ),
    "rms": (lambda: nn.Sequential(nn.Linear(5, 6, bias=False), nn.RMSNorm(6)), ["0.weight"]),
    "group": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)),
        ["0.weight", "0.bias"],
    ),
    "instance": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)), ["0.weight"]),
}


@pytest.mark.parametrize("name", INVARIANT)
def test_the_output_does_not_feel_the_size_of_the_weight(name):
    make, names = INVARIANT[name]
    network, x = make().double(), torch.randn(MAPS, dtype=torch.float64)
    (finding,) = found(network, x, DECAYED, optimizer=decaying(network))
    assert list(finding.sites[:-1]) == names
    assert finding.severity == "note"
    for module in network:
        module.eps = 1e-30
    scaled = copy.deepcopy(network)
    for parameter in names:
        scaled.get_parameter(parameter).data.mul_(3)
    torch.testing.assert_close(scaled(x), network(x), rtol=1e-9, atol=1e-9)


def test_the_effective_rate_is_the_rate_over_the_square_of_the_weight():
    """van Laarhoven 2017: the gradient at 3 w is that at w over 3, so a step turns w by a ninth."""
    network, x = INVARIANT["layer"][0]().double(), torch.randn(MAPS, dtype=torch.float64)
    network[1].eps = 1e-30
    goal = torch.randn(6, 3, 5, 6, dtype=torch.float64)
    gradients = []
    for factor in (1.0, 3.0):
        network[0].weight.data *= factor
        gradients.append(torch.autograd.grad((network(x) * goal).sum(), network[0].weight)[0])
    torch.testing.assert_close(gradients[1] * 3, gradients[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 6)),
        lambda: nn.Sequential(nn.Linear(5, 6), nn.Sigmoid(), nn.LayerNorm(6)),
        lambda: nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 6)),
    ],
    ids="no_norm bent behind".split(),
)
def test_weights_whose_size_is_felt(make):
    network, x = make(), torch.randn(MAPS)
    assert not found(network, x, DECAYED, optimizer=decaying(network))
    scaled = copy.deepcopy(network)
    for module in scaled:
        if isinstance(module, nn.Linear):
            module.weight.data.mul_(3)
    assert (scaled(x) - network(x)).abs().max() > 1e-2


def test_a_bias_that_is_not_decayed_keeps_the_scale_of_its_weight_felt():
    network, x = nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6)), torch.randn(MAPS)
    groups = [
        {"params": [network[0].weight], "weight_decay": 0.1},
        {"params": [network[0].bias, *network[1].parameters()], "weight_decay": 0.0},
    ]
    assert not found(network, x, DECAYED, optimizer=torch.optim.AdamW(groups, lr=0.1))
    before = network(x)
    network[0].weight.data *= 3
    assert (network(x) - before).abs().max() > 1e-2


def test_decay_of_the_norms_themselves():
    network, x = nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6)), torch.randn(MAPS)
    (finding,) = found(network, x, "decayed-norm", optimizer=decaying(network))
    assert finding.sites == ("1", "1.weight", "1.bias")
    vectors = [p for p in network.parameters() if p.ndim < 2]  # the fix, as it is written
    assert all(any(p is each for each in vectors) for p in network[1].parameters())
    matrices = [p for p in network.parameters() if p.ndim >= 2]
    groups = [{"params": vectors, "weight_decay": 0.0}, {"params": matrices, "weight_decay": 0.1}]
    fixed = torch.optim.SGD(groups, lr=0.1)
    assert not found(network, x, "decayed-norm", optimizer=fixed)


@pytest.mark.parametrize("optimizer", [None, 0.0])
def test_without_decay_nothing_is_said_of_it(optimizer):
    network = nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6))
    given = None if optimizer is None else decaying(network, optimizer)
    lint = sn.lint(network, torch.randn(MAPS), optimizer=given)
    assert not lint.of("decayed-norm")
    assert not lint.of(DECAYED)


def test_what_is_frozen_is_not_decayed():
    network, x = nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6)), torch.randn(MAPS)
    optimizer = decaying(network)
    network.requires_grad_(False)
    lint = sn.lint(network, x, optimizer=optimizer)
    assert not lint.of(DECAYED)
    assert not lint.of("decayed-norm")


def test_the_optimizer_of_another_network():
    one, other = (nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6)) for _ in range(2))
    with pytest.raises(AnatomyError, match=r"holds none of them.*network.parameters"):
        sn.lint(one, torch.randn(MAPS), optimizer=decaying(other))
