"""paths on third-party families, against the same network edited by forward hooks.

Source of truth: hooks on the modules that are the branch, by the models' own source code, which know nothing of
skipnorm: a branch set to zero, the shortcut subtracted from the branch's output, a detached branch or shortcut.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers as hf
from tests.coverage import checks
from torch import Tensor, nn

from skipnorm.probes.paths import paths

pytestmark = pytest.mark.filterwarnings("ignore")


@dataclass(frozen=True)
class Side:
    """Where a skip's two sides are computed, by the model's source.

    `branch`: the module whose (first) output is the branch. `shortcut`: the module that holds the shortcut, as its
    `output`, as its `input`, or as its `second` argument.
    """

    branch: str
    shortcut: str
    port: str = "input"


@dataclass(frozen=True)
class Case:
    network: nn.Module
    batch: dict[str, Any]
    sides: tuple[Side, ...]
    serial: tuple[int, ...]
    embeddings: tuple[str, ...] = ()
    causal: bool = False


def lively(network: nn.Module) -> nn.Module:
    """Weights large enough for every block to matter, in float64, in eval mode."""
    network = network.double().eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(8.0 if parameter.abs().mean() < 0.05 else 1.0)
            elif "layer_scale" in name:
                parameter.fill_(0.7)
    return network


def pixels() -> dict[str, Any]:
    return {"pixel_values": torch.randn(3, 3, 16, 16).double(), "labels": torch.tensor([0, 2, 3])}


def tokens() -> dict[str, Any]:
    ids, labels = torch.randint(3, 20, (3, 6)), torch.randint(3, 20, (3, 6))
    labels[0, 2:4] = -100
    return {"input_ids": ids, "labels": labels}


def resnet() -> Case:
    config = hf.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[2, 2], layer_type="basic", num_labels=4
    )
    at = [f"resnet.encoder.stages.{stage}.layers.{layer}" for stage in (0, 1) for layer in (0, 1)]
    sides = tuple(Side(f"{place}.layer", f"{place}.shortcut", "output") for place in at)
    return Case(lively(hf.ResNetForImageClassification(config)), pixels(), sides, (0, 1, 2, 3))


def convnext() -> Case:
    config = hf.ConvNextConfig(hidden_sizes=[4, 8], depths=[1, 2], num_stages=2, num_labels=4)
    at = [
        f"convnext.encoder.stages.{place}" for place in ("0.layers.0", "1.layers.0", "1.layers.1")
    ]
    sides = tuple(Side(f"{place}.drop_path", f"{place}.dwconv") for place in at)
    return Case(lively(hf.ConvNextForImageClassification(config)), pixels(), sides, (0, 1, 2))


def transformer(
    layers: int, pattern: str, *sides: tuple[str, str], port: str = "input"
) -> tuple[Side, ...]:
    return tuple(
        Side(*(f"{pattern.format(layer)}.{path}" for path in pair), port)
        for layer in range(layers)
        for pair in sides
    )


SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}


def vit() -> Case:
    config = hf.ViTConfig(hidden_size=8, image_size=16, patch_size=8, num_labels=4, **SMALL)
    sides = transformer(
        2, "vit.layers.{}", ("attention", "layernorm_before"), ("mlp", "layernorm_after")
    )
    return Case(lively(hf.ViTForImageClassification(config)), pixels(), sides, (0, 1, 2, 3))


def bert() -> Case:
    config = hf.BertConfig(hidden_size=8, vocab_size=24, max_position_embeddings=16, **SMALL)
    sides = transformer(
        2,
        "bert.encoder.layer.{}",
        ("attention.output.dropout", "attention.output"),
        ("output.dropout", "output"),
        port="second",
    )
    at = ("bert.embeddings.word_embeddings",)
    return Case(lively(hf.BertForMaskedLM(config)), tokens(), sides, (0, 1, 2, 3), at)


def gpt2() -> Case:
    config = hf.GPT2Config(
        n_embd=8, n_layer=2, n_head=2, vocab_size=24, n_positions=16, bos_token_id=0, eos_token_id=1
    )
    sides = transformer(2, "transformer.h.{}", ("attn", "ln_1"), ("mlp", "ln_2"))
    network = lively(hf.GPT2LMHeadModel(config))
    return Case(network, tokens(), sides, (0, 1, 2, 3), ("transformer.wte",), causal=True)


def llama() -> Case:
    config = hf.LlamaConfig(
        hidden_size=8, num_key_value_heads=1, vocab_size=24, max_position_embeddings=16, **SMALL
    )
    sides = transformer(
        2,
        "model.layers.{}",
        ("self_attn", "input_layernorm"),
        ("mlp", "post_attention_layernorm"),
    )
    network = lively(hf.LlamaForCausalLM(config))
    return Case(network, tokens(), sides, (0, 1, 2, 3), ("model.embed_tokens",), causal=True)


def t5() -> Case:
    config = hf.T5Config(
        d_model=8,
        d_kv=4,
        d_ff=16,
        num_layers=1,
        num_decoder_layers=2,
        num_heads=2,
        vocab_size=24,
        decoder_start_token_id=0,
    )
    encoder = transformer(
        1,
        "encoder.block.{}.layer",
        ("0.SelfAttention", "0.layer_norm"),
        ("1.DenseReluDense", "1.layer_norm"),
    )
    decoder = transformer(
        2,
        "decoder.block.{}.layer",
        ("0.SelfAttention", "0.layer_norm"),
        ("1.EncDecAttention", "1.layer_norm"),
        ("2.DenseReluDense", "2.layer_norm"),
    )
    # what the encoder found enters at both cross-attentions, so only from the last of them on is there one way
    network = lively(hf.T5ForConditionalGeneration(config))
    at = ("encoder.embed_tokens", "decoder.embed_tokens")
    return Case(network, tokens(), encoder + decoder, (6, 7), at)


CASES: Mapping[str, Callable[[], Case]] = {
    "ResNet": resnet,
    "ConvNeXt": convnext,
    "ViT": vit,
    "BERT": bert,
    "GPT-2": gpt2,
    "Llama": llama,
    "T5": t5,
}
every_family = pytest.mark.parametrize("family", CASES)


def first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def replaced(output: Any, tensor: Tensor) -> Any:
    return (tensor, *output[1:]) if isinstance(output, tuple) else tensor


@contextmanager
def hooked(network: nn.Module, side: Side, edit: str) -> Iterator[None]:
    """The network with one side of a skip gone (`delete`, `cut`) or without gradient (`stop`, `only`)."""
    branch, holder = network.get_submodule(side.branch), network.get_submodule(side.shortcut)
    kept: list[Tensor] = []

    def remember(module: nn.Module, args: Any, kwargs: Any) -> None:
        values = [*args, *kwargs.values()]
        kept.append(values[1 if side.port == "second" else 0])

    def on_branch(module: nn.Module, args: Any, output: Any) -> Any:
        out = first(output)
        if edit == "delete":
            return replaced(output, torch.zeros_like(out))
        if edit == "stop":
            return replaced(output, out.detach())
        if side.port == "output":
            return None
        shortcut = kept.pop()
        return replaced(
            output, out - shortcut if edit == "cut" else out - shortcut + shortcut.detach()
        )

    def on_shortcut(module: nn.Module, args: Any, output: Tensor) -> Any:
        return {"cut": torch.zeros_like(output), "only": output.detach()}.get(edit)

    handles = [branch.register_forward_hook(on_branch)]
    if side.port == "output":
        handles.append(holder.register_forward_hook(on_shortcut))
    else:
        handles.append(holder.register_forward_pre_hook(remember, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def loss(case: Case) -> float:
    """From the logits, in float64: some models compute their own in float32."""
    with torch.no_grad():
        logits, labels = case.network(**case.batch).logits, case.batch["labels"]
    if case.causal:
        logits, labels = logits[:, :-1], labels[:, 1:]
    return float(F.cross_entropy(logits.flatten(0, -2), labels.flatten()))


def gradient(case: Case, edits: Sequence[tuple[int, str]]) -> float:
    """The norm of the loss's gradient at the input or the embedding, with some sides without gradient."""
    roots: list[Tensor] = []

    def keep(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        roots.append(output.detach().requires_grad_())
        return roots[-1]

    with ExitStack() as stack:
        for position, edit in edits:
            stack.enter_context(hooked(case.network, case.sides[position], edit))
        batch = dict(case.batch)
        for path in case.embeddings:
            embedding = case.network.get_submodule(path)
            stack.callback(embedding.register_forward_hook(keep).remove)
        if not case.embeddings:
            roots.append(batch["pixel_values"].clone().requires_grad_())
            batch["pixel_values"] = roots[0]
        parts = torch.autograd.grad(case.network(**batch).loss, roots, allow_unused=True)
    return float(sum(part.square().sum() for part in parts if part is not None)) ** 0.5


@checks("paths", by="the network edited by forward hooks")
@every_family
def test_prices_are_those_of_the_network_edited_by_hand(family: str) -> None:
    case = CASES[family]()
    found = paths(case.network, case.batch, draws=1, walks=0, deleted=(), swaps=())
    values = found.values
    base = loss(case)
    assert len(values["deletion_loss_price"]) == len(case.sides)
    torch.testing.assert_close(values["loss"], base, rtol=1e-6, atol=0)
    for position, side in enumerate(case.sides):
        for name, edit in (("deletion", "delete"), ("cut", "cut")):
            with hooked(case.network, side, edit):
                expected = loss(case) - base
            price = float(values[f"{name}_loss_price"][position])
            assert price == pytest.approx(expected, rel=1e-6, abs=1e-9), (side, edit)
            assert abs(expected) > 1e-7, "a price of nothing proves nothing"


@every_family
def test_gradients_along_the_shortest_paths_are_those_of_plain_autograd(family: str) -> None:
    case = CASES[family]()
    found = paths(case.network, case.batch, deleted=(), swaps=(), draws=1, walks=10)
    none = [(position, "stop") for position in case.serial]
    ones = [
        gradient(case, [pair if pair[0] != chosen else (chosen, "only") for pair in none])
        for chosen in case.serial
    ]
    along = found.values["path_gradient"]
    assert len(along) == len(case.serial) + 1
    assert along[0] == pytest.approx(gradient(case, none), rel=1e-9)
    assert along[1] == pytest.approx(sum(ones) / len(ones), rel=1e-9)
    left_open = [note for note in found.notes if "goes around" in note]
    assert len(left_open) == len(case.sides) - len(case.serial)


@every_family
def test_branch_ratios_are_those_that_hooks_see(family: str) -> None:
    case = CASES[family]()
    found = paths(case.network, case.batch, deleted=(), swaps=(), draws=1, walks=0)
    seen: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for side in case.sides:
            branch = case.network.get_submodule(side.branch)
            holder = case.network.get_submodule(side.shortcut)

            def note(module: Any, args: Any, output: Any, key: str = side.branch) -> None:
                seen[key] = first(output).detach().clone()

            def enter(module: Any, args: Any, kw: Any, s: Side = side) -> None:
                values = [*args, *kw.values()]
                seen[s.branch + "|"] = values[1 if s.port == "second" else 0].detach().clone()

            def leave(module: Any, args: Any, output: Any, s: Side = side) -> None:
                seen[s.branch + "|"] = output.detach().clone()

            stack.callback(branch.register_forward_hook(note).remove)
            if side.port == "output":
                stack.callback(holder.register_forward_hook(leave).remove)
            else:
                stack.callback(holder.register_forward_pre_hook(enter, with_kwargs=True).remove)
        loss(case)
    expected = [float(seen[s.branch].norm() / seen[s.branch + "|"].norm()) for s in case.sides]
    torch.testing.assert_close(
        torch.as_tensor(found.values["branch_ratio"]),
        torch.tensor(expected, dtype=torch.float64),
        rtol=1e-9,
        atol=0,
    )


@pytest.mark.parametrize(
    ("family", "container"),
    [("GPT-2", "transformer.h"), ("ViT", "vit.layers"), ("Llama", "model.layers")],
)
def test_swapping_two_blocks_is_running_them_in_the_other_order(
    family: str, container: str
) -> None:
    case = CASES[family]()
    found = paths(case.network, case.batch, deleted=(), swaps=(1,), draws=2, walks=0)
    before = loss(case)
    blocks = case.network.get_submodule(container)
    one, other = blocks[0], blocks[1]
    blocks[0], blocks[1] = other, one
    expected = loss(case) - before
    prices = found.values["permutation_loss_price"]
    torch.testing.assert_close(torch.as_tensor(prices), torch.full((1, 2), expected).double())
    assert found.values["permutation_kendall_tau"].tolist() == [[-1.0, -1.0]]
