"""Every operation on third-party families: as many sites as the definition has, and the output of another computation.

Source of truth: the formulas of tests/anatomy/families.py and tests/surgery/kin.py; the model's own source with the
additions edited; norms written out by hand in hooks. In float64, so that only a difference of meaning shows.
"""

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.surgery.kin import KIN, Join, case, matching, norms_of, output, twin
from tests.surgery.patients import OPERATIONS as WALKED
from tests.surgery.table import FAMILIES, OPERATIONS, PAGE, cells, page, reason, sites, text
from torch import Tensor, nn

import skipnorm as sn

QUICK = {
    ("ResNet", "resnet_basic"), ("ViT", "vit"), ("GPT-2", "gpt2"), ("Llama", "llama"),
    ("BERT", "bert"), ("BiT", "bit_preactivation"), ("RegNet", "mobilenet_v1"),
}  # fmt: skip
Inputs = Any


def walk(operation: str, *, modes: tuple[bool, ...] = (False, True)) -> pytest.MarkDecorator:
    """Over the families that have a site, in both modes; by default two of them, the rest marked slow."""
    found = [family for each, family in cells() if each == operation]
    quick = [family for _, family in sorted(QUICK) if family in found]
    turn = list(OPERATIONS).index(operation)
    chosen = {quick[(turn + step) % len(quick)] for step in (0, 1)}
    return pytest.mark.parametrize(
        ("family", "train"),
        [
            pytest.param(
                family,
                train,
                id=f"{family}-{'train' if train else 'eval'}",
                marks=() if family in chosen and train == modes[-1] else pytest.mark.slow,
            )
            for family in found
            for train in modes
        ],
    )


@pytest.fixture(autouse=True)
def note(record_property: Callable[[str, object], None], request: pytest.FixtureRequest) -> None:
    """Every test of a cell says which one, for the table at the end."""
    if "family" in request.fixturenames:
        name = request.node.name.replace("_", "")
        operation = next(each for each in OPERATIONS if each.lower() in name)
        record_property("operated", [operation, request.node.callspec.params["family"]])


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


def operate(network: nn.Module, operation: sn.Operation, inputs: Inputs) -> nn.Module:
    return sn.operate(network, operation, inputs=inputs)


# Skips --------------------------------------------------------------------------------------------


def joined(family: str, train: bool, operation: sn.Operation, join: Join) -> None:
    network, inputs = case(family, train=train)
    altered = operate(network, operation, inputs)
    expected = output(twin(network, family, join), inputs)
    same(output(altered, inputs), expected)
    assert not torch.allclose(expected, output(network, inputs))


@walk("CutSkips")
def test_cut_skips(family: str, train: bool) -> None:
    number = sites("CutSkips", family)
    joined(family, train, sn.CutSkips(expect=number), lambda shortcut, branch: branch)


@walk("DropBranches")
def test_drop_branches(family: str, train: bool) -> None:
    number = sites("DropBranches", family)
    joined(family, train, sn.DropBranches(expect=number), lambda shortcut, branch: shortcut * 1)


@walk("ScaleSkips")
@pytest.mark.parametrize("learnable", [False, True])
def test_scale_skips(family: str, train: bool, learnable: bool) -> None:
    scale = sn.ScaleSkips(
        shortcut=0.8, branch=0.3, learnable=learnable, expect=sites("ScaleSkips", family)
    )
    joined(family, train, scale, lambda shortcut, branch: 0.8 * shortcut + 0.3 * branch)


@walk("AddSkips")
def test_add_skips(family: str, train: bool) -> None:
    network, inputs = case(family, train=train)
    by_hand = copy.deepcopy(network)
    paths = matching(network, KIN[family].blocks)
    for path in paths:
        by_hand.get_submodule(path).register_forward_hook(lambda module, args, out: args[0] + out)
    altered = operate(network, sn.AddSkips(expect=len(paths)), inputs)
    assert sorted(sn.operations_of(altered)[0].sites) == sorted(paths)
    same(output(altered, inputs), output(by_hand, inputs))


@walk("PermuteBlocks")
def test_permute_blocks(family: str, train: bool) -> None:
    network, inputs = case(family, train=train)
    where, row = KIN[family].row or ("", "")
    by_hand = copy.deepcopy(network)
    blocks = by_hand.get_submodule(row)
    number = len(list(blocks.children()))
    skips = sn.anatomy(network, *_args(inputs), **_named(inputs)).skips
    moved = [at for at in range(number) if any(s.module.startswith(f"{row}.{at}") for s in skips)]
    moved = [at for at in moved if _means(where, f"{row}.{at}.")]
    turned = dict(zip(moved, reversed(moved), strict=True))
    modules = [blocks[turned.get(at, at)] for at in range(number)]
    for at, module in enumerate(modules):
        blocks._modules[str(at)] = module
    altered = operate(network, sn.PermuteBlocks(where=where), inputs)
    assert len(moved) >= 2
    same(output(altered, inputs), output(by_hand, inputs))


def _means(where: str, start: str) -> bool:
    return start.startswith(where.rstrip("*")) or where.startswith(start)


def _args(inputs: Inputs) -> tuple[Any, ...]:
    return () if isinstance(inputs, dict) else inputs


def _named(inputs: Inputs) -> dict[str, Any]:
    return inputs if isinstance(inputs, dict) else {}


# Norms --------------------------------------------------------------------------------------------


def formula(kind: str, x: Tensor, dim: int, eps: float, *, train: bool) -> Tensor:
    """A norm without scale and shift, written out: `dim` counts channels."""
    others = [each for each in range(x.dim()) if each != dim]
    last = dim == x.dim() - 1
    if kind == "batch":
        if not train:  # a new one: mean 0 and variance 1
            return x / (1 + eps) ** 0.5
        axes = others
    elif kind == "instance":
        axes = [each for each in others if each != 0]
    elif kind == "group":
        moved = x.movedim(dim, 1)
        groups = max(n for n in range(1, 33) if moved.shape[1] % n == 0)
        parts = moved.reshape(moved.shape[0], groups, -1)
        parts = (parts - parts.mean(2, keepdim=True)) / (
            parts.var(2, unbiased=False, keepdim=True) + eps
        ) ** 0.5
        return parts.reshape(moved.shape).movedim(1, dim)
    else:
        axes = [dim] if last else list(range(1, x.dim()))
    if kind == "rms":
        return x / (x.square().mean(axes, keepdim=True) + eps) ** 0.5
    return (x - x.mean(axes, keepdim=True)) / (
        x.var(axes, unbiased=False, keepdim=True) + eps
    ) ** 0.5


def channels_of(module: nn.Module, x: Tensor) -> int:
    """Where the channels stand in what a norm is given."""
    second = isinstance(module, nn.modules.batchnorm._BatchNorm | nn.GroupNorm)
    return 1 if second or getattr(module, "data_format", "") == "channels_first" else x.dim() - 1


def scale_of(module: nn.Module) -> tuple[Tensor | float, Tensor | float]:
    """Scale and shift of a norm's module as its class defines them; of one that is a call inside, 1 and 0."""
    if "Activation" in type(module).__name__:
        return 1.0, 0.0
    weight: Any = getattr(module, "weight", None)
    bias: Any = getattr(module, "bias", None)
    if "Gemma" in type(module).__name__:
        weight = 1 + weight
    return (1.0 if weight is None else weight), (0.0 if bias is None else bias)


def eps_of(module: nn.Module) -> float:
    return float(getattr(module, "variance_epsilon", getattr(module, "eps", 1e-5)))


def hooked(network: nn.Module, compute: Callable[[nn.Module, Tensor, int], Tensor]) -> nn.Module:
    """A copy in which the norms return what `compute(module, input, channels)` says."""
    by_hand = copy.deepcopy(network)

    def hook(module: nn.Module, args: Any, out: Tensor) -> Tensor:
        result = compute(module, args[0], channels_of(module, args[0]))
        return module.activation(result) if "Activation" in type(module).__name__ else result

    for _, module in norms_of(by_hand):
        module.register_forward_hook(hook)
    return by_hand


def shaped(value: Tensor | float, x: Tensor, dim: int) -> Tensor | float:
    return value.view([-1] + [1] * (x.dim() - 1 - dim)) if isinstance(value, Tensor) else value


@walk("SwapNorm")
@pytest.mark.parametrize("kind", ["batch", "layer", "group", "instance", "rms", "none"])
def test_swap_norm(family: str, train: bool, kind: str) -> None:
    network, inputs = case(family, train=train)
    swap = sn.SwapNorm(to=kind, expect=sites("SwapNorm", family))
    if kind == "instance" and _has_no_positions(network, inputs):
        with pytest.raises(sn.SurgeryError, match="signal with positions"):
            operate(network, swap, inputs)
        return
    families = {site.family for site in sn.anatomy(network, *_args(inputs), **_named(inputs)).norms}

    def compute(module: nn.Module, x: Tensor, dim: int) -> Tensor:
        if kind == "none":
            return x
        weight, bias = (shaped(each, x, dim) for each in scale_of(module))
        plain = formula(kind, x, dim, eps_of(module), train=train) * weight
        return plain if kind == "rms" else plain + bias

    altered = operate(network, swap, inputs)
    if families == {kind}:
        assert torch.equal(output(altered, inputs), output(network, inputs))
    else:
        same(output(altered, inputs), output(hooked(network, compute), inputs))


def _has_no_positions(network: nn.Module, inputs: Inputs) -> bool:
    shapes: list[tuple[tuple[int, ...], int]] = []

    def compute(module: nn.Module, x: Tensor, dim: int) -> Tensor:
        shapes.append((tuple(x.shape), dim))
        return x

    output(hooked(network, compute), inputs)
    return any(torch.Size(shape).numel() == shape[0] * shape[dim] for shape, dim in shapes)


@walk("SwapNorm")
def test_swap_norm_for_its_own_statistics(family: str, train: bool) -> None:
    """Static: batch norms in evaluation as they are; all others the mean over what passes of their own statistics."""
    network, inputs = case(family, train=train)
    known = {
        s.module: s.family for s in sn.anatomy(network, *_args(inputs), **_named(inputs)).norms
    }
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def look(path: str, module: nn.Module, args: Any) -> None:
        found = _statistics(known[path], args[0], channels_of(module, args[0]))
        seen.setdefault(path, []).append(found)

    looked = copy.deepcopy(network)
    for path, module in norms_of(looked):
        module.register_forward_pre_hook(functools.partial(look, path))
    with torch.no_grad():
        output(looked, inputs)

    def compute(module: nn.Module, x: Tensor, dim: int) -> Tensor:
        mean, variance = (
            torch.stack(each).mean(0) for each in zip(*seen[module.path], strict=True)
        )
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not train:
            mean, variance = module.running_mean, module.running_var
        weight, bias = (shaped(each, x, dim) for each in scale_of(module))
        spread = (shaped(variance, x, dim) + eps_of(module)) ** 0.5
        return (x - shaped(mean, x, dim)) / spread * weight + bias

    altered = operate(network, sn.SwapNorm(to="static"), inputs)
    for path, module in norms_of(network):
        module.path = path
    same(output(altered, inputs), output(hooked(network, compute), inputs))


def _statistics(family: str, x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    others = [each for each in range(x.dim()) if each != dim]
    if family == "batch":
        return x.mean(others), x.var(others, unbiased=False)
    ones = torch.ones(x.shape[dim], dtype=x.dtype)
    axes = [dim] if dim == x.dim() - 1 else list(range(1, x.dim()))
    if family == "rms":
        return 0 * ones, x.square().mean(axes).mean() * ones
    return x.mean(axes).mean() * ones, x.var(axes, unbiased=False).mean() * ones


@walk("RemoveAffine")
def test_remove_affine(family: str, train: bool) -> None:
    network, inputs = case(family, train=train)
    altered = operate(network, sn.RemoveAffine(expect=sites("RemoveAffine", family)), inputs)
    by_hand = copy.deepcopy(network)
    with torch.no_grad():
        for _, module in norms_of(by_hand):
            module.weight.fill_(0.0 if "Gemma" in type(module).__name__ else 1.0)
            if getattr(module, "bias", None) is not None:
                module.bias.zero_()
    narrow = family in (
        "llama",
        "mistral",
        "gemma",
        "t5",
        "cohere",
    )  # their own norms compute in float32
    tolerance = 1e-4 if narrow else 1e-9
    torch.testing.assert_close(
        output(altered, inputs), output(by_hand, inputs), rtol=tolerance, atol=tolerance
    )
    assert not {
        path for path, module in norms_of(altered) if any(True for _ in module.parameters())
    }


@walk("FreezeAffine")
def test_freeze_affine(family: str, train: bool) -> None:
    network, inputs = case(family, train=train)
    altered = operate(network, sn.FreezeAffine(expect=sites("FreezeAffine", family)), inputs)
    frozen = {key for key, each in altered.named_parameters() if not each.requires_grad}
    expected = {
        f"{path}.{key}"
        for path, module in norms_of(network)
        for key, _ in module.named_parameters()
    }
    assert frozen == expected | {
        k for k, each in network.named_parameters() if not each.requires_grad
    }
    assert torch.equal(output(altered, inputs), output(network, inputs))


@walk("FreezeStatistics")
def test_freeze_statistics(family: str, train: bool) -> None:
    network, inputs = case(family, train=train)
    altered = operate(
        network, sn.FreezeStatistics(expect=sites("FreezeStatistics", family)), inputs
    )
    by_hand = copy.deepcopy(network)
    for _, module in norms_of(by_hand):
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    same(output(altered, inputs), output(by_hand, inputs))
    before = {key: value.clone() for key, value in altered.named_buffers()}
    altered(*_args(inputs), **_named(inputs))
    after = dict(altered.named_buffers())
    assert all(torch.equal(after[key], value) for key, value in before.items() if "running" in key)


@walk("FoldNorm", modes=(False,))
def test_fold_norm(family: str, train: bool) -> None:
    network, inputs = case(family, train=train)
    altered = operate(network, sn.FoldNorm(expect=KIN[family].folded), inputs)
    same(output(altered, inputs), output(network, inputs))
    left = len(sn.anatomy(altered, *_args(inputs), **_named(inputs)).norms)
    assert left == sites("SwapNorm", family) - KIN[family].folded


@walk("MoveNorm")
def test_move_norm(family: str, train: bool) -> None:
    network, inputs = case(family, train=train)
    norm, activation = KIN[family].moved or ("", "")
    by_hand, pairs = copy.deepcopy(network), 0
    for parent in by_hand.modules():
        act = getattr(parent, activation, None)
        if (
            hasattr(parent, norm)
            and isinstance(act, nn.Module)
            and not isinstance(act, nn.Identity)
        ):
            held = copy.deepcopy(getattr(parent, norm))
            setattr(parent, norm, nn.Identity())
            act.register_forward_hook(functools.partial(_behind, held))
            pairs += 1
    altered = operate(network, sn.MoveNorm(to="after_activation", expect=pairs), inputs)
    assert pairs == KIN[family].number_moved
    same(output(altered, inputs), output(by_hand, inputs))


def _behind(norm: nn.Module, module: nn.Module, args: Any, out: Tensor) -> Tensor:
    result: Tensor = norm(out)
    return result


@walk("InsertNorm")
def test_insert_norm(family: str, train: bool) -> None:
    network, inputs = case(family, train=train)
    kin = KIN[family]
    if kin.without:
        insert = sn.InsertNorm(to="layer", after="branch", expect=kin.without)
        altered = operate(network, insert, inputs)
        each = iter(range(10**9))
        every = sites("CutSkips", family) // kin.without  # Cohere: the second of two has none

        def join(shortcut: Tensor, branch: Tensor) -> Tensor:
            dim = 1 if family == "encodec_encoder" and branch.shape[1] in (4, 8, 16) else 2
            dim = (
                2
                if family == "encodec_encoder" and branch.shape[-1] == 16 and branch.shape[1] == 2
                else dim
            )
            if next(each) % every != every - 1:
                return shortcut + branch
            return shortcut + formula("layer", branch, dim, 1e-5, train=train)

        expected = output(twin(network, family, join), inputs)
        same(output(altered, inputs), expected)
        if not kin.maps:
            return
    altered = operate(network, sn.InsertNorm(to="layer", expect=kin.maps), inputs)
    by_hand = copy.deepcopy(network)
    for path in sn.operations_of(altered)[0].sites:
        module = by_hand.get_submodule(path)
        dim = 1 if isinstance(module, nn.modules.conv._ConvNd) else -1
        module.register_forward_hook(
            lambda module, args, out, dim=dim: formula(
                "layer", out, dim % out.dim(), 1e-5, train=train
            )
        )
    same(output(altered, inputs), output(by_hand, inputs))


@walk("NoisyNorm")
def test_noisy_norm(family: str, train: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every uniform draw is 0.75 and every normal one 0.5: then the noise is one affine map."""
    network, inputs = case(family, train=train)
    altered = operate(network, sn.NoisyNorm(n_mu=0.4, expect=sites("NoisyNorm", family)), inputs)
    mu, sigma = 0.4 * 0.5, 1 + 0.75 * 0.25
    scale, shift = sigma + 0.1 * 0.5, mu + 0.1 * 0.5

    def compute(module: nn.Module, x: Tensor, dim: int) -> Tensor:
        raise AssertionError

    by_hand = copy.deepcopy(network)
    for _, module in norms_of(by_hand):
        name = "group_norm" if "Activation" in type(module).__name__ else ""
        if name:
            module.register_forward_hook(functools.partial(_noisy_inside, scale, shift, train))
        else:
            module.register_forward_hook(
                lambda module, args, out: scale * out + shift if train else out
            )
    monkeypatch.setattr(torch, "rand_like", lambda like: torch.full_like(like, 0.75))
    monkeypatch.setattr(torch, "randn_like", lambda like: torch.full_like(like, 0.5))
    same(output(altered, inputs), output(by_hand, inputs))


def _noisy_inside(
    scale: float, shift: float, train: bool, module: nn.Module, args: Any, out: Tensor
) -> Tensor:
    normed = nn.functional.group_norm(
        args[0], module.num_groups, module.weight, module.bias, module.eps
    )
    result: Tensor = module.activation(scale * normed + shift if train else normed)
    return result


# The table ----------------------------------------------------------------------------------------


def test_every_operation_is_checked_on_as_many_families_as_have_sites() -> None:
    """At least 15, where 15 of these have any; every other cell has its reason."""
    covered = cells()
    for operation in OPERATIONS:
        number = sum(each == operation for each, _ in covered)
        without = sum(bool(reason(operation, family)) for family in FAMILIES)
        assert number + without == len(FAMILIES)
        assert number >= 15 or operation in (
            "FoldNorm",
            "MoveNorm",
            "FreezeStatistics",
            "AddSkips",
            "PermuteBlocks",
        )
    assert {type(each).__name__ for each in WALKED.values()} >= set(OPERATIONS)


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.surgery.table"


def test_a_failure_shows_in_the_table() -> None:
    lines = list(text({("CutSkips", "vit"): False, ("CutSkips", "bert"): True}))
    assert "FAIL" in next(line for line in lines if line.startswith("vit"))
    assert "FAIL" not in next(line for line in lines if line.startswith("bert"))
