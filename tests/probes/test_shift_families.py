"""Third-party families: all three readings of shift against plain autograd, forward hooks and scipy.

`CASES` names each family with its network, its input, one layer, and by hand the parameters below that layer.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch

import numpy as np
import pytest
import scipy.stats
import torch
import transformers as hf
from tests.coverage import checks
from torch import Tensor, nn

from skipnorm.probes.shift import drift
from skipnorm.probes.shift.gradient import shift_gradient
from skipnorm.probes.shift.identical import identical
from skipnorm.studies.measure import labelled


@dataclass
class Case:
    """A network, its input, a layer, globs for the parameters below it, and a norm's module to read at."""

    network: nn.Module
    batch: dict[str, Tensor]
    layer: str
    below: tuple[str, ...]
    norm: str


SMALL = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3}


def pixels(size: int = 16) -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(6, 3, size, size)}


def tokens() -> dict[str, Tensor]:
    return {"input_ids": torch.randint(3, 20, (6, 7))}


def resnet() -> Case:
    config = hf.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic"
    )
    block = "encoder.stages.0.layers.0.layer"
    return Case(
        hf.ResNetModel(config).train(),
        pixels(),
        f"{block}.1.convolution",
        ("embedder.*", f"{block}.0.*"),
        f"{block}.0.normalization",
    )


def convnext() -> Case:
    config = hf.ConvNextConfig(hidden_sizes=[6, 8], depths=[1, 1], num_stages=2)
    block = "encoder.stages.0.layers.0"
    below = ("embeddings.*", f"{block}.dwconv.*", f"{block}.*norm*", f"{block}.pwconv1.*")
    network = hf.ConvNextModel(config)
    return Case(network, pixels(32), f"{block}.pwconv2", below, "embeddings.layernorm")


def vit() -> Case:
    config = hf.ViTConfig(**SMALL, intermediate_size=20, image_size=16, patch_size=8)
    network = hf.ViTModel(config, add_pooling_layer=False).eval()
    return Case(
        network, pixels(), "layernorm", ("embeddings.*", "encoder.*", "layers.*"), "layernorm"
    )


def bert() -> Case:
    config = hf.BertConfig(**SMALL, vocab_size=30, intermediate_size=20, max_position_embeddings=16)
    network = hf.BertModel(config, add_pooling_layer=False).eval()
    below = ("embeddings.*", "encoder.layer.0.attention.*")
    norm = "encoder.layer.0.attention.output.LayerNorm"
    return Case(network, tokens(), "encoder.layer.0.intermediate.dense", below, norm)


def gpt2() -> Case:
    config = hf.GPT2Config(vocab_size=30, n_embd=12, n_layer=2, n_head=3, n_positions=16)
    network = hf.GPT2Model(config).eval()
    below = ("wte.*", "wpe.*", "h.0.*")
    return Case(network, tokens(), "h.1.ln_1", below, "h.1.ln_1")


def llama() -> Case:
    config = hf.LlamaConfig(
        **SMALL,
        vocab_size=30,
        intermediate_size=20,
        num_key_value_heads=3,
        max_position_embeddings=16,
    )
    below = ("embed_tokens.*", "layers.0.*")
    norm = "layers.1.input_layernorm"
    return Case(hf.LlamaModel(config).eval(), tokens() | {"use_cache": False}, norm, below, norm)


def t5() -> Case:
    config = hf.T5Config(
        vocab_size=30, d_model=12, d_kv=4, d_ff=20, num_layers=2, num_heads=3, dropout_rate=0.0
    )
    network, norm = hf.T5EncoderModel(config).eval().encoder, "block.0.layer.1.layer_norm"
    below = ("embed_tokens.*", "block.0.layer.0.*")
    return Case(network, tokens(), norm, below, norm)


CASES: dict[str, Callable[[], Case]] = {
    "ResNet": resnet,
    "ConvNeXt": convnext,
    "ViT": vit,
    "BERT": bert,
    "GPT-2": gpt2,
    "Llama": llama,
    "T5": t5,
}


def inner(outputs, targets) -> Tensor:
    """A loss with curvature everywhere, and no symmetry."""
    hidden = outputs.last_hidden_state
    return (hidden * torch.linspace(-1, 2, hidden.numel()).reshape(hidden.shape)).sum().square() / 9


def output_of(network: nn.Module, module: str, batch: dict[str, Tensor]) -> np.ndarray:
    """What a module puts out, by a forward hook on a copy: units x everything else."""
    twin, kept = copy.deepcopy(network), []
    twin.get_submodule(module).register_forward_hook(
        lambda m, args, out: kept.append(out.detach().clone())
    )
    with torch.no_grad():
        twin(**batch)
    values = (
        kept[0].movedim(1, -1) if kept[0].dim() == 4 and kept[0].shape[1] in (6, 8) else kept[0]
    )
    return values.flatten(0, -2).T.double().numpy()


@checks("shift_gradient", by="plain backward passes before and after the step")
@pytest.mark.parametrize("family", CASES)
def test_the_gradient_form_agrees_with_plain_backward_passes(family: str):
    case, step = CASES[family](), 1e-2
    found = labelled(
        shift_gradient(case.network, case.batch, loss=inner, step=step, layers=case.layer)
    )

    def slopes(patient: nn.Module) -> dict[str, Tensor]:
        patient.zero_grad()
        inner(patient(**case.batch), None).backward()
        return {n: p.grad.clone() for n, p in patient.named_parameters() if p.grad is not None}

    before, mixed = slopes(copy.deepcopy(case.network)), copy.deepcopy(case.network)
    with torch.no_grad():
        for name, parameter in mixed.named_parameters():
            if name in before and any(fnmatch(name, pattern) for pattern in case.below):
                parameter -= step * before[name]
    after = slopes(mixed)
    own = [name for name in before if name.rpartition(".")[0] == case.layer]
    g, moved = (torch.cat([part[n].flatten().double() for n in own]) for part in (before, after))
    cosine = torch.cosine_similarity(g, moved, dim=0).item()
    assert (g - moved).norm() > 1e-4 * g.norm()
    assert found.gradient_shift.item() == pytest.approx((g - moved).norm().item(), rel=2e-3)
    assert found.gradient_shift_cosine.item() == pytest.approx(cosine, abs=1e-4)


@checks("drift", "identical", by="forward hooks and scipy's Wasserstein distance")
@pytest.mark.parametrize("family", CASES)
def test_drift_and_identity_agree_with_hooks_and_scipy(family: str):
    case = CASES[family]()
    moved = copy.deepcopy(case.network)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    found = labelled(
        drift(case.network, case.batch, states=(case.network, moved.state_dict()), positions=10_000)
    )
    site = found.site[(found.module == case.norm) & (found.kind == "norm")].values[0]
    at = found.sel(site=site, port="output", step=1)
    a, b = (output_of(network, case.norm, case.batch) for network in (case.network, moved))
    expected = [scipy.stats.wasserstein_distance(x, y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(at.unit_wasserstein[: len(a)], expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(at.unit_mean[: len(a)], b.mean(axis=1), atol=1e-5)

    other = {
        name: value.flip(0) if name == "input_ids" else value for name, value in case.batch.items()
    }
    name = next(iter(other))
    other[name] = other[name].roll(1, -1) if name == "input_ids" else other[name] * 1.5
    same = labelled(
        identical(case.network, [case.batch, case.batch], other, positions=10_000, draws=2)
    )
    c, pairs = output_of(case.network, case.norm, other), []
    for x, z in zip(a, c, strict=True):
        x = np.concatenate([x, x])
        pairs.append(scipy.stats.wasserstein_distance(x, z) / np.concatenate([x, z]).std())
    at = same.sel(site=site, port="output")
    assert at.identical_test.item() == pytest.approx(np.mean(pairs), rel=1e-3, abs=1e-5)
    assert at.identical_batches.item() == pytest.approx(0, abs=1e-6)
