"""Curvature of third-party families, attention included, each against finite differences of gradients.

The truth is `(g(w + h u) - g(w - h u)) / 2h` for an eigenvector u, by plain backward passes on a float64 copy with
eager attention, extrapolated to fourth order. Several families round to float32 inside (losses, RMS norms, softmax), so
the step must not be small: at 2e-3 both errors were below 3e-5. The ResNet has a max-pooling, whose kinks finite
differences count: there the truth is a plain double backward.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf
from tests.coverage import checks
from torch import nn

from skipnorm.probes.curvature import curvature, leading_directions

Case = Callable[[str], tuple[nn.Module, dict[str, Any]]]


def pixels(size=16):
    return torch.randn(3, 3, size, size)


def tokens(length=6, most=20):
    return torch.randint(3, most, (3, length))


def resnet(attention: str):
    config = hf.ResNetConfig(
        embedding_size=4,
        hidden_sizes=[4, 6],
        depths=[1, 1],
        layer_type="basic",
        num_labels=3,
        hidden_act="gelu",
    )
    return hf.ResNetForImageClassification(config), {
        "pixel_values": pixels(32),
        "labels": torch.tensor([0, 1, 2]),
    }


def convnext(attention: str):
    config = hf.ConvNextConfig(hidden_sizes=[4, 6], depths=[1, 1], num_stages=2, num_labels=3)
    return hf.ConvNextForImageClassification(config), {
        "pixel_values": pixels(32),
        "labels": torch.tensor([0, 1, 2]),
    }


SMALL = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
}


def vit(attention: str):
    config = hf.ViTConfig(
        **SMALL, image_size=16, patch_size=8, num_labels=3, attn_implementation=attention
    )
    return hf.ViTForImageClassification(config), {
        "pixel_values": pixels(),
        "labels": torch.tensor([0, 1, 2]),
    }


def bert(attention: str):
    config = hf.BertConfig(**SMALL, vocab_size=20, num_labels=3, attn_implementation=attention)
    return hf.BertForSequenceClassification(config), {
        "input_ids": tokens(),
        "labels": torch.tensor([0, 1, 2]),
    }


def gpt2(attention: str):
    config = hf.GPT2Config(
        n_embd=8, n_layer=2, n_head=2, n_positions=8, vocab_size=20, bos_token_id=0, eos_token_id=0,
        attn_implementation=attention,
    )  # fmt: skip
    ids = tokens()
    return hf.GPT2LMHeadModel(config), {"input_ids": ids, "labels": ids}


def t5(attention: str):
    config = hf.T5Config(
        d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2, vocab_size=20, decoder_start_token_id=0,
        feed_forward_proj="gated-gelu", attn_implementation=attention,
    )  # fmt: skip
    ids = tokens()
    return hf.T5ForConditionalGeneration(config), {"input_ids": ids, "labels": ids}


def llama(attention: str):
    config = hf.LlamaConfig(
        **SMALL, num_key_value_heads=1, vocab_size=20, attn_implementation=attention
    )
    ids = tokens()
    return hf.LlamaForCausalLM(config), {"input_ids": ids, "labels": ids}


CASES: dict[str, Case] = {
    "ResNet": resnet,
    "ConvNeXt": convnext,
    "ViT": vit,
    "BERT": bert,
    "GPT-2": gpt2,
    "T5": t5,
    "Llama": llama,
}
FUSED = ("ViT", "BERT", "GPT-2", "T5", "Llama")


def built(family: str, attention: str, training: bool = False) -> tuple[nn.Module, dict[str, Any]]:
    torch.manual_seed(0)
    network, batch = CASES[family](attention)
    with torch.no_grad():  # initial weights of .02 make losses that hardly curve
        for parameter in network.parameters():
            if parameter.dim() > 1 and family not in ("ResNet", "T5"):
                parameter.mul_(5)
    network.double().train(training)
    return network, {k: v.double() if v.is_floating_point() else v for k, v in batch.items()}


def slope(
    network: nn.Module,
    batch: dict[str, Any],
    moved: dict[str, torch.Tensor],
    along: dict[str, torch.Tensor],
):
    """<grad L, u> at moved weights, by one plain backward pass on a copy."""
    twin = copy.deepcopy(network)
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            parameter.copy_(moved[name])
    torch.manual_seed(0)  # the same dropout
    twin(**batch).loss.backward()
    return sum(
        float((p.grad * along[name]).sum())
        for name, p in twin.named_parameters()
        if p.grad is not None
    )


def along_by_differences(network, batch, direction, step=2e-3) -> float:
    """u' H u, with an error of fourth order in the step."""
    own = {name: value.detach() for name, value in network.named_parameters()}

    def central(by: float) -> float:
        ends = [
            slope(network, batch, {n: v + s * by * direction[n] for n, v in own.items()}, direction)
            for s in (1, -1)
        ]
        return (ends[0] - ends[1]) / (2 * by)

    return (4 * central(step / 2) - central(step)) / 3


def along_by_double_backward(network, batch, direction) -> float:
    """u' H u by the derivative of <grad L, u>."""
    parameters = dict(network.named_parameters())
    torch.manual_seed(0)
    gradient = torch.autograd.grad(
        network(**batch).loss, list(parameters.values()), create_graph=True
    )
    slope_along = sum((g * direction[n]).sum() for n, g in zip(parameters, gradient, strict=True))
    product = torch.autograd.grad(slope_along, list(parameters.values()), allow_unused=True)
    return sum(
        float((h * direction[n]).sum())
        for n, h in zip(parameters, product, strict=True)
        if h is not None
    )


@checks("curvature", by="finite differences of gradients, on kinks a double backward")
@pytest.mark.parametrize("family", CASES)
def test_the_top_curvatures_are_those_of_finite_differences(family: str):
    network, batch = built(family, "sdpa")
    values, directions = leading_directions(network, batch, 2, tolerance=1e-5)
    plain, _ = built(family, "eager")
    truth = along_by_double_backward if family == "ResNet" else along_by_differences
    for value, direction in zip(values.tolist(), directions, strict=True):
        assert value == pytest.approx(truth(plain, batch, direction), rel=1e-4)
    found = curvature(network, batch, top=2, tolerance=1e-5)
    assert found.values["top_eigenvalue"].tolist() == pytest.approx(values.tolist(), rel=1e-6)
    assert float(found.values["top_residual"].max()) < 1e-5
    assert ("math" in found.settings["attention"]) == (family in FUSED)
    assert not found.notes


@pytest.mark.parametrize("family", ["ResNet", "GPT-2"])
def test_training_mode_with_batch_statistics_and_dropout(family: str):
    network, batch = built(family, "eager", training=True)
    values, directions = leading_directions(network, batch, 1, tolerance=1e-5)
    truth = along_by_double_backward if family == "ResNet" else along_by_differences
    assert float(values[0]) == pytest.approx(truth(network, batch, directions[0]), rel=1e-4)


@pytest.mark.parametrize("family", CASES)
def test_the_gauss_newton_matrix_of_a_family_has_no_negative_curvature(family: str):
    network, batch = built(family, "sdpa")
    found = curvature(network, batch, kind="ggn", top=1, lengths=())
    assert float(found.values["lowest_eigenvalue"]) > -1e-9 * float(
        found.values["top_eigenvalue"][0]
    )
    assert float(found.values["trace"]) > 0
