"""An altered site does what the edit says, exactly, under every way a network is run and trained.

Source of truth: a twin of each network edited by hand (`gate` stands in its source), without taps and
without checkpoints; its outputs and the gradients of its parameters and inputs, in float64.
"""

import copy
import gc
import pickle
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from tests.anatomy.adversaries import Written
from tests.probes.recording import assert_same_tensors, inner, record
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import skipnorm as sn
from skipnorm.anatomy.alter import Edit, Occasion, altered
from skipnorm.errors import SurgeryError

# A reentrant checkpoint within a reentrant one says so, by torch alone too: its inputs are cut off.
pytestmark = pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True")

WIDTH = 8
DOUBLE = torch.float64


def fc(inputs: int = WIDTH, outputs: int = WIDTH) -> nn.Linear:
    return nn.Linear(inputs, outputs)


def vectors() -> Tensor:
    return torch.randn(5, WIDTH, dtype=DOUBLE)


def gated(gate: float) -> Edit:
    """The branch, gated at the addition."""
    return lambda at: torch.add(at["shortcut"], at["branch"], alpha=gate)


def outcome(run: Callable[[Tensor], Tensor], network: nn.Module, x: Tensor) -> list[Tensor | None]:
    """Output, gradient of the input and of every parameter, of a loss that weighs all entries."""
    network.zero_grad()
    x = x.detach().clone().requires_grad_()
    torch.manual_seed(3)  # for what is random in the network
    output = run(x)
    torch.linspace(-1, 2, output.numel(), dtype=output.dtype).reshape(output.shape).mul(
        output.square() + output
    ).sum().backward()
    return [output.detach(), x.grad, *(each.grad for each in network.parameters())]


def assert_same(found: list[Tensor | None], expected: list[Tensor | None], **how: float) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        if theirs is None:
            assert mine is None
        else:
            torch.testing.assert_close(mine, theirs, **(how or {"rtol": 1e-11, "atol": 1e-12}))


def assert_identical(found: list[Tensor | None], expected: list[Tensor | None]) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        assert mine is theirs or torch.equal(mine, theirs)


def assert_differ(found: list[Tensor | None], expected: list[Tensor | None]) -> None:
    pairs = list(zip(found, expected, strict=True))
    assert not torch.allclose(*pairs[0])
    assert any(one is not None and not torch.allclose(one, two) for one, two in pairs[2:])


# Gates on sums ------------------------------------------------------------------------------------


@dataclass
class Gated:
    """A network with one sum of interest, and the same with a gate in its source."""

    program: Callable[..., Tensor]
    twin: Callable[..., Tensor]
    site: str
    exact: bool = True  # the sum is a sum of its terms, bit for bit
    x: Tensor = field(default_factory=vectors)

    def network(self) -> Written:
        torch.manual_seed(11)
        parts = {"branch": nn.Sequential(fc(), nn.Tanh(), fc()), "gate": fc(), "head": fc()}
        return Written(self.program, **parts).double()


def around(inner: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda net, x: net.head(torch.tanh(inner(net, torch.sigmoid(x))))


def in_place(net: Any, x: Tensor) -> Tensor:
    y = net.branch(x)
    y += x
    return y


def statement(net: Any, x: Tensor) -> Tensor:
    y = net.branch(x)
    y.add_(x)
    return y


def seen_by_an_alias(net: Any, x: Tensor) -> Tensor:
    y = net.branch(x)
    alias = y.view(-1)
    y += x
    return alias.view(5, WIDTH)


def into_the_shortcut(net: Any, x: Tensor) -> Tensor:
    y = x * 1.0
    y += net.branch(x)
    return y


def into_out(net: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        y = torch.empty_like(x)
        torch.add(x, net.branch(x), out=y)
    return y + net.gate(x)


def highway(net: Any, x: Tensor, gate: float = 1.0) -> Tensor:
    t = torch.sigmoid(net.gate(x))
    return (1 - t) * x + gate * (t * net.branch(x))


def plain(net: Any, x: Tensor, gate: float) -> Tensor:
    return x + gate * net.branch(x)


def twin_around(inner: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda net, x, gate: net.head(torch.tanh(inner(net, torch.sigmoid(x), gate)))


SUMS = {
    "plain": Gated(around(lambda net, x: x + net.branch(x)), twin_around(plain), "add"),
    "reversed": Gated(around(lambda net, x: net.branch(x) + x), twin_around(plain), "add"),
    "in place": Gated(around(in_place), twin_around(plain), "add"),
    "statement": Gated(around(statement), twin_around(plain), "add"),
    "seen by an alias": Gated(around(seen_by_an_alias), twin_around(plain), "add"),
    "into the shortcut": Gated(around(into_the_shortcut), twin_around(plain), "add"),
    "torch.add": Gated(
        around(lambda net, x: torch.add(x, other=net.branch(x))), twin_around(plain), "add"
    ),
    "alpha": Gated(
        around(lambda net, x: torch.add(x, net.branch(x), alpha=0.3)),
        twin_around(lambda net, x, gate: x + gate * (0.3 * net.branch(x))),
        "add",
        exact=False,
    ),
    "difference": Gated(
        around(lambda net, x: x - net.branch(x)),
        twin_around(lambda net, x, gate: x - gate * net.branch(x)),
        "sub",
    ),
    "highway": Gated(around(lambda net, x: highway(net, x)), twin_around(highway), "add"),
    "lerp": Gated(
        around(lambda net, x: torch.lerp(x, net.branch(x), torch.sigmoid(net.gate(x)))),
        twin_around(highway),
        "lerp",
        exact=False,
    ),
    "lerp in place": Gated(
        around(lambda net, x: net.branch(x).lerp_(x, 0.25)),
        twin_around(lambda net, x, gate: 0.25 * x + gate * 0.75 * net.branch(x)),
        "lerp",
        exact=False,
    ),
    "addcmul": Gated(
        around(lambda net, x: torch.addcmul(x, torch.sigmoid(net.gate(x)), net.branch(x))),
        twin_around(lambda net, x, gate: x + gate * torch.sigmoid(net.gate(x)) * net.branch(x)),
        "addcmul",
        exact=False,
    ),
    "addcmul in place": Gated(
        around(lambda net, x: (x * 1.0).addcmul_(torch.sigmoid(net.gate(x)), net.branch(x))),
        twin_around(lambda net, x, gate: x + gate * torch.sigmoid(net.gate(x)) * net.branch(x)),
        "addcmul",
        exact=False,
    ),
    "stack": Gated(
        around(lambda net, x: torch.stack([x, net.branch(x)]).sum(0)), twin_around(plain), "sum"
    ),
    "mean of a stack": Gated(
        around(lambda net, x: torch.stack([net.branch(x), x], -1).mean(dim=-1)),
        twin_around(lambda net, x, gate: 0.5 * x + gate * 0.5 * net.branch(x)),
        "mean",
        exact=False,
    ),
}
every_sum = pytest.mark.parametrize("case", SUMS.values(), ids=list(SUMS))


@every_sum
def test_gate_1_changes_nothing(case: Gated) -> None:
    """Bit for bit where the network writes a sum of its terms, to rounding where it fuses a product."""
    network = case.network()
    anatomy = sn.anatomy(network, case.x.clone())
    expected = outcome(network, network, case.x)
    with altered(network, anatomy, {case.site: gated(1)}):
        found = outcome(network, network, case.x)
    if case.exact:
        assert_identical(found, expected)
    else:
        assert_same(found, expected)


@every_sum
@pytest.mark.parametrize("gate", [0.5, 0.0])
def test_a_gate_is_the_gate_written_by_hand(case: Gated, gate: float) -> None:
    network = case.network()
    anatomy = sn.anatomy(network, case.x.clone())
    untouched = outcome(network, network, case.x)
    expected = outcome(lambda x: case.twin(network, x, gate), network, case.x)
    with altered(network, anatomy, {case.site: gated(gate)}):
        found = outcome(network, network, case.x)
    assert_same(found, expected)
    assert_differ(found, untouched)


@every_sum
def test_the_original_call_is_at_hand(case: Gated) -> None:
    network = case.network()
    anatomy = sn.anatomy(network, case.x.clone())
    expected = outcome(network, network, case.x)
    with altered(network, anatomy, {case.site: lambda at: at.original()}):
        assert_identical(outcome(network, network, case.x), expected)


@every_sum
def test_a_learned_gate_learns(case: Gated) -> None:
    """The gradient of the gate, which needs the terms' values after an in-place sum overwrote one."""
    network = case.network()
    anatomy = sn.anatomy(network, case.x.clone())

    def slope(run: Callable[[Tensor], Tensor]) -> Tensor:
        (found,) = torch.autograd.grad(run(case.x.clone()).square().sum(), gate)
        return found

    gate = torch.tensor(0.7, dtype=DOUBLE, requires_grad=True)
    expected = slope(lambda x: case.twin(network, x, gate))
    edit: Edit = lambda at: at["shortcut"] + gate * at["branch"]  # noqa: E731
    with altered(network, anatomy, {case.site: edit}):
        found = slope(network)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@every_sum
def test_a_cut_removes_its_operand(case: Gated) -> None:
    """NaN and Inf in the branch never reach the output; multiplying by 0 would let them."""
    network = case.network()
    anatomy = sn.anatomy(network, case.x.clone())
    nn.init.constant_(network.branch[2].weight, float("inf"))
    assert not network(case.x.clone()).isfinite().all()
    with altered(network, anatomy, {case.site: lambda at: at["shortcut"]}):
        found = network(case.x.clone())
    assert found.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_gate_1_keeps_dtype_and_bits(dtype: torch.dtype) -> None:
    case = SUMS["in place"]
    network, x = case.network().to(dtype), case.x.to(dtype)
    anatomy = sn.anatomy(network, x.clone())
    expected = network(x.clone())
    with altered(network, anatomy, {"add": gated(1)}):
        found = network(x.clone())
    assert found.dtype is dtype
    assert torch.equal(found, expected)


def test_three_terms_of_a_stack_are_all_kept() -> None:
    """x + F(x) + G(x): gating one branch leaves the other terms as they are."""
    network = Written(
        lambda net, x: torch.stack([x, net.f(x), net.g(x)]).sum(0),
        f=fc(),
        g=nn.Sequential(fc(), nn.Tanh(), fc()),
    ).double()
    x = vectors()
    anatomy = sn.anatomy(network, x)
    with altered(network, anatomy, {"sum": gated(1)}):
        torch.testing.assert_close(network(x), x + network.f(x) + network.g(x))


def test_sum_into_out() -> None:
    """`out=` gets the edit's result, so that who holds that tensor sees it."""
    network = Written(into_out, branch=nn.Sequential(fc(), nn.Tanh(), fc()), gate=fc()).double()
    x = vectors()
    anatomy = sn.anatomy(network, x)
    with altered(network, anatomy, {"add": gated(0.5)}):
        found = network(x)
    torch.testing.assert_close(found, x + 0.5 * network.branch(x) + network.gate(x))


def test_concatenation_with_zeros_in_place_of_the_branch() -> None:
    network = Written(
        lambda net, x: net.head(torch.cat([torch.tanh(net.branch(x)), x], dim=1)),
        branch=fc(outputs=3),
        head=fc(inputs=3 + WIDTH),
    ).double()
    x = vectors()
    anatomy = sn.anatomy(network, x)

    def cut(at: Occasion) -> Tensor:
        return torch.cat([torch.zeros_like(at["branch"]), at["shortcut"]], 1)

    expected = outcome(
        lambda x: network.head(torch.cat([torch.zeros(5, 3, dtype=DOUBLE), x], 1)), network, x
    )
    with altered(network, anatomy, {"cat": cut}):
        found = outcome(network, network, x)
    found = [None if each is None or not each.any() else each for each in found]
    assert_same(found, expected)
    with altered(
        network, anatomy, {"cat": lambda at: torch.cat([at["branch"], at["shortcut"]], 1)}
    ):
        found = outcome(network, network, x)
    assert_identical(found, outcome(network, network, x))


# Norms and activations ----------------------------------------------------------------------------


class HandRMSNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(WIDTH) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


class OverwritingSwish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(x.sigmoid())


class Snake(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(x).square()


ONE_INPUT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "LayerNorm": (lambda: nn.LayerNorm(WIDTH), "act"),
    "BatchNorm": (lambda: nn.BatchNorm1d(WIDTH), "act"),
    "hand-written RMSNorm": (HandRMSNorm, "act"),
    "ReLU": (nn.ReLU, "act"),
    "ReLU in place": (lambda: nn.ReLU(inplace=True), "act"),
    "hand-written activation": (Snake, "act"),
    "hand-written activation in place": (OverwritingSwish, "act"),
    "functional": (lambda: Written(lambda net, x: F.gelu(x)), "act"),
    "functional in place": (lambda: Written(lambda net, x: F.relu_(x)), "act"),
    "method in place": (lambda: Written(lambda net, x: x.tanh_()), "act"),
}


def one_site(make: Callable[[], nn.Module]) -> Written:
    torch.manual_seed(11)
    return Written(
        lambda net, x: net.fc2(net.act(net.fc1(x))), fc1=fc(), act=make(), fc2=fc()
    ).double()


@pytest.mark.parametrize(("make", "stem"), ONE_INPUT.values(), ids=list(ONE_INPUT))
def test_removed(make: Callable[[], nn.Module], stem: str) -> None:
    """Its input in place of its output: as if the layer were not there."""
    network, x = one_site(make), vectors()
    (site,) = sn.anatomy(network, x).sites
    expected = outcome(lambda x: network.fc2(network.fc1(x)), network, x)
    with altered(network, sn.anatomy(network, x), {site.name: lambda at: at["input"]}):
        found = outcome(network, network, x)
    assert_same([None if each is not None and not each.any() else each for each in found], expected)


@pytest.mark.parametrize(("make", "stem"), ONE_INPUT.values(), ids=list(ONE_INPUT))
def test_replaced(make: Callable[[], nn.Module], stem: str) -> None:
    network, x = one_site(make), vectors()
    (site,) = sn.anatomy(network, x).sites
    expected = outcome(lambda x: network.fc2(torch.sin(network.fc1(x))), network, x)
    edits: dict[str, Edit] = {site.name: lambda at: torch.sin(at["input"])}
    with altered(network, sn.anatomy(network, x), edits):
        found = outcome(network, network, x)
    assert_same([None if each is not None and not each.any() else each for each in found], expected)


@pytest.mark.parametrize(("make", "stem"), ONE_INPUT.values(), ids=list(ONE_INPUT))
def test_scaled_output(make: Callable[[], nn.Module], stem: str) -> None:
    network, x = one_site(make), vectors()
    (site,) = sn.anatomy(network, x).sites
    expected = outcome(lambda x: network.fc2(0.5 * network.act(network.fc1(x))), network, x)
    with altered(network, sn.anatomy(network, x), {site.name: lambda at: 0.5 * at.original()}):
        found = outcome(network, network, x)
    assert_same(found, expected)


def test_hand_written_norm_called_by_name() -> None:
    network = Written(
        lambda net, x: net.fc2(net.norm(x=net.fc1(x))), fc1=fc(), norm=HandRMSNorm(), fc2=fc()
    ).double()
    x = vectors()
    anatomy = sn.anatomy(network, x)
    assert len(anatomy.norms) == 1
    with altered(network, anatomy, {anatomy.norms[0].name: lambda at: at["input"]}):
        found = network(x)
    torch.testing.assert_close(found, network.fc2(network.fc1(x)))


PORTED: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "signal times its inverse size": lambda net, x: x * x.pow(2).mean(-1, True).rsqrt(),
    "inverse size times signal": lambda net, x: x.pow(2).mean(-1, True).rsqrt() * x,
    "signal over its size": lambda net, x: x / x.pow(2).mean(-1, True).sqrt(),
    "where": lambda net, x: torch.where(x > 0, x, 0.1 * x),
    "maximum": lambda net, x: torch.maximum(0.1 * x, x),
    "maximum with zero": lambda net, x: torch.maximum(torch.zeros(()).to(x), x),
    "clamp by name": lambda net, x: torch.clamp(min=0, input=x),
    "relu by name": lambda net, x: F.relu(input=x),
    "layer norm by name": lambda net, x: F.layer_norm(normalized_shape=(WIDTH,), input=x),
    "glu": lambda net, x: torch.cat([F.glu(x), F.glu(x)], -1),
    "sum by name": lambda net, x: torch.add(other=net.fc2(x), input=x),
    "concatenation by name": lambda net, x: torch.cat(tensors=[x, net.fc2(x)], dim=0),
    "hstack": lambda net, x: torch.hstack((net.fc2(x), x)),
    "product of matrices added": lambda net, x: torch.addmm(x, x, net.fc2.weight),
    "difference, reversed": lambda net, x: torch.rsub(net.fc2(x), x),
    "gated": lambda net, x: torch.addcmul(x, torch.sigmoid(net.fc1(x)), net.fc2(x), value=0.3),
}


@pytest.mark.parametrize("program", PORTED.values(), ids=list(PORTED))
def test_an_edit_gets_the_ports_that_a_probe_reads(program: Callable[..., Tensor]) -> None:
    """Reading and altering are one mechanism: `input`, `shortcut`, `branch` are the same tensors."""
    network = Written(
        lambda net, x: net.inner(net.stem(x)),
        stem=fc(),
        inner=Written(program, fc1=fc(), fc2=fc()),
    ).double()
    x = vectors()
    anatomy = sn.anatomy(network, x)
    assert anatomy.sites
    found: dict[str, Tensor] = {}

    def listening(name: str) -> Edit:
        def edit(at: Occasion) -> Tensor:
            for port in at.ports:
                found[f"{name}:{port}"] = at[port].detach().clone()
            found[f"{name}:output"] = at.original().detach().clone()
            return at.original()

        return edit

    with altered(network, anatomy, {site.name: listening(site.name) for site in anatomy}):
        output = network(x)
    recording = record(network, (x, torch.ones_like(output)), loss=inner)
    assert_same_tensors(found, recording.values)


# Modules called several times; other ways in ------------------------------------------------------


class Block(nn.Module):
    """Two residual steps: what the first sum passes on is saved for the gradient of the second."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1, self.fc2, self.drop = fc(), fc(), nn.Dropout(dropout)

    def forward(self, x: Tensor, gate: float = 1.0) -> Tensor:
        h = torch.add(x, self.drop(torch.tanh(self.fc1(x))), alpha=gate)
        return h + torch.tanh(self.fc2(h))


@pytest.mark.parametrize("which", [1, 2, 3])
def test_one_call_of_a_shared_module(which: int) -> None:
    network = Written(lambda net, x: net.block(net.block(net.block(x))), block=Block()).double()
    x, block = vectors(), network.block
    gates = [0.5 if which == number else 1.0 for number in (1, 2, 3)]
    expected = outcome(lambda x: block(block(block(x, gates[0]), gates[1]), gates[2]), network, x)
    site = "block.add" if which == 1 else f"block#{which}.add"
    with altered(network, sn.anatomy(network, x), {site: gated(0.5)}):
        found = outcome(network, network, x)
    assert_same(found, expected)


class Backbone(nn.Module):
    """As timm's: features first, then a head; either may be called from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = Block(), Block(), fc()

    def forward_features(self, x: Tensor, gate: float = 1.0) -> Tensor:
        x = torch.tanh(self.first(x, gate))
        return x + gate * self.second(x, gate) if gate != 1 else x + self.second(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))

    def rollout(self, x: Tensor, steps: int, gate: float | None = None) -> Tensor:
        for _ in range(steps):
            x = self(x) if gate is None else self.head(self.forward_features(x, gate))
        return x


EVERY_GATE = {name: gated(0.5) for name in ("first.add", "second.add", "add")}


def test_a_second_entry_point() -> None:
    network, x = Backbone().double(), vectors()
    anatomy = sn.anatomy(network, x)
    expected = outcome(lambda x: network.forward_features(x, 0.5), network, x)
    with altered(network, anatomy, EVERY_GATE):
        found = outcome(network.forward_features, network, x)
    assert_same(found, expected)


def test_a_submodule_called_directly() -> None:
    network, x = Backbone().double(), vectors()
    expected = outcome(lambda x: network.second(x, 0.5), network, x)
    with altered(network, sn.anatomy(network, x), EVERY_GATE):
        found = outcome(network.second, network, x)
        inner = network.second.fc1
        assert torch.equal(inner(x), F.linear(x, inner.weight, inner.bias))
    assert_same(found, expected)


def test_several_calls_of_the_network_in_one_context() -> None:
    network, x = Backbone().double(), vectors()
    expected = [network.head(network.forward_features(each, 0.5)) for each in (x, 2 * x)]
    with altered(network, sn.anatomy(network, x), EVERY_GATE):
        found = [network(each) for each in (x, 2 * x)]
    assert_same(list(found), list(expected))


def test_a_method_that_runs_the_network_several_times() -> None:
    """`generate` and the like: every forward of the loop is the network's, and is altered."""
    network, x = Backbone().double(), vectors()
    expected = outcome(lambda x: network.rollout(x, 3, gate=0.5), network, x)
    with altered(network, sn.anatomy(network, x), EVERY_GATE):
        found = outcome(lambda x: network.rollout(x, 3), network, x)
    assert_same(found, expected)


# Gradient checkpointing ---------------------------------------------------------------------------


class Checkpointed(nn.Module):
    """A shared and a single block; `manner` says what is checkpointed, the result is always the same."""

    def __init__(self, manner: str, reentrant: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.block, self.other = Block(dropout), Block(dropout)
        self.manner, self.reentrant = manner, reentrant

    def again(self, function: Callable[..., Tensor], *inputs: Any) -> Tensor:
        return checkpoint(function, *inputs, use_reentrant=self.reentrant)

    def shared_once(self, x: Tensor) -> Tensor:
        return self.block(x)

    def shared_twice(self, x: Tensor) -> Tensor:
        return self.block(self.block(x))

    def nested(self, x: Tensor) -> Tensor:
        return self.again(self.block, self.again(self.block, x))

    def rest(self, x: Tensor) -> Tensor:
        return self.other(x)

    def forward(self, x: Tensor) -> Tensor:
        match self.manner:
            case "modules":
                for module in (self.block, self.block, self.other):
                    x = self.again(module, x)
            case "bound forwards":
                for module in (self.block, self.block, self.other):
                    x = self.again(module.forward, x)
            case "some modules":
                x = self.other(self.again(self.block, self.block(x)))
            case "method":
                x = self.again(self.rest, self.again(self.shared_twice, x))
            case "method twice":
                x = self.again(self.shared_once, self.again(self.shared_once, x))
                x = self.other(x)
            case "method after a call":
                x = self.other(self.again(self.shared_once, self.block(x)))
            case "nested":
                x = self.again(self.rest, self.again(self.nested, x))
            case "closure over modules":
                x = self.again(lambda h: self.other(self.block(self.block(h))), x)
            case "two closures":
                x = self.again(lambda h: self.block(h), self.again(lambda h: self.block(h), x))
                x = self.again(lambda h: self.other(h), x)
            case "sequential":
                run = [self.block, self.block, self.other]
                x = checkpoint_sequential(run, 2, x, use_reentrant=self.reentrant)
            case _:
                raise AssertionError(self.manner)
        return x

    def by_hand(self, x: Tensor, gates: Mapping[str, float]) -> Tensor:
        x = self.block(x, gates.get("block.add", 1.0))
        x = self.block(x, gates.get("block#2.add", 1.0))
        return self.other(x, gates.get("other.add", 1.0))


MANNERS = (
    "modules",
    "bound forwards",
    "some modules",
    "method",
    "method twice",
    "method after a call",
    "nested",
    "closure over modules",
    "two closures",
    "sequential",
)
every_checkpoint = pytest.mark.parametrize("reentrant", [False, True], ids=["modern", "reentrant"])


def assert_checkpointed_as_by_hand(
    network: Checkpointed,
    gates: Mapping[str, float],
    *,
    run: Callable[..., Tensor] | None = None,
    by_hand: Callable[..., Tensor] | None = None,
) -> None:
    """Right, or refused: a checkpoint that cannot be followed must not go by in silence."""
    x = vectors()
    expected = outcome(by_hand or (lambda x: network.by_hand(x, gates)), network, x)
    anatomy = sn.anatomy(network, x)
    try:
        with altered(network, anatomy, {name: gated(gate) for name, gate in gates.items()}):
            found = outcome(run or network, network, x)
    except SurgeryError:
        return
    assert_same(found, expected)


@every_checkpoint
@pytest.mark.parametrize("site", ["block.add", "block#2.add", "other.add"])
@pytest.mark.parametrize("manner", MANNERS)
def test_under_gradient_checkpointing(manner: str, site: str, reentrant: bool) -> None:
    assert_checkpointed_as_by_hand(Checkpointed(manner, reentrant).double(), {site: 0.5})


@every_checkpoint
@pytest.mark.parametrize("manner", ["modules", "method", "nested"])
def test_checkpointed_modules_and_methods_are_not_refused(manner: str, reentrant: bool) -> None:
    """The ways that the issue names must work; for them a refusal is no answer."""
    network, x = Checkpointed(manner, reentrant).double(), vectors()
    anatomy = sn.anatomy(network, x)
    with altered(network, anatomy, {"other.add": gated(0.5), "block.add": gated(0.5)}):
        found = outcome(network, network, x)
    gates = {"other.add": 0.5, "block.add": 0.5}
    assert_same(found, outcome(lambda x: network.by_hand(x, gates), network, x))


@every_checkpoint
@pytest.mark.parametrize("manner", ["modules", "method", "nested"])
def test_under_checkpointing_with_dropout(manner: str, reentrant: bool) -> None:
    """The recomputation draws the same masks (preserve_rng_state), altered or not."""
    network = Checkpointed(manner, reentrant, dropout=0.5).double()
    assert_checkpointed_as_by_hand(network, {"block#2.add": 0.5, "other.add": 2.0})


@every_checkpoint
def test_two_forwards_before_one_backward(reentrant: bool) -> None:
    """Contrastive losses do this: recomputations of the first pass come after the second began."""
    network = Checkpointed("modules", reentrant).double()
    gates = {"block.add": 0.5, "block#2.add": 2.0}
    assert_checkpointed_as_by_hand(
        network,
        gates,
        run=lambda x: network(x) * network(2 * x),
        by_hand=lambda x: network.by_hand(x, gates) * network.by_hand(2 * x, gates),
    )


@every_checkpoint
@pytest.mark.parametrize("pack", [tuple, list, dict])
def test_shared_checkpointed_module_with_packed_inputs(pack: type, reentrant: bool) -> None:
    """Inputs in a tuple, list or dict, as blocks with masks or caches take them."""

    class Packed(Block):
        def forward(self, inputs: Any, gate: float = 1.0) -> Tensor:
            (x,) = inputs.values() if isinstance(inputs, dict) else inputs
            return super().forward(x, gate)

    def packed(x: Tensor) -> Any:
        return {"x": x} if pack is dict else pack([x])

    def program(net: Any, x: Tensor) -> Tensor:
        x = net.stem(x)
        x = checkpoint(net.block, packed(x), use_reentrant=reentrant)
        return checkpoint(net.block, packed(x), use_reentrant=reentrant)

    network = Written(program, stem=fc(), block=Packed()).double()
    if reentrant:
        pytest.skip("torch: reentrant checkpoints see no gradient of packed inputs")
    assert_checkpointed_as_by_hand(
        network,
        {"block.add": 0.5},
        by_hand=lambda x: network.block(packed(network.block(packed(network.stem(x)), 0.5))),
    )


@every_checkpoint
@pytest.mark.parametrize("view", ["itself", "slice", "detach", "view"])
def test_shared_checkpointed_module_on_the_same_memory(view: str, reentrant: bool) -> None:
    """Two calls on tensors at the same address: right, or a SurgeryError that says what to do."""
    views: dict[str, Callable[[Tensor], Tensor]] = {
        "itself": lambda h: h,
        "slice": lambda h: h[:2],
        "detach": lambda h: h.detach(),
        "view": lambda h: h.view(5, WIDTH),
    }

    def program(net: Any, x: Tensor) -> Tensor:
        h = torch.tanh(net.stem(x))
        one = checkpoint(net.block, h, use_reentrant=reentrant)
        two = checkpoint(net.block, views[view](h), use_reentrant=reentrant)
        return torch.cat([one, 3 * two])

    def by_hand(x: Tensor) -> Tensor:
        h = torch.tanh(network.stem(x))
        return torch.cat([network.block(h), 3 * network.block(views[view](h), 0.5)])

    network = Written(program, stem=fc(), block=Block()).double()
    if view == "detach" and reentrant:
        pytest.skip("torch: a reentrant checkpoint of detached inputs has no gradient")
    assert_checkpointed_as_by_hand(network, {"block#2.add": 0.5}, by_hand=by_hand)


@every_checkpoint
@pytest.mark.parametrize("site", ["block.add", "block#2.add"])
def test_same_input_twice_into_a_shared_checkpointed_module(site: str, reentrant: bool) -> None:
    """The two calls differ in nothing but their turn: told apart, or refused."""

    def program(net: Any, x: Tensor) -> Tensor:
        h = torch.tanh(net.stem(x))
        one = checkpoint(net.block, h, use_reentrant=reentrant)
        return one + 3 * checkpoint(net.block, h, use_reentrant=reentrant)

    def by_hand(x: Tensor) -> Tensor:
        h, gates = torch.tanh(network.stem(x)), (0.5, 1.0) if site == "block.add" else (1.0, 0.5)
        return network.block(h, gates[0]) + 3 * network.block(h, gates[1])

    network = Written(program, stem=fc(), block=Block()).double()
    assert_checkpointed_as_by_hand(network, {site: 0.5}, by_hand=by_hand)


@every_checkpoint
def test_a_backward_after_the_context_is_exact_or_refused(reentrant: bool) -> None:
    """Its recomputation finds the network restored: the gradient must not be a mixture of the two."""
    network, x = Checkpointed("modules", reentrant).double(), vectors()
    gates = {"block.add": 0.5}
    expected = outcome(lambda x: network.by_hand(x, gates), network, x)

    def run(x: Tensor) -> Tensor:
        with altered(network, anatomy, {"block.add": gated(0.5)}):
            return network(x)

    anatomy = sn.anatomy(network, x)
    try:
        found = outcome(run, network, x)
    except SurgeryError:
        return
    assert_same(found, expected)


@every_checkpoint
@pytest.mark.parametrize("times", [1, 2])
def test_a_site_in_a_checkpointed_closure_is_exact_or_refused(times: int, reentrant: bool) -> None:
    """A bare function announces nothing: its recomputation must not run as the network wrote it."""

    def segment(net: Any, h: Tensor, gate: float = 1.0) -> Tensor:
        return h * torch.tanh(net.fc2(torch.add(h, torch.tanh(net.fc1(h)), alpha=gate)))

    def program(net: Any, x: Tensor) -> Tensor:
        x = torch.sigmoid(net.stem(x))
        for _ in range(times):
            x = checkpoint(lambda h: segment(net, h), x, use_reentrant=reentrant)
        return x

    def by_hand(x: Tensor) -> Tensor:
        x = torch.sigmoid(network.stem(x))
        for call in range(times):
            x = segment(network, x, 0.5 if call == times - 1 else 1.0)
        return x

    network = Written(program, stem=fc(), fc1=fc(), fc2=fc()).double()
    site = "add" if times == 1 else "add#2"
    assert_checkpointed_as_by_hand(network, {site: 0.5}, by_hand=by_hand)


@every_checkpoint
def test_a_site_beside_a_checkpointed_closure_is_altered(reentrant: bool) -> None:
    def program(net: Any, x: Tensor) -> Tensor:
        h = checkpoint(lambda h: torch.tanh(net.fc1(h) + h), x, use_reentrant=reentrant)
        return torch.tanh(x + net.fc2(h))

    network = Written(program, fc1=fc(), fc2=fc()).double()
    x = vectors()
    anatomy = sn.anatomy(network, x.requires_grad_())

    def by_hand(x: Tensor) -> Tensor:
        return torch.tanh(x + 0.5 * network.fc2(torch.tanh(network.fc1(x) + x)))

    expected = outcome(by_hand, network, x)
    with altered(network, anatomy, {"add#2": gated(0.5)}):
        assert_same(outcome(network, network, x), expected)


@every_checkpoint
def test_altered_activation_in_a_checkpointed_module(reentrant: bool) -> None:
    """The recomputed value of an altered activation is what the next layer's gradient uses."""

    def program(net: Any, x: Tensor) -> Tensor:
        return checkpoint(net.mlp, net.stem(x), use_reentrant=reentrant)

    mlp = nn.Sequential(fc(), nn.ReLU(inplace=True), fc(), HandRMSNorm(), fc())
    network = Written(program, stem=fc(), mlp=mlp).double()
    x = vectors()
    edits: dict[str, Edit] = {
        "mlp.1": lambda at: torch.sin(at["input"]),
        "mlp.3": lambda at: torch.cos(at["input"]),
    }

    def by_hand(x: Tensor) -> Tensor:
        h = torch.cos(mlp[2](torch.sin(mlp[0](network.stem(x)))))
        return mlp[4](h)

    expected = outcome(by_hand, network, x)
    with altered(network, sn.anatomy(network, x), edits):
        found = outcome(network, network, x)
    found = [None if each is not None and not each.any() else each for each in found]
    assert_same(found, expected)


# In training --------------------------------------------------------------------------------------


def test_a_training_run_is_that_of_the_twin() -> None:
    """Ten steps of SGD with momentum: the weights end where those of the edited source end."""

    def trained(network: nn.Module, run: Callable[[Tensor], Tensor]) -> list[Tensor]:
        optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
        torch.manual_seed(0)
        for _ in range(10):
            optimiser.zero_grad()
            x = torch.randn(5, WIDTH, dtype=DOUBLE)
            (run(x) - x.flip(1)).square().mean().backward()
            optimiser.step()
        return list(network.parameters())

    torch.manual_seed(1)
    network = Checkpointed("modules", reentrant=False).double()
    twin = copy.deepcopy(network)
    gates = {"block#2.add": 0.5, "other.add": 0.25}
    edits = {name: gated(gate) for name, gate in gates.items()}
    with altered(network, sn.anatomy(network, vectors()), edits):
        found = trained(network, network)
    expected = trained(twin, lambda x: twin.by_hand(x, gates))
    assert_same(list(found), list(expected), rtol=1e-9, atol=1e-11)


def test_evaluation_without_gradient_and_inference_mode() -> None:
    network, x = Backbone().double().eval(), vectors()
    anatomy = sn.anatomy(network, x)
    expected = network.head(network.forward_features(x, 0.5)).detach()
    with altered(network, anatomy, EVERY_GATE):
        with torch.no_grad():
            torch.testing.assert_close(network(x), expected)
        with torch.inference_mode():
            torch.testing.assert_close(network(x), expected)


# The network afterwards; contexts within contexts -------------------------------------------------


def state_of(network: nn.Module) -> Any:
    return [
        (name, type(module), sorted(vars(module)), list(module.state_dict()), repr(module))
        for name, module in network.named_modules()
    ]


class Boom(Exception):
    """Raised in the midst of it."""


@pytest.mark.parametrize("where", ["nowhere", "body", "edit"])
def test_everything_is_as_it_was_afterwards(where: str) -> None:
    network, x = Backbone().double(), vectors()
    anatomy, before, expected = sn.anatomy(network, x), state_of(network), network(x)

    def edit(at: Occasion) -> Tensor:
        if where == "edit":
            raise Boom
        return at["shortcut"]

    try:
        with altered(network, anatomy, {"add": edit}):
            network(x)
            if where == "body":
                raise Boom
    except Boom:
        assert where != "nowhere"
    assert state_of(network) == before
    assert torch.equal(network(x), expected)


def test_within_the_context_the_network_is_still_itself() -> None:
    network, x = Backbone().double(), vectors()
    anatomy, keys, text = sn.anatomy(network, x), list(network.state_dict()), repr(network)
    with altered(network, anatomy, EVERY_GATE):
        assert isinstance(network, Backbone)
        assert isinstance(network.first, Block)
        assert list(network.state_dict()) == keys
        assert repr(network) == text
        swapped = {name: 2 * value.detach() for name, value in network.named_parameters()}
        found = torch.func.functional_call(network, swapped, (x,))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    torch.testing.assert_close(found, network.head(network.forward_features(x, 0.5)))


def test_functional_gradients_see_the_alteration() -> None:
    network, x = Backbone().double(), vectors()
    parameters = {name: value.detach() for name, value in network.named_parameters()}

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(network, parameters, (x,)).square().sum()

    with altered(network, sn.anatomy(network, x), EVERY_GATE):
        found = torch.func.grad(loss)(parameters)
    network.head(network.forward_features(x, 0.5)).square().sum().backward()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)


def test_a_copy_made_within_the_context_is_plain() -> None:
    """An averaged copy of the weights, say: of the class of its original, and saved as that."""
    network, x = Backbone().double(), vectors()
    expected = network(x)
    with altered(network, sn.anatomy(network, x), EVERY_GATE):
        copied = copy.deepcopy(network)
    assert torch.equal(copied(x), expected)
    assert type(copied) is Backbone
    assert type(copied.first) is Block
    assert torch.equal(pickle.loads(pickle.dumps(copied))(x), expected)


def test_a_pickle_made_within_the_context_is_plain() -> None:
    network, x = Backbone().double(), vectors()
    expected = network(x)
    with altered(network, sn.anatomy(network, x), EVERY_GATE):
        kept = pickle.dumps(network)
    assert type(pickle.loads(kept)) is Backbone
    assert torch.equal(pickle.loads(kept)(x), expected)


def test_a_context_within_a_context_holds_both_or_is_refused() -> None:
    """The worst of all: the outer alteration silently asleep while the inner one is in force."""
    network, x = Backbone().double(), vectors()
    anatomy = sn.anatomy(network, x)
    by_hand = lambda: network.head(  # noqa: E731
        (lambda h: h + 0.5 * network.second(h, 0.5))(torch.tanh(network.first(x, 0.5)))
    )
    expected = by_hand()
    with altered(network, anatomy, {"first.add": gated(0.5), "second.add": gated(0.5)}):
        outer = network(x)
        try:
            with altered(network, anatomy, {"add": gated(0.5)}):
                both = network(x)
        except SurgeryError:
            both = expected
        assert torch.equal(network(x), outer)
    torch.testing.assert_close(both, expected)


def test_measuring_within_a_context_reads_the_altered_network_or_is_refused() -> None:
    """A measurement of a cut network must not be one of the whole."""
    network, x = Backbone().double(), vectors()
    anatomy = sn.anatomy(network, x)
    with altered(network, anatomy, {"add": lambda at: at["shortcut"]}):
        expected = float(network(x).sum().detach())
        try:
            evidence = sn.measure(network, (x, torch.ones_like(x)), loss="inner_product")
        except sn.SkipnormError:
            return
    assert float(evidence.attrs["loss"]) == pytest.approx(expected)


def test_two_networks_altered_at_once() -> None:
    one, two, x = Backbone().double(), Backbone().double(), vectors()
    expected = [net.head(net.forward_features(x, 0.5)) for net in (one, two)]
    with (
        altered(one, sn.anatomy(one, x), EVERY_GATE),
        altered(two, sn.anatomy(two, x), EVERY_GATE),
    ):
        found = [one(x), two(x)]
    assert_same(list(found), list(expected))


def test_nothing_stays_alive_afterwards() -> None:
    network, x = Checkpointed("modules", reentrant=False).double(), vectors()
    weight = weakref.ref(network.block.fc1.weight)
    with altered(network, sn.anatomy(network, x), {"block#2.add": gated(0.5)}):
        outcome(network, network, x)
    del network
    gc.collect()
    assert weight() is None


# Mistakes -----------------------------------------------------------------------------------------


def test_an_unknown_site_is_answered_with_the_nearest() -> None:
    network, x = Backbone(), torch.randn(5, WIDTH)
    with (
        pytest.raises(SurgeryError, match=r"found 'frist\.add'.*Did you mean 'first\.add'"),
        altered(network, sn.anatomy(network, x), {"frist.add": gated(1)}),
    ):
        pass


def test_an_unknown_port_is_answered_with_the_nearest() -> None:
    network, x = Backbone(), torch.randn(5, WIDTH)
    with (
        altered(network, sn.anatomy(network, x), {"add": lambda at: at["shortcuts"]}),
        pytest.raises(SurgeryError, match="Did you mean 'shortcut'"),
    ):
        network(x)
