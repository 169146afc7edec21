"""The anatomy of third-party families is the one their definition says.

Source of truth: the formulas in `families.py`. The first test checks those formulas without
skipnorm, by forward hooks (norms, activations) and by the autograd graph (sums of two signals);
the others check skipnorm against them.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tests.anatomy.families import FAMILIES, Case, complaint
from torch import nn

import skipnorm

BY_NAME = {family.__name__: family for family in FAMILIES}
every_family = pytest.mark.parametrize("family", FAMILIES, ids=list(BY_NAME))


@pytest.fixture(autouse=True)
def quiet_seed() -> None:
    torch.manual_seed(0)


def build(family: Callable[[], Case], mode: str = "eval") -> Case:
    case = family()
    case.network.train(mode == "train")
    return case


# Skipnorm against the truth -----------------------------------------------------------------------


@every_family
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_counts_are_the_definitions(family: Callable[[], Case], mode: str) -> None:
    case = build(family, mode)
    anatomy = skipnorm.anatomy(case.network, *case.args, **case.kwargs)
    problem = complaint(anatomy, case.truth)
    assert not problem, problem


@every_family
def test_a_second_look_says_the_same(family: Callable[[], Case]) -> None:
    case = build(family)
    first = skipnorm.anatomy(case.network, *case.args, **case.kwargs)
    second = skipnorm.anatomy(case.network, *case.args, **case.kwargs)
    assert [s.name for s in first.sites] == [s.name for s in second.sites]
    assert len({s.name for s in first.sites}) == len(first.sites), "names are not unique"


@every_family
def test_looking_changes_nothing(family: Callable[[], Case]) -> None:
    case = build(family, "train")
    before = {name: tensor.clone() for name, tensor in case.network.state_dict().items()}
    inside = {name: set(vars(module)) for name, module in case.network.named_modules()}
    random = torch.get_rng_state()
    skipnorm.anatomy(case.network, *case.args, **case.kwargs)
    assert torch.equal(random, torch.get_rng_state())
    after = case.network.state_dict()
    assert before.keys() == after.keys()
    assert [n for n in before if not torch.equal(before[n], after[n])] == []
    assert inside == {name: set(vars(module)) for name, module in case.network.named_modules()}


def test_a_cache_filled_while_looking_is_empty_again() -> None:
    # LeViT in eval mode fills a dict of attention biases in its first forward pass.
    case = build(BY_NAME["levit"])
    caches = [
        m.attention_bias_cache for m in case.network.modules() if "Attention" in repr(type(m))
    ]
    assert caches
    assert not any(caches)
    skipnorm.anatomy(case.network, *case.args, **case.kwargs)
    assert not any(caches)
    attentions = [m for m in case.network.modules() if hasattr(m, "attention_bias_cache")]
    assert not any(m.attention_bias_cache for m in attentions)


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("name", ["vit", "llama", "t5", "swin"])
def test_gradient_checkpointing_does_not_matter(name: str, use_reentrant: bool) -> None:
    case = build(BY_NAME[name], "train")
    plain = skipnorm.anatomy(case.network, *case.args, **case.kwargs)
    case.network.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    checkpointed = skipnorm.anatomy(case.network, *case.args, **case.kwargs)
    assert [s.name for s in plain.sites] == [s.name for s in checkpointed.sites]


@pytest.mark.parametrize("name", ["resnet_basic", "llama", "t5", "poolformer", "bert"])
def test_half_precision_does_not_matter(name: str) -> None:
    case = build(BY_NAME[name])
    kwargs = {k: halve(v) for k, v in case.kwargs.items()}
    anatomy = skipnorm.anatomy(case.network.bfloat16(), *map(halve, case.args), **kwargs)
    problem = complaint(anatomy, case.truth)
    assert not problem, problem


def halve(value: object) -> object:
    floating = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.bfloat16() if floating else value


def test_names_are_readable() -> None:
    case = build(BY_NAME["resnet_basic"])
    names = [s.name for s in skipnorm.anatomy(case.network, *case.args).sites]
    block = "encoder.stages.0.layers.0"
    order = [
        f"{block}.layer.0.normalization",
        f"{block}.layer.0.activation",
        f"{block}.layer.1.normalization",
        f"{block}.add",
        f"{block}.activation",
    ]
    assert [n for n in names if n.startswith(block + ".")] == order, names


def test_shared_modules_are_numbered() -> None:
    case = build(BY_NAME["albert"])
    norms = skipnorm.anatomy(case.network, *case.args, **case.kwargs).norms
    shared = [n for n in norms if n.module.endswith("full_layer_layer_norm")]
    assert len(shared) == 3
    assert len({n.name for n in shared}) == 3
    assert len({n.module for n in shared}) == 1


# The truth without skipnorm -----------------------------------------------------------------------

NORM_CLASSES = (
    ("batch", nn.modules.batchnorm._BatchNorm),
    ("group", nn.GroupNorm),
    ("layer", nn.LayerNorm),
)
HAND_WRITTEN = {"rms": ("RMSNorm", "T5LayerNorm"), "layer": ("CohereLayerNorm",)}
FUNCTIONS = ("gelu", "softplus", "silu", "elu", "relu", "tanh", "sigmoid", "hardswish", "relu6")


def norm_family(module: nn.Module) -> str | None:
    name = type(module).__name__
    for family, endings in HAND_WRITTEN.items():
        if name.endswith(endings):
            return family
    return next((family for family, kind in NORM_CLASSES if isinstance(module, kind)), None)


def is_activation(module: nn.Module) -> bool:
    home = type(module).__module__
    if isinstance(module, nn.Softmax | nn.MultiheadAttention):
        return False
    return home in ("torch.nn.modules.activation", "transformers.activations")


@contextmanager
def counted(signal: Callable[[torch.Tensor], bool]) -> Iterator[Counter[str]]:
    """Count norm modules, activation modules, and functional activations outside of those."""
    counts: Counter[str] = Counter()
    inside = 0
    patch = pytest.MonkeyPatch()

    def entering(module: nn.Module, args: tuple[Any, ...]) -> None:
        nonlocal inside
        inside += is_activation(module)

    def leaving(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        nonlocal inside
        if is_activation(module):
            inside -= 1
            counts["activations"] += signal(output)
        elif family := norm_family(module):
            counts[family] += 1

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            output = function(*args, **kwargs)
            if not inside:
                counts["activations"] += signal(output)
            return output

        return call

    hooks = [
        nn.modules.module.register_module_forward_pre_hook(entering),
        nn.modules.module.register_module_forward_hook(leaving),
    ]
    for name in FUNCTIONS:
        patch.setattr(nn.functional, name, watched(getattr(nn.functional, name)))
    try:
        yield counts
    finally:
        patch.undo()
        for hook in hooks:
            hook.remove()


def only_the_input_requires_grad(case: Case) -> list[torch.Tensor]:
    """Let gradients flow from the input (or from the token embeddings) only."""
    case.network.requires_grad_(False)
    inputs = [v for v in (*case.args, *case.kwargs.values()) if isinstance(v, torch.Tensor)]
    inputs = [v.requires_grad_() for v in inputs if v.is_floating_point()]
    if any(isinstance(m, nn.Embedding) for m in case.network.modules()):
        case.network.get_input_embeddings().requires_grad_(True)
    return inputs


def sums_of_two_signals(output: Any) -> int:
    """Additions and subtractions in the autograd graph with two operands from the input."""
    stack = [t.grad_fn for t in tensors(output) if t.grad_fn is not None]
    seen: set[Any] = set()
    found = 0
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        parents = [parent for parent, _ in node.next_functions if parent is not None]
        found += node.name().startswith(("AddBackward", "SubBackward")) and len(parents) == 2
        stack += parents
    return found


def tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part)


@every_family
def test_truth_by_hooks_and_autograd(family: Callable[[], Case]) -> None:
    case = build(family)
    truth = case.truth
    inputs = only_the_input_requires_grad(case)
    with counted(lambda output: output.requires_grad) as counts:
        output = case.network(*case.args, **case.kwargs)
    assert inputs or case.network.get_input_embeddings() is not None
    activations = counts.pop("activations")
    assert activations == truth.activations - truth.inline_activations
    assert dict(counts) == dict(truth.norms)
    assert sums_of_two_signals(output) == truth.identity + truth.projection + truth.plain_sums
