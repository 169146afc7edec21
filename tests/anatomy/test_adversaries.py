"""The anatomy of hand-written adversaries, and how `skipnorm.anatomy` behaves while looking.

Source of truth: the text of each network, counted by hand (`adversaries.py`).
"""

import copy
import pickle
import random
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from tests.anatomy.adversaries import (
    CASES,
    SPELLINGS,
    WIDTH,
    Written,
    conv,
    image,
    linear,
    mlp,
    spelled,
    vector,
)
from tests.anatomy.families import Case, complaint
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import skipnorm
from skipnorm.errors import AnatomyError


@pytest.fixture(autouse=True)
def quiet_seed() -> None:
    torch.manual_seed(0)


def look(case: Case) -> Any:
    return skipnorm.anatomy(case.network, *case.args, **case.kwargs)


def names(anatomy: Any) -> list[str]:
    return [site.name for site in anatomy.sites]


# Counts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", CASES)
def test_counts(name: str, mode: str) -> None:
    case = CASES[name]()
    case.network.train(mode == "train")
    anatomy = look(case)
    problem = complaint(anatomy, case.truth)
    assert not problem, problem
    assert len(set(names(anatomy))) == len(anatomy.sites), names(anatomy)


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_of_a_sum(name: str) -> None:
    case = spelled(name)
    problem = complaint(look(case), case.truth)
    assert not problem, problem


@pytest.mark.parametrize("outer", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("name", ["in_place_block", "highway", "rms_leaf", "cut_gradients"])
def test_counts_under(name: str, outer: Callable[[], AbstractContextManager[None]]) -> None:
    case = CASES[name]()
    with outer():
        problem = complaint(look(case), case.truth)
    assert not problem, problem


def test_in_place_twin_is_the_same_network() -> None:
    def kinds(anatomy: Any) -> list[str]:
        return [s.kind for s in anatomy.sites]

    in_place, out_of_place = CASES["in_place_block"](), CASES["out_of_place_block"]()
    assert kinds(look(in_place)) == kinds(look(out_of_place))


@pytest.mark.parametrize("seed", range(4))
def test_stochastic_depth_counts_the_blocks_that_were_kept(seed: int) -> None:
    def program(net: Written, x: Tensor) -> Tensor:
        for branch in net.branches:
            if torch.rand(()) < 0.5:
                x = x + branch(x)
        return net.head(x)

    network = Written(program, branches=nn.ModuleList(mlp() for _ in range(6)), head=linear())
    kept = Counter[nn.Module]()
    hooks = [b.register_forward_hook(lambda m, *_: kept.update([m])) for b in network.branches]
    torch.manual_seed(seed)
    network(vector())
    for hook in hooks:
        hook.remove()
    torch.manual_seed(seed)
    anatomy = skipnorm.anatomy(network, vector())
    assert len(anatomy.skips) == kept.total(), anatomy
    assert len(anatomy.activations) == kept.total(), anatomy


class L2(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-12)


class HandBatchNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(0)
        return (x - mean) / ((x - mean).square().mean(0) + 1e-5).sqrt()


class SubclassedLayerNorm(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mT.contiguous().mT)


@pytest.mark.parametrize("leaf", [L2(), HandBatchNorm(), SubclassedLayerNorm(WIDTH)])
def test_norm_leaves_are_found_once(leaf: nn.Module) -> None:
    anatomy = skipnorm.anatomy(nn.Sequential(linear(), leaf, linear()), vector())
    assert [n.name for n in anatomy.norms] == ["1"], anatomy
    assert not anatomy.skips, anatomy
    assert not anatomy.activations, anatomy


def test_hand_written_batch_norm_is_of_the_batch_family() -> None:
    anatomy = skipnorm.anatomy(nn.Sequential(linear(), HandBatchNorm(), linear()), vector(16))
    assert [n.family for n in anatomy.norms] == ["batch"], anatomy


# Inputs and outputs -------------------------------------------------------------------------------


@dataclass
class Output:
    logits: Tensor
    hidden: tuple[Tensor, ...]


def test_nested_inputs_and_outputs() -> None:
    def program(
        net: Written, batch: dict[str, Any], *, scale: float, extra: list[Tensor]
    ) -> Output:
        x = batch["inner"]["x"] * scale
        y = x + net.f(x)
        z = extra[0] + net.f(extra[1][0])
        return Output(net.f(y), (y, z))

    network = Written(program, f=mlp())
    batch = {"inner": {"x": vector()}, "note": "text"}
    anatomy = skipnorm.anatomy(network, batch, scale=2.0, extra=[vector(), (vector(),)])
    assert (len(anatomy.skips), len(anatomy.activations)) == (1, 3), anatomy


def test_keyword_inputs_only() -> None:
    network = Written(lambda net, *, x: {"out": [x + net.f(x)]}, f=mlp())
    assert len(skipnorm.anatomy(network, x=vector()).skips) == 1


def test_inputs_are_left_alone() -> None:
    x = vector().requires_grad_()
    before, version = x.detach().clone(), x._version
    skipnorm.anatomy(nn.Sequential(linear(), nn.ReLU()), x)
    assert (x.grad, x.requires_grad, x._version) == (None, True, version)
    assert torch.equal(x, before)


def test_a_network_that_writes_into_its_input_does_not_spoil_it() -> None:
    x = vector()
    before = x.clone()
    skipnorm.anatomy(nn.Sequential(nn.ReLU(inplace=True), linear()), x)
    assert torch.equal(x, before)


# Leaving no trace ---------------------------------------------------------------------------------


class Messy(nn.Module):
    """Counts calls, caches masks, draws random numbers, keeps tensors, and may give up midway."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)
        self.linear = nn.utils.parametrizations.spectral_norm(linear())
        self.frozen = nn.BatchNorm1d(WIDTH).eval()
        self.drop = nn.Dropout(0.5)
        self.calls = 0
        self.masks: list[Tensor] = []
        self.cache: dict[int, Tensor] = {}
        self.last: Tensor | None = None
        self.seen = {"shapes": [[0]]}
        self.fails = False

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.masks.append(torch.ones(len(x), 1))
        self.cache[len(x)] = self.masks[-1]
        self.seen["shapes"][0].append(len(x))
        self.made_on_first_call = True
        self.register_buffer("late", torch.zeros(1))
        noise = random.random() + float(np.random.rand())  # noqa: NPY002
        self.last = self.drop(self.linear(self.norm(x))) + noise
        if self.fails:
            torch.set_grad_enabled(False)
            raise RuntimeError("gave up midway")
        self.norm.training = not self.norm.training
        return x + torch.relu(self.frozen(self.last)) * self.masks[-1]


def messy() -> nn.Sequential:
    network = nn.Sequential(linear(), Messy(), nn.ReLU(inplace=True), Messy())
    network[0].weight.grad = torch.ones_like(network[0].weight)
    network[0].bias.requires_grad_(False)
    network[1].norm.register_forward_hook(lambda *_: None)
    return network.train()


def frozen_copy(value: Any) -> Any:
    """What a value is, deep enough to notice a change within it."""
    if isinstance(value, Tensor):
        gradient = None if value.grad is None else (id(value.grad), value.grad.tolist())
        return (id(value), value.requires_grad, value.detach().clone().tolist(), gradient)
    if isinstance(value, dict):
        return [(key, frozen_copy(part)) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [frozen_copy(part) for part in value]
    return id(value) if isinstance(value, nn.Module) or callable(value) else copy.copy(value)


def portrait(network: nn.Module) -> dict[str, Any]:
    return {
        name: [type(module), *frozen_copy(vars(module))] for name, module in network.named_modules()
    }


def global_state() -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state().tolist(),
        "python": random.getstate(),
        "numpy": repr(np.random.get_state()),  # noqa: NPY002
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "anomaly": torch.is_anomaly_enabled(),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
        "modes": torch._C._len_torch_function_stack(),
        "dispatch": torch._C._len_torch_dispatch_stack(),
        "checks": torch.nn.modules.module._has_any_global_hook(),
        "relu": (F.relu, torch.relu, Tensor.relu, nn.Module.__call__, nn.ReLU.forward),
    }


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize("outer", [nullcontext, torch.no_grad, torch.inference_mode])
def test_looking_leaves_no_trace(fails: bool, outer: Callable[[], Any]) -> None:
    network = messy()
    network[3].fails = fails
    x = vector()
    before, world = portrait(network), global_state()
    with outer():
        inside = global_state()
        if fails:
            with pytest.raises((AnatomyError, RuntimeError), match="gave up midway"):
                skipnorm.anatomy(network, x)
        else:
            assert len(skipnorm.anatomy(network, x).skips) == 2
        assert global_state() == inside
    assert global_state() == world
    after = portrait(network)
    assert before.keys() == after.keys()
    for name, was in before.items():
        assert after[name] == was, f"module {name!r} changed"


def seed_everything() -> None:
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 the global state is what is tested


def test_the_network_still_works_as_before() -> None:
    network, x = messy(), vector()
    twin = copy.deepcopy(network)
    skipnorm.anatomy(network, x)
    seed_everything()
    first = network(x)
    seed_everything()
    assert torch.equal(first, twin(x))
    first.sum().backward()


def test_looking_draws_no_random_numbers_of_its_own() -> None:
    network = nn.Sequential(linear(), nn.Dropout(0.5), CASES["rms_leaf"]().network, nn.Tanh())
    x = vector()
    before = global_state()
    skipnorm.anatomy(network, x)
    assert global_state() == before


def test_a_failing_network_says_why() -> None:
    network = messy()
    network[3].fails = True
    with pytest.raises((AnatomyError, RuntimeError)) as caught:
        skipnorm.anatomy(network, vector())
    assert "gave up midway" in str(caught.value)


# Wrappers and refusals ----------------------------------------------------------------------------


def test_compiled_networks_are_looked_at_without_compiling() -> None:
    case = CASES["out_of_place_block"]()
    compiled = torch.compile(case.network, backend=refuse_to_compile)
    problem = complaint(skipnorm.anatomy(compiled, *case.args), case.truth)
    assert not problem, problem


def test_a_compiled_part_is_looked_into() -> None:
    case = CASES["out_of_place_block"]()
    network = nn.Sequential(conv(), torch.compile(case.network, backend=refuse_to_compile))
    problem = complaint(skipnorm.anatomy(network, image()), case.truth)
    assert not problem, problem


def refuse_to_compile(*_: Any) -> Any:
    raise AssertionError("the anatomy compiled the network")


def scripted(network: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some releases of torch deprecate scripting
        return torch.jit.script(network)


def traced(network: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(network, vector())


@pytest.mark.parametrize("make", [scripted, traced])
@pytest.mark.parametrize("nested", [False, True])
def test_scripted_networks_are_refused(make: Callable[..., nn.Module], nested: bool) -> None:
    network = make(nn.Sequential(linear(), nn.ReLU()))
    network = nn.Sequential(linear(), network) if nested else network
    with pytest.raises(AnatomyError, match=r"(?i)script"):
        skipnorm.anatomy(network, vector())


@pytest.mark.parametrize("nested", [False, True])
def test_data_parallel_is_refused(nested: bool) -> None:
    network: nn.Module = nn.DataParallel(mlp())
    network = nn.Sequential(linear(), network) if nested else network
    with pytest.raises(AnatomyError, match=r"(?i)dataparallel.*module"):
        skipnorm.anatomy(network, vector())


def test_a_network_that_ignores_its_input_is_refused() -> None:
    network = Written(lambda net, x: net.f(net.constant), f=mlp(), constant=torch.ones(4, WIDTH))
    with pytest.raises(AnatomyError, match=r"(?i)input"):
        skipnorm.anatomy(network, vector())


def test_a_network_that_uses_only_its_inputs_shape_ignores_it() -> None:
    network = Written(lambda net, x: net.f(torch.ones(x.shape) + torch.zeros_like(x)), f=mlp())
    with pytest.raises(AnatomyError, match=r"(?i)input"):
        skipnorm.anatomy(network, vector())


def test_no_input_is_refused() -> None:
    with pytest.raises(AnatomyError, match=r"(?i)input"):
        skipnorm.anatomy(Written(lambda net: net.f(torch.ones(4, WIDTH)), f=mlp()))


def test_inputs_of_the_wrong_shape_are_refused_with_shape_and_cause() -> None:
    with pytest.raises(AnatomyError) as caught:
        skipnorm.anatomy(nn.Sequential(linear(), nn.ReLU()), torch.randn(4, WIDTH + 1))
    assert "(4, 9)" in str(caught.value).replace("[", "(").replace("]", ")"), caught.value
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_missing_argument_is_refused() -> None:
    with pytest.raises(AnatomyError):
        skipnorm.anatomy(CASES["two_towers"]().network, vector())


def test_only_modules_have_an_anatomy() -> None:
    with pytest.raises((AnatomyError, TypeError), match=r"(?i)module"):
        skipnorm.anatomy(torch.relu, vector())


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpointing_hides_nothing(use_reentrant: bool) -> None:
    def program(net: Written, x: Tensor) -> Tensor:
        x = net.stem(x)
        for block in net.blocks:
            x = net.call(block, x)
        return x

    blocks = nn.ModuleList(Written(lambda net, x: x + net.f(x), f=mlp()) for _ in range(3))
    network = Written(program, stem=linear(), blocks=blocks, call=lambda block, x: block(x))
    plain = names(skipnorm.anatomy(network, vector()))
    network.call = partial(checkpoint, use_reentrant=use_reentrant)
    assert names(skipnorm.anatomy(network, vector())) == plain
    assert len(plain) == 6


def test_a_network_may_take_gradients_inside() -> None:
    """Unrolled descent on an energy: plain calls of the network work, so looking must."""

    def program(net: Written, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            slope = torch.autograd.grad(net.energy(x).sum(), x)[0]
        return net.head(x - 0.1 * slope)

    network = Written(program, energy=mlp(), head=linear())
    assert len(skipnorm.anatomy(network, vector()).activations) == 1


def test_looking_is_a_forward_without_gradients() -> None:
    """Issue 2 grants it the memory of a no-grad forward: a network that asks is told so."""

    def program(net: Written, x: Tensor) -> Tensor:
        return torch.tanh(net.f(x)) if torch.is_grad_enabled() else x + net.f(x)

    assert len(skipnorm.anatomy(Written(program, f=mlp()), vector()).skips) == 1


def through_numpy(branch: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.from_numpy(branch(x).numpy(force=True))


@pytest.mark.parametrize("hide", [torch.vmap, through_numpy, scripted])
def test_what_cannot_be_seen_is_confessed(hide: Callable[[nn.Module], Any]) -> None:
    """x + f(x), with f called in a way that may hide it: found, noted as unseen, or refused."""

    def program(net: Written, x: Tensor) -> Tensor:
        return net.head(x + net.hidden[0](x))

    network = Written(program, head=linear(), hidden=[hide(mlp())])
    try:
        anatomy = skipnorm.anatomy(network, vector())
    except AnatomyError:
        return
    assert anatomy.unseen or len(anatomy.skips) == 1, anatomy


# Names --------------------------------------------------------------------------------------------


class BasicBlock(nn.Module):
    """As torchvision's, whose `out += identity` is the addition everyone means."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = conv(), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.relu(out)


class Staged(nn.Module):
    def __init__(self, blocks: int = 2) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(*(BasicBlock() for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer1(x)


def test_names_are_module_paths() -> None:
    found = names(skipnorm.anatomy(Staged(), image()))
    assert found[:5] == [
        "layer1.0.bn1",
        "layer1.0.relu",
        "layer1.0.bn2",
        "layer1.0.add",
        "layer1.0.relu#2",
    ]
    assert found[5:] == [name.replace("layer1.0", "layer1.1") for name in found[:5]]


@pytest.mark.parametrize("spelling", ["plus", "iadd", "statement", "torch_add_keywords"])
def test_an_addition_is_called_add_however_it_is_spelled(spelling: str) -> None:
    def program(net: Written, x: Tensor) -> Tensor:
        x = net.stem(x)
        return SPELLINGS[spelling](x, net.branch(x))

    network = nn.Sequential(Written(program, stem=linear(), branch=mlp()))
    assert names(skipnorm.anatomy(network, vector())) == ["0.branch.1", "0.add"]


def test_a_second_addition_in_a_module_is_numbered() -> None:
    def program(net: Written, x: Tensor) -> Tensor:
        x = x + net.f(x)
        return x + net.f(x)

    skips = skipnorm.anatomy(nn.Sequential(Written(program, f=mlp())), vector()).skips
    assert [s.name for s in skips] == ["0.add", "0.add#2"]


def test_functional_sites_are_named_after_their_module_and_operation() -> None:
    def program(net: Written, x: Tensor) -> Tensor:
        return F.relu(F.layer_norm(net.linear(x), (WIDTH,)))

    found = names(skipnorm.anatomy(nn.Sequential(Written(program, linear=linear())), vector()))
    assert found == ["0.layer_norm", "0.relu"]


def test_names_do_not_depend_on_mode_values_or_batch() -> None:
    network = Staged()
    first = names(skipnorm.anatomy(network.train(), image()))
    assert names(skipnorm.anatomy(network.eval(), torch.randn(5, 4, 12, 12))) == first


# What an anatomy is -------------------------------------------------------------------------------


def test_sites_are_in_order_of_execution() -> None:
    anatomy = skipnorm.anatomy(Staged(), image())
    indices = [site.index for site in anatomy.sites]
    assert indices == sorted(set(indices))
    assert isinstance(anatomy.sites, tuple)
    assert [s.kind for s in anatomy.sites][:5] == [
        "norm", "activation", "norm", "skip", "activation",
    ]  # fmt: skip
    parts = (*anatomy.norms, *anatomy.activations, *anatomy.skips)
    assert sorted(parts, key=lambda s: s.index) == list(anatomy.sites)


def test_a_site_knows_its_module_operation_and_shape() -> None:
    anatomy = skipnorm.anatomy(Staged(), image())
    norm, skip = anatomy.norms[0], anatomy.skips[0]
    assert (norm.module, norm.operation, norm.family) == ("layer1.0.bn1", "batch_norm", "batch")
    assert (skip.module, skip.operation, skip.merge) == ("layer1.0", "add", "add")
    assert tuple(norm.shape) == tuple(skip.shape) == (2, 4, 8, 8)


def test_an_anatomy_prints_as_an_aligned_table_with_its_counts() -> None:
    anatomy = skipnorm.anatomy(Staged(), image())
    text = str(anatomy)
    for word, count in (("norm", 4), ("activation", 4), ("skip", 2)):
        assert f"{count} {word}" in text, text
    rows = [line for line in text.splitlines() if "layer1." in line]
    assert len(rows) == 10, text
    columns = {line.index("batch") for line in rows if "batch" in line}
    assert len(columns) <= 2, f"columns do not line up:\n{text}"
    assert not any(line != line.rstrip() for line in text.splitlines()), "trailing blanks"


def test_an_anatomy_shows_as_html() -> None:
    html = skipnorm.anatomy(Staged(), image())._repr_html_()
    assert "<table" in html
    assert "</table>" in html
    assert html.count("layer1.0.bn1") >= 1


def test_html_escapes_names() -> None:
    network = nn.Sequential()
    network.add_module("<b>&", nn.ReLU())
    network.add_module("out", linear())
    html = skipnorm.anatomy(network, vector())._repr_html_()
    assert "<b>&" not in html
    assert "&lt;b&gt;&amp;" in html


def test_an_anatomy_converts_to_dicts() -> None:
    anatomy = skipnorm.anatomy(Staged(), image())
    rows = anatomy.to_dicts()
    assert len(rows) == len(anatomy.sites)
    for row, site in zip(rows, anatomy.sites, strict=True):
        common = ("name", "kind", "module", "operation", "index")
        assert {key: row[key] for key in common} == {key: getattr(site, key) for key in common}
        assert tuple(row["shape"]) == tuple(site.shape)
    assert {row["family"] for row in rows if row["kind"] == "norm"} == {"batch"}
    assert {(row["shortcut"], row["merge"]) for row in rows if row["kind"] == "skip"} == {
        ("identity", "add")
    }
    assert {row["gate"] for row in rows if row["kind"] == "activation"} == {False}


def test_repeated_blocks_are_folded_when_there_are_many() -> None:
    small, large = skipnorm.anatomy(Staged(2), image()), skipnorm.anatomy(Staged(40), image())
    assert len(large.sites) == 20 * len(small.sites)
    assert len(str(large).splitlines()) < 60
    assert "200" in str(large) or "80 norm" in str(large), str(large)
    assert "layer1.0.bn1" in str(small)
    assert len(large.to_dicts()) == len(large.sites), "only the display folds"


def test_diff_says_what_changed() -> None:
    network = Staged()
    before = skipnorm.anatomy(network, image())
    network.layer1[0].bn1 = nn.Identity()
    network.layer1[1].bn2 = nn.GroupNorm(2, 4)
    after = skipnorm.anatomy(network, image())
    said = str(before.diff(after))
    assert "layer1.0.bn1" in said, said
    assert "layer1.1.bn2" in said, said
    assert "layer1.0.bn2" not in said, said


def test_diff_of_equals_says_so() -> None:
    network = Staged()
    first, second = (skipnorm.anatomy(network, image()) for _ in range(2))
    said = str(first.diff(second))
    assert "layer1" not in said, said


def test_anatomies_pickle_and_hold_no_network() -> None:
    anatomy = skipnorm.anatomy(Staged(), image())
    again = pickle.loads(pickle.dumps(anatomy))
    assert names(again) == names(anatomy)
    assert len(pickle.dumps(anatomy)) < 100_000, "an anatomy is a description, not the network"
