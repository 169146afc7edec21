"""Third-party families: one hidden layer of each, recomputed by a forward pass written by hand.

`CASES` names each family with its network, its input, the site, and the hand-written z and phi(z) there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import transformers as hf
from tests.coverage import checks
from torch import Tensor, nn

from skipnorm.probes.activation import activation
from skipnorm.studies.measure import labelled


def erf_gelu(z: Tensor) -> Tensor:
    return z * 0.5 * (1 + torch.erf(z / math.sqrt(2)))


def tanh_gelu(z: Tensor) -> Tensor:
    return 0.5 * z * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def by_rms(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


@dataclass
class Case:
    """A network, what it is called with, and the input of one activation by hand: units in the last dimension."""

    network: nn.Module
    batch: object
    module: str  # the module whose call holds the activation
    by_hand: Callable[[nn.Module], Tensor]
    phi: Callable[[Tensor], Tensor]


def pixels(size: int = 16) -> Tensor:
    return 2 * torch.randn(4, 3, size, size)


def tokens() -> Tensor:
    return torch.randint(3, 20, (4, 7))


def resnet() -> Case:
    config = hf.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic"
    )
    x = pixels()

    def stem(network: nn.Module) -> Tensor:
        layer = network.embedder.embedder
        y = nn.functional.conv2d(x, layer.convolution.weight, stride=2, padding=3)
        mean, variance = y.mean(dim=(0, 2, 3)), y.var(dim=(0, 2, 3), correction=0)
        return ((y.movedim(1, -1) - mean) / (variance + 1e-5).sqrt()).flatten(0, -2)

    return Case(hf.ResNetModel(config).train(), x, "embedder.embedder.activation", stem, torch.relu)


def convnext() -> Case:
    config = hf.ConvNextConfig(hidden_sizes=[6, 8], depths=[1, 1], num_stages=2)
    x = pixels(32)

    def first(network: nn.Module) -> Tensor:
        patches, block = network.embeddings, network.encoder.stages[0].layers[0]
        y = nn.functional.conv2d(
            x, patches.patch_embeddings.weight, patches.patch_embeddings.bias, stride=4
        )
        y = nn.functional.layer_norm(y.movedim(1, -1), (6,), eps=1e-6).movedim(-1, 1)
        y = nn.functional.conv2d(y, block.dwconv.weight, block.dwconv.bias, padding=3, groups=6)
        y = nn.functional.layer_norm(y.movedim(1, -1), (6,), eps=1e-6)
        return (y @ block.pwconv1.weight.T + block.pwconv1.bias).flatten(0, -2)

    return Case(hf.ConvNextModel(config), x, "encoder.stages.0.layers.0.act", first, erf_gelu)


def heads(x: Tensor, q: nn.Linear, k: nn.Linear, v: nn.Linear, number: int) -> Tensor:
    """Bidirectional attention, written out."""
    parts = [layer(x).unflatten(-1, (number, -1)).transpose(1, 2) for layer in (q, k, v)]
    weights = (parts[0] @ parts[1].mT / math.sqrt(parts[0].shape[-1])).softmax(-1)
    return (weights @ parts[2]).transpose(1, 2).flatten(2)


def vit() -> Case:
    config = hf.ViTConfig(
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=3,
        intermediate_size=20,
        image_size=16,
        patch_size=8,
    )
    x = pixels()

    def first(network: nn.Module) -> Tensor:
        names = dict(network.named_modules())
        block = next(m for n, m in names.items() if type(m).__name__ == "ViTLayer")
        linears = {
            n.rpartition(".")[2]: m for n, m in block.named_modules() if type(m) is nn.Linear
        }
        h = network.embeddings(x)
        y = block.layernorm_before(h)
        q, k, v = (
            pick(linears, *names)
            for names in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"))
        )
        mixed = heads(y, q, k, v, 3)
        out = [m for n, m in block.named_modules() if type(m) is nn.Linear and m.in_features == 12]
        after = next(m for m in out if m not in (q, k, v) and m.out_features == 12)
        wide = next(m for m in out if m.out_features == 20)
        return wide(block.layernorm_after(h + after(mixed))).flatten(0, -2)

    return Case(hf.ViTModel(config).eval(), x, "*GELU*", first, erf_gelu)


def pick(modules: dict, *names: str) -> nn.Module:
    return next(modules[name] for name in names if name in modules)


def bert() -> Case:
    config = hf.BertConfig(
        vocab_size=30,
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=3,
        intermediate_size=20,
        max_position_embeddings=16,
    )
    ids = tokens()

    def first(network: nn.Module) -> Tensor:
        block, e = network.encoder.layer[0], network.embeddings
        h = e.word_embeddings.weight[ids] + e.position_embeddings.weight[:7]
        h = e.LayerNorm(h + e.token_type_embeddings.weight[0])
        own = block.attention.self
        mixed = block.attention.output.dense(heads(h, own.query, own.key, own.value, 3))
        h = block.attention.output.LayerNorm(h + mixed)
        return block.intermediate.dense(h).flatten(0, -2)

    network = hf.BertModel(config).eval()
    return Case(network, {"input_ids": ids}, "*GELU*", first, erf_gelu)


def gpt2() -> Case:
    config = hf.GPT2Config(vocab_size=30, n_embd=12, n_layer=1, n_head=3, n_positions=16)
    ids = tokens()

    def first(network: nn.Module) -> Tensor:
        block = network.h[0]
        h = network.wte.weight[ids] + network.wpe.weight[:7]
        q, k, v = (
            part.unflatten(-1, (3, 4)).transpose(1, 2)
            for part in block.attn.c_attn(block.ln_1(h)).chunk(3, dim=-1)
        )
        hidden = torch.ones(7, 7).triu(1).bool()
        weights = (q @ k.mT / 2).masked_fill(hidden, -math.inf).softmax(-1)
        h = h + block.attn.c_proj((weights @ v).transpose(1, 2).flatten(2))
        return block.mlp.c_fc(block.ln_2(h)).flatten(0, -2)

    return Case(hf.GPT2Model(config).eval(), {"input_ids": ids}, "h.0.mlp.act", first, tanh_gelu)


def llama() -> Case:
    config = hf.LlamaConfig(
        vocab_size=30,
        hidden_size=12,
        intermediate_size=20,
        num_hidden_layers=1,
        num_attention_heads=3,
        num_key_value_heads=3,
        max_position_embeddings=16,
    )
    ids = tokens()

    def first(network: nn.Module) -> Tensor:
        block = network.layers[0]
        h = network.embed_tokens.weight[ids]
        y = by_rms(h, block.input_layernorm.weight)
        own = block.self_attn
        q, k, v = (
            layer(y).unflatten(-1, (3, 4)).transpose(1, 2)
            for layer in (own.q_proj, own.k_proj, own.v_proj)
        )
        q, k = rotated(q), rotated(k)
        hidden = torch.ones(7, 7).triu(1).bool()
        weights = (q @ k.mT / 2).masked_fill(hidden, -math.inf).softmax(-1)
        h = h + own.o_proj((weights @ v).transpose(1, 2).flatten(2))
        return block.mlp.gate_proj(by_rms(h, block.post_attention_layernorm.weight)).flatten(0, -2)

    network = hf.LlamaModel(config).eval()
    batch = {"input_ids": ids, "use_cache": False}
    return Case(network, batch, "layers.0.mlp.act_fn", first, nn.functional.silu)


def rotated(x: Tensor) -> Tensor:
    """Rotary positions, base 10 000: pairs (i, i + d/2) turned by t * base^(-2i/d)."""
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[-2])[:, None] * 10_000.0 ** (-torch.arange(half) / half)
    a, b, cos, sin = x[..., :half], x[..., half:], angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def t5() -> Case:
    config = hf.T5Config(
        vocab_size=30, d_model=12, d_kv=4, d_ff=20, num_layers=1, num_heads=3, dropout_rate=0.0
    )
    ids = tokens()

    def first(network: nn.Module) -> Tensor:
        attention, forward = network.block[0].layer
        own, h = attention.SelfAttention, network.embed_tokens.weight[ids]
        y = by_rms(h, attention.layer_norm.weight)
        q, k, v = (
            layer(y).unflatten(-1, (3, 4)).transpose(1, 2) for layer in (own.q, own.k, own.v)
        )
        gap = torch.arange(7)[None, :] - torch.arange(7)[:, None]  # key less query, all below 8
        bucket = gap.abs() + 16 * (gap > 0)
        bias = own.relative_attention_bias.weight[bucket].permute(2, 0, 1)
        h = h + own.o(((q @ k.mT + bias).softmax(-1) @ v).transpose(1, 2).flatten(2))
        return forward.DenseReluDense.wi(by_rms(h, forward.layer_norm.weight)).flatten(0, -2)

    network = hf.T5EncoderModel(config).eval().encoder
    return Case(network, {"input_ids": ids}, "*DenseReluDense*", first, torch.relu)


CASES: dict[str, Callable[[], Case]] = {
    "ResNet": resnet,
    "ConvNeXt": convnext,
    "ViT": vit,
    "BERT": bert,
    "GPT-2": gpt2,
    "Llama": llama,
    "T5": t5,
}


@checks("activation", by="the forward pass up to the layer, by hand")
@pytest.mark.parametrize("family", CASES)
def test_the_first_activation_agrees_with_a_forward_pass_by_hand(family: str):
    case = CASES[family]()
    found = labelled(activation(case.network, case.batch))
    wanted = case.module.strip("*")
    modules = zip(found.site.values, found.kind.values, found.module.values, strict=True)
    site = next(
        name
        for name, kind, module in modules
        if kind == "activation" and fits(module, wanted, case)
    )
    at = found.sel(site=site)
    with torch.no_grad():
        z = case.by_hand(case.network).double()
    z.requires_grad_()
    y = case.phi(z)
    (slopes,) = torch.autograd.grad(y.sum(), z)
    z, y, slopes = (each.detach().numpy() for each in (z, y, slopes))
    grid = torch.linspace(-10, 10, 20_001, dtype=torch.float64, requires_grad=True)
    steepest = torch.autograd.grad(case.phi(grid).sum(), grid)[0].max().item()
    count = z.shape[1]
    np.testing.assert_allclose(at.unit_on[:count], (z > 0).mean(axis=0), atol=1e-9)
    saturated = (np.abs(slopes) < 0.1 * steepest).mean(axis=0)
    np.testing.assert_allclose(at.unit_saturated[:count], saturated, atol=1.01 / len(z))
    for unit in range(count):
        if y[:, unit].std() == 0:
            continue
        r = np.corrcoef(z[:, unit], y[:, unit])[0, 1]
        assert at.unit_nonlinearity[unit].item() == pytest.approx(1 - r**2, abs=2e-5, rel=1e-3)


def fits(module: str, wanted: str, case: Case) -> bool:
    if not case.module.startswith("*"):
        return module == wanted
    kind = type(case.network.get_submodule(module)).__name__
    return wanted in module or wanted in kind
