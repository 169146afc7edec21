"""Every finding on third-party families is true.

Source of truth: what the fix does to the network's outputs, forward hooks, `FoldNorm`'s own opinion, and counts from
the definitions of the architectures. None of it uses what lint is built on.
"""

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tests.anatomy.adversaries import CASES
from tests.anatomy.families import FAMILIES, Case
from tests.audit.test_lint_folding import fold_forwards
from torch import Tensor, nn

import skipnorm as sn
from skipnorm.anatomy.tensors import mapped, tensors_in
from skipnorm.audit.finding import Lint
from skipnorm.errors import SurgeryError
from skipnorm.surgery.patient import Patient

every_family = pytest.mark.parametrize("family", FAMILIES, ids=[each.__name__ for each in FAMILIES])

# families whose definition says where an addition is followed by an activation and another block
POST_ACTIVATED = {"resnet_basic": 4, "resnet_bottleneck": 4, "regnet_x": 4, "regnet_y": 4}
POST_ACTIVATED["bit_bottleneck"] = 2


def precise(value: Any) -> Any:
    return mapped(lambda t: t.double() if t.is_floating_point() else t, value)


def outputs(network: nn.Module, case: Case) -> list[Tensor]:
    torch.manual_seed(7)  # the same units drop out each time
    with torch.no_grad():
        given = dict(precise(dict(case.kwargs)))
        returned = network(*precise(tuple(case.args)), **given)
    return [each.clone() for each in tensors_in(returned) if each.is_floating_point()]


def apart(one: nn.Module, other: nn.Module, case: Case) -> float:
    pairs = list(zip(outputs(one, case), outputs(other, case), strict=True))
    assert pairs
    return max(float((a - b).abs().max() / (a.abs().max() + 1e-12)) for a, b in pairs)


def linted(family: Callable[[], Case], mode: str) -> tuple[Case, Lint]:
    case, found = _linted(family, mode)
    return dataclasses.replace(case, network=copy.deepcopy(case.network)), found


@functools.cache
def _linted(family: Callable[[], Case], mode: str) -> tuple[Case, Lint]:
    torch.manual_seed(0)
    case = family()
    case.network.train(mode == "train")
    optimizer = torch.optim.SGD(case.network.parameters(), lr=0.1, weight_decay=0.1)
    found = sn.lint(case.network, *case.args, optimizer=optimizer, **case.kwargs)
    return case, found


def bare(family: Callable[[], Case]) -> tuple[Case, Lint]:
    case, found = linted(family, "eval")
    case.network.double()
    return case, found


@every_family
def test_biases_and_sizes_that_norms_take_away_are_not_felt(family: Callable[[], Case]) -> None:
    case, found = linted(family, "train")
    network = case.network.double()
    biases = [each.sites[0] for each in found.of("bias-before-norm")]
    sized = [each.sites[:-1] for each in found.of("decayed-scale-invariant-weight")]
    if not biases and not sized:
        return
    with torch.no_grad():
        for names in sized:
            for name in names:  # so large that eps does not matter
                network.get_parameter(name).mul_(1e7)
        twin = copy.deepcopy(network)
        for names in sized:
            for name in names:
                twin.get_parameter(name).mul_(3)
        for path in biases:
            twin.get_submodule(path).bias.normal_()
    assert apart(network, twin, case) < 1e-5


@every_family
def test_gains_fold_forwards(family: Callable[[], Case]) -> None:
    case, found = bare(family)
    findings = found.of("foldable-gain")
    if not findings:
        return
    network = case.network
    shifted = {each.sites[0] for each in findings if "and shift" in each.reason}
    with torch.no_grad():
        for each in findings:
            for parameter in network.get_submodule(path_of(network, each.sites[0])).parameters():
                parameter.uniform_(0.5, 1.5)
        twin = copy.deepcopy(network)
        for each in findings:
            norm = twin.get_submodule(path_of(network, each.sites[0]))
            added = 1.0 if "Gemma" in type(norm).__name__ else 0.0  # its scale is 1 + weight
            norm.weight.add_(added)
            maps = [_Rows(twin.get_submodule(path)) for path in each.sites[1:]]
            fold_forwards(norm, maps, shift=each.sites[0] in shifted)
            norm.weight.sub_(added)
    assert apart(network, twin, case) < 1e-4  # some of their norms compute in float32


class _Rows:
    """A map whose weight is stored by rows, as the `Conv1D` of transformers does not."""

    def __init__(self, module: nn.Module) -> None:
        self.weight = module.weight.T if type(module).__name__ == "Conv1D" else module.weight
        self.bias, self.groups = getattr(module, "bias", None), getattr(module, "groups", 1)


def path_of(network: nn.Module, site: str) -> str:
    paths = [path for path, _ in network.named_modules()]
    return max((each for each in paths if site == each or site.startswith(f"{each}.")), key=len)


@every_family
def test_what_is_foldable_is_what_fold_norm_folds(family: Callable[[], Case]) -> None:
    case, found = linted(family, "eval")
    mine = {each.sites[0] for each in found.of("foldable-batch-norm")}
    if not any(
        isinstance(each, nn.modules.batchnorm._BatchNorm) for each in case.network.modules()
    ):
        assert not mine
        return
    patient = Patient(copy.deepcopy(case.network), tuple(case.args), dict(case.kwargs))
    try:
        theirs = {site.name for site in sn.FoldNorm().candidates(patient)}
    except SurgeryError:
        theirs = set()
    assert mine == theirs


@contextmanager
def hooked(network: nn.Module, seen: dict[str, tuple[Tensor, Tensor]]) -> Iterator[None]:
    def keep(path: str) -> Callable[..., None]:
        def behind(module: nn.Module, args: Any, output: Any) -> None:
            if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
                seen[path] = (args[0].detach().clone(), output.detach().clone())

        return behind

    handles = [
        module.register_forward_hook(keep(path)) for path, module in network.named_modules() if path
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def values(case: Case) -> Mapping[str, tuple[Tensor, Tensor]]:
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    with hooked(case.network, seen), torch.no_grad():
        case.network(*case.args, **case.kwargs)
    return seen


@every_family
def test_second_norms_do_nothing_at_initialisation(family: Callable[[], Case]) -> None:
    case, found = linted(family, "eval")
    for finding in found.of("norm-after-norm"):
        taken, returned = values(case)[finding.sites[0]]
        torch.testing.assert_close(returned, taken, rtol=1e-2, atol=1e-3)  # eps of 1e-5 and 1e-6


@every_family
def test_tiny_batches_are_tiny(family: Callable[[], Case]) -> None:
    case, found = linted(family, "train")
    tiny = {
        path
        for path, (taken, _) in values(case).items()
        if isinstance(case.network.get_submodule(path), nn.modules.batchnorm._BatchNorm)
        and taken.numel() // taken.shape[1] < 8
    }
    assert {each.sites[0] for each in found.of("norm-over-few")} == tiny


@every_family
def test_skips_are_as_defined(family: Callable[[], Case]) -> None:
    """No family here projects in vain, or has a residual branch that is linear."""
    _, found = linted(family, "eval")
    assert len(found.of("activation-after-addition")) == POST_ACTIVATED.get(family.__name__, 0)
    assert not found.of("needless-projection")
    assert not found.of("linear-skip")
    assert not found.of("shared-batch-norm")


def test_where_biases_and_dropout_stand_before_batch_norms() -> None:
    """By reading every model's source: VitMatte's matting head alone; EfficientNet's dropout before its additions."""
    wrong = {}
    for family in FAMILIES:
        _, found = linted(family, "eval")
        for rule in ("bias-before-norm", "dropout-before-batch-norm"):
            for each in found.of(rule):
                wrong.setdefault((family.__name__, rule), []).append(each.sites[0])
    assert wrong == {
        ("vitmatte", "bias-before-norm"): ["decoder.matting_head.matting_convs.0"],
        ("efficientnet", "dropout-before-batch-norm"): [
            f"encoder.blocks.{block}.projection.dropout" for block in (2, 4, 5)
        ],
    }


BIASED = """
    in_place_block out_of_place_block frozen resnet_d_projection repvgg_strided repvgg_full depthwise_separable
    module_norms
"""
"""The adversaries whose text has a convolution with a bias directly before a batch norm."""


def test_adversaries_have_the_warnings_that_their_text_has() -> None:
    warned = set()
    for name, build in CASES.items():
        for training in (True, False):
            case = build()
            found = sn.lint(case.network.train(training), *case.args, **case.kwargs)
            rules = {each.rule for each in found.warnings} - {"norm-over-few"}
            if name == "module_norms":  # it also has a batch norm before an instance norm
                rules.remove("norm-after-norm")
            assert rules <= {"bias-before-norm"}, name
            warned |= {name} if rules else set()
            assert not found.of("needless-projection"), name
    assert warned == set(BIASED.split())


@every_family
def test_linting_leaves_no_trace(family: Callable[[], Case]) -> None:
    torch.manual_seed(0)
    case = family()
    before = {name: each.clone() for name, each in case.network.state_dict().items()}
    held = {name: set(vars(module)) for name, module in case.network.named_modules()}
    state = torch.get_rng_state()
    sn.lint(case.network, *case.args, **case.kwargs)
    assert torch.equal(torch.get_rng_state(), state)
    assert held == {name: set(vars(module)) for name, module in case.network.named_modules()}
    after = case.network.state_dict()
    assert all(torch.equal(each, after[name]) for name, each in before.items())
