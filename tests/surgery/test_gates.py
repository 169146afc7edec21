"""Skips cut and scaled are what the same edit in the source gives, however the network writes its sum or is run.

Source of truth: twins edited by hand, and the original network itself where nothing changes.
"""

import copy
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.anatomy.adversaries import Written
from tests.anatomy.test_altering import (
    SUMS,
    Gated,
    assert_differ,
    assert_identical,
    assert_same,
    every_sum,
    fc,
    outcome,
    vectors,
)
from tests.surgery.patients import Inline, patient
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import skipnorm as sn
from skipnorm.errors import SurgeryError
from skipnorm.surgery.gates import is_gated

Terms = list[Tensor | None]
every_checkpoint = pytest.mark.parametrize("reentrant", [False, True], ids=["modern", "reentrant"])


def scaled(network: nn.Module, x: Tensor, where: Any = "*", **settings: Any) -> nn.Module:
    return sn.operate(network, sn.ScaleSkips(where=where, **settings), inputs=x.clone())


def ran(network: nn.Module, x: Tensor) -> Terms:
    return outcome(network, network, x)


# Sums ---------------------------------------------------------------------------------------------


@every_sum
@pytest.mark.parametrize("port", ["branch", "shortcut"])
def test_gate_1_is_bit_identical_and_gate_a_half_changes_output_and_gradients(
    case: Gated, port: str
) -> None:
    """By the same code: the two networks differ in a number."""
    network = case.network()
    expected = ran(network, case.x)
    one = scaled(network, case.x, case.site, **{port: 1.0})
    half = scaled(network, case.x, case.site, **{port: 0.5})
    (assert_identical if case.exact else assert_same)(ran(one, case.x), expected)
    assert_differ(ran(half, case.x), expected)
    assert [type(module) for module in one.modules()] == [type(module) for module in half.modules()]


@every_sum
@pytest.mark.parametrize("gate", [0.5, 0.0, -2.0])
def test_a_scaled_branch_is_the_one_scaled_in_the_source(case: Gated, gate: float) -> None:
    network = case.network()
    expected = outcome(lambda x: case.twin(network, x, gate), network, case.x)
    found = ran(scaled(network, case.x, case.site, branch=gate), case.x)
    assert_same(blank(found), blank(expected))


@every_sum
def test_a_learned_gate_of_1_changes_nothing_and_has_the_gradient_of_the_branch(
    case: Gated,
) -> None:
    network = case.network()
    altered = scaled(network, case.x, case.site, branch=1.0, learnable=True)
    added = [key for key, _ in altered.named_parameters() if key.endswith("branch_scale")]
    gate = altered.get_parameter(*added)
    found = ran(altered, case.x)
    by_hand = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    expected = outcome(lambda x: case.twin(network, x, by_hand), network, case.x)
    assert_same([each for each in found if each is not gate.grad], expected)
    torch.testing.assert_close(gate.grad, by_hand.grad, rtol=1e-10, atol=1e-12)


def blank(found: Terms) -> Terms:
    """No gradient and a gradient of zeros say the same."""
    return [None if each is None or not each.any() else each for each in found]


@every_sum
def test_a_dropped_branch_lets_no_nan_into_output_or_gradients(case: Gated) -> None:
    """Of what was cut nothing is left: not even 0 times infinity, forward or backward."""
    network, x = case.network(), case.x
    altered = sn.operate(network, sn.DropBranches(where=case.site), inputs=x.clone())
    clean = ran(altered, x)
    nn.init.constant_(altered.branch[2].weight, float("nan"))
    found = ran(altered, x)
    if case.site in ("sum", "mean"):  # torch.stack was called before, and sends zeros back
        found, clean = found[:1], clean[:1]
    for mine, theirs in zip(blank(found), blank(clean), strict=True):
        assert (mine is None and theirs is None) or torch.equal(mine, theirs)


def test_a_cut_shortcut_lets_no_nan_into_output_or_gradients() -> None:
    """The shortcut overflows, and what made it has infinite weights; the branch knows nothing of them."""
    network = Written(
        lambda net, x: net.head(net.first(x) + torch.tanh(net.second(net.first(x)))),
        first=nn.Identity(),
        second=fc(),
        head=fc(),
    ).double()
    x = vectors()
    altered = sn.operate(network, sn.CutSkips(), inputs=x)
    clean = ran(altered, x)
    altered.first.register_forward_hook(_poisoned_shortcut())
    found = ran(altered, x)
    assert_identical(found, clean)


def _poisoned_shortcut() -> Callable[..., Tensor]:
    calls = iter((float("inf"), 1.0))  # the first call makes the shortcut, the second the branch
    return lambda module, args, output: output * next(calls)


@pytest.mark.parametrize("operation", [sn.CutSkips, sn.DropBranches])
def test_a_cut_concatenation_has_zeros_in_place_of_what_was_cut(operation: Any) -> None:
    network = Written(
        lambda net, x: net.head(torch.cat([torch.tanh(net.branch(x)), x], dim=1)),
        branch=fc(outputs=3),
        head=fc(inputs=11),
    ).double()
    x = vectors()
    altered = sn.operate(network, operation(), inputs=x)

    def by_hand(x: Tensor) -> Tensor:
        branch = torch.tanh(network.branch(x))
        if operation is sn.CutSkips:
            return network.head(torch.cat([branch, torch.zeros_like(x)], 1))
        return network.head(torch.cat([torch.zeros_like(branch), x], 1))

    assert_same(blank(ran(altered, x)), blank(outcome(by_hand, network, x)))
    with torch.no_grad():
        altered.branch.weight.fill_(float("nan"))
    output = altered(x * float("nan") if operation is sn.CutSkips else x)
    assert output.isfinite().all() == (operation is sn.DropBranches)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("site", ["plain", "in place"])
def test_types_and_bits_stay(dtype: torch.dtype, site: str) -> None:
    case = SUMS[site]
    network, x = case.network().to(dtype), case.x.to(dtype)
    assert torch.equal(scaled(network, x, branch=1.0)(x), network(x))
    learned = scaled(network, x, branch=1.0, learnable=True)
    assert torch.equal(learned(x), network(x))
    for settings in ({"branch": 0.0}, {"shortcut": 0.0}, {"branch": 0.3, "learnable": True}):
        assert scaled(network, x, **settings)(x).dtype is dtype


def test_what_autocast_makes_of_a_sum_stays() -> None:
    network, x = SUMS["plain"].network().float(), vectors().float()
    altered = scaled(network, x, branch=1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(altered(x), network(x))


# Entry points -------------------------------------------------------------------------------------


def test_every_method_of_the_network_is_operated() -> None:
    network, x = Inline().double(), torch.randn(5, 8, dtype=torch.float64)
    altered = sn.operate(network, sn.CutSkips(where="add*"), inputs=x)
    h = network.third(network.second(F.relu(network.first(F.layer_norm(x, (8,), network.scale)))))
    expected = torch.cat([h, torch.sigmoid(network.fourth(h))], 1)
    torch.testing.assert_close(altered.features(x), expected)
    torch.testing.assert_close(altered(x), network.head(expected))
    assert torch.equal(altered.__call__(x), altered.forward(x))


def test_a_submodule_called_directly_is_operated() -> None:
    made = patient("resnet")
    altered = sn.operate(made.network, sn.CutSkips(), inputs=made.x)
    h = torch.randn(2, 4, 7, dtype=torch.float64)
    block = made.network.blocks[1]
    expected = block.act2(block.branch(h)) if hasattr(block, "act2") else None
    assert expected is not None
    torch.testing.assert_close(altered.blocks[1](h), expected)
    torch.testing.assert_close(altered.blocks[1].branch(h), block.branch(h))


# Functional transforms ----------------------------------------------------------------------------


def test_vmap_and_grad_go_through() -> None:
    """Gradients of single samples: those of one sample after the other."""
    made = patient("inline")
    network = sn.operate(
        made.network, sn.ScaleSkips(branch=0.3, learnable=True, where="add*"), inputs=made.x
    )
    weights = {key: value.detach() for key, value in network.named_parameters()}

    def loss(weights: dict[str, Tensor], sample: Tensor) -> Tensor:
        return torch.func.functional_call(network, weights, (sample[None],)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, made.x)
    for row, sample in enumerate(made.x):
        network.zero_grad()
        network(sample[None]).square().sum().backward()
        for key, parameter in network.named_parameters():
            torch.testing.assert_close(each[key][row], parameter.grad)
    assert any(key.endswith("branch_scale") for key in each)


# Gradient checkpointing ---------------------------------------------------------------------------


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(8), fc()

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.linear(self.norm(x)))


class Deep(nn.Module):
    """Blocks in checkpoints of four kinds; `reentrant` None: without."""

    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.stem, self.a, self.b, self.c = fc(), Residual(), Residual(), fc()
        self.row = nn.Sequential(Residual(), Residual())

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.stem(x))
        x = self.kept(self.a, x)
        x = self.kept(self.b, self.kept(self.a, x))  # one block twice
        x = self.kept(lambda h: h + torch.tanh(self.c(h)), x)  # a bare function
        if self.reentrant is None:
            return self.row(x)
        return checkpoint_sequential(self.row, 2, x, use_reentrant=self.reentrant)

    def kept(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return (
            function(x)
            if self.reentrant is None
            else checkpoint(function, x, use_reentrant=self.reentrant)
        )


SURGERIES: dict[str, tuple[sn.Operation, ...]] = {
    "cut all": (sn.CutSkips(),),
    "cut one run of a block": (sn.CutSkips(where="a#2.add"),),
    "the bare function's sum": (sn.ScaleSkips(branch=0.5, where="add"),),
    "learned": (sn.ScaleSkips(branch=0.5, learnable=True),),
    "two gates": (sn.ScaleSkips(branch=0.5), sn.ScaleSkips(shortcut=0.8, where="[ab]*")),
    "two gates on the bare function": (
        sn.ScaleSkips(branch=0.5, where="add"),
        sn.ScaleSkips(shortcut=0.8, where="add"),
    ),
    "gates and norms": (
        sn.ScaleSkips(branch=0.5),
        sn.SwapNorm(to="rms"),
        sn.InsertNorm(to="layer", where="[bc]*"),
    ),
    "norms, one run only": (sn.SwapNorm(to="rms", where="a.norm"), sn.CutSkips(where="b*")),
}


@every_checkpoint
@pytest.mark.parametrize("surgery", SURGERIES)
def test_gradients_are_the_same_with_and_without_checkpoints(surgery: str, reentrant: bool) -> None:
    torch.manual_seed(2)
    plain, x = Deep(None).double(), vectors()
    kept = Deep(reentrant).double()
    kept.load_state_dict(plain.state_dict())
    expected = ran(sn.operate(plain, *SURGERIES[surgery], inputs=x), x)
    found = ran(sn.operate(kept, *SURGERIES[surgery], inputs=x), x)
    assert_same(found, expected)
    assert not torch.allclose(found[0], ran(plain, x)[0])


# Composition --------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["resnet", "encoder", "perceptron"])
@pytest.mark.parametrize(
    ("one", "two"),
    [
        (sn.CutSkips(where="*0.*"), sn.SwapNorm(to="rms")),
        (sn.CutSkips(where="*1.*"), sn.SwapNorm(to="none")),
        (sn.ScaleSkips(branch=0.3, learnable=True), sn.SwapNorm(to="layer")),
        (sn.DropBranches(where="*1.*"), sn.RemoveAffine()),
        (sn.CutSkips(), sn.FreezeAffine()),
        (sn.ScaleSkips(shortcut=0.5), sn.InsertNorm(to="rms", where="*")),
        (sn.ScaleSkips(shortcut=0.5), sn.CutSkips(where="*1.*")),
        (sn.PermuteBlocks(), sn.RemoveAffine()),
    ],
)
def test_the_order_of_operations_on_different_things_does_not_matter(
    network: str, one: sn.Operation, two: sn.Operation
) -> None:
    made = patient(network)
    first, second = (
        sn.operate(made.network, *each, inputs=made.x) for each in ((one, two), (two, one))
    )
    assert [str(done.operation) for done in sn.operations_of(first)] == [str(one), str(two)]
    assert sorted(first.state_dict()) == sorted(second.state_dict())
    found, expected = ran(first, made.x), ran(second, made.x)
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])


def test_norms_in_gated_blocks_are_still_replaced() -> None:
    """A gate on a sum does not stand in the way: the norm's module gives way, and no key of the old one stays."""
    made = patient("resnet")
    altered = sn.operate(made.network, sn.CutSkips(), sn.SwapNorm(to="layer"), inputs=made.x)
    assert not any(isinstance(each, nn.BatchNorm1d) for each in altered.modules())
    assert not any("running_mean" in key for key in altered.state_dict())
    assert not is_gated(altered.blocks[0].norm1)


def test_cut_then_fold() -> None:
    made = patient("resnet")
    network = made.network.eval()
    altered = sn.operate(network, sn.CutSkips(), sn.FoldNorm(), inputs=made.x)
    torch.testing.assert_close(
        altered(made.x), sn.operate(network, sn.CutSkips(), inputs=made.x)(made.x)
    )
    assert not sn.anatomy(altered, made.x).norms


# Mistakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "operation", "words"),
    [
        (
            "resnet",
            sn.SwapNorm(to="group", groups=3),
            r"at blocks\.0\.norm1: .*divide the 4 channels",
        ),
        ("perceptron", sn.SwapNorm(to="instance"), r"at blocks\.0\.norm: .*positions"),
        ("inline", sn.InsertNorm(to="group", groups=3), r"at first: .*divide the 8 channels"),
        ("inline", sn.RemoveAffine(), r"at layer_norm: .*module of its own"),
        ("looped", sn.MoveNorm(to="before_activation"), "found none"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_forward(
    name: str, operation: sn.Operation, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = patient(name)
    after: list[bool] = []
    module = sys.modules["skipnorm.surgery.operate"]
    monkeypatch.setattr(module, "_after", lambda *args: after.append(True))  # where it first runs
    with pytest.raises(SurgeryError, match=words):
        sn.operate(made.network, operation, inputs=made.x)
    assert not after


def test_blocks_of_different_shapes_are_not_permuted() -> None:
    class Narrow(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.shortcut, self.one, self.two = (
                fc(inputs, outputs),
                fc(inputs, inputs),
                fc(inputs, outputs),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.shortcut(x) + self.two(torch.tanh(self.one(x)))

    blocks = nn.Sequential(Narrow(8, 6), Narrow(6, 4)).double()
    with pytest.raises(SurgeryError, match=r"signals of one shape, found 0: .*; 1: "):
        sn.operate(blocks, sn.PermuteBlocks(), inputs=vectors())


def test_wrappers_and_things_that_are_no_operations_are_refused() -> None:
    made = patient("inline")
    with pytest.raises(SurgeryError, match="at least one operation"):
        sn.operate(made.network, inputs=made.x)
    with pytest.raises(SurgeryError, match="call it"):
        sn.operate(made.network, sn.CutSkips, inputs=made.x)  # type: ignore[arg-type]
    with pytest.raises(SurgeryError, match="Operate on what it wraps"):
        sn.operate(nn.DataParallel(made.network), sn.CutSkips(), inputs=made.x)
    with pytest.raises(SurgeryError, match="never operated"):
        sn.original(copy.deepcopy(made.network))
