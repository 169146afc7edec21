"""Gradients of samples in third-party families, against a plain loop.

Truth: each sample alone through the untouched network, `loss.backward()`, all `.grad` in one vector. In float64 and
without dropout, so that a sample alone has the very gradient that it has among others.
"""

from collections.abc import Callable

import pytest
import torch
import transformers as hf
from tests.coverage import checks

from skipnorm.probes.shattering import gradient_correlation

SAMPLES, CLASSES = 5, 3
TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_labels": CLASSES,
}


class Logits(torch.nn.Module):
    """Only the logits, so that the loss is ours."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, *args, **kwargs):
        return self.body(*args, **kwargs).logits


def pixels(size=32):
    return torch.randn(SAMPLES, 3, size, size, dtype=torch.float64)


def tokens(length=7):
    return torch.randint(3, 20, (SAMPLES, length))


def resnet():
    config = hf.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], num_labels=CLASSES
    )
    return hf.ResNetForImageClassification(config), pixels()


def convnext():
    config = hf.ConvNextConfig(
        hidden_sizes=[8, 12], depths=[1, 1], num_stages=2, num_labels=CLASSES
    )
    return hf.ConvNextForImageClassification(config), pixels()


def bit():
    config = hf.BitConfig(
        embedding_size=8, hidden_sizes=[16, 32], depths=[1, 1], num_groups=4, num_labels=CLASSES
    )
    return hf.BitForImageClassification(config), pixels()


def swin():
    config = hf.SwinConfig(
        image_size=16,
        patch_size=2,
        embed_dim=8,
        depths=[2, 1],
        num_heads=[2, 2],
        window_size=4,
        num_labels=CLASSES,
    )
    return hf.SwinForImageClassification(config), pixels(16)


def vit():
    return hf.ViTForImageClassification(hf.ViTConfig(image_size=16, patch_size=8, **TINY)), pixels(
        16
    )


def bert():
    config = hf.BertConfig(vocab_size=20, max_position_embeddings=12, **TINY)
    return hf.BertForSequenceClassification(config), tokens()


def gpt2():
    config = hf.GPT2Config(
        vocab_size=20, n_positions=12, n_embd=16, n_layer=2, n_head=2, pad_token_id=0
    )
    return hf.GPT2LMHeadModel(config), tokens()


def llama():
    return hf.LlamaForCausalLM(hf.LlamaConfig(vocab_size=20, pad_token_id=0, **TINY)), tokens()


def t5():
    config = hf.T5Config(
        vocab_size=20, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, pad_token_id=0
    )
    network = hf.T5ForConditionalGeneration(config)
    return network, {"input_ids": tokens(), "decoder_input_ids": tokens(5)}


def mixer():
    config = hf.PoolFormerConfig(
        hidden_sizes=[8, 12],
        depths=[1, 1],
        num_encoder_blocks=2,
        patch_sizes=[7, 3],
        strides=[4, 2],
        padding=[2, 1],
        num_labels=CLASSES,
    )
    return hf.PoolFormerForImageClassification(config), pixels()


CASES: dict[str, Callable] = {
    "ResNet": resnet,
    "ConvNeXt": convnext,
    "BiT": bit,
    "PoolFormer": mixer,
    "Swin": swin,
    "ViT": vit,
    "BERT": bert,
    "GPT-2": gpt2,
    "Llama": llama,
    "T5": t5,
}


def case(family):
    network, inputs = CASES[family]()
    network = Logits(network).double().eval()
    with torch.no_grad():  # many parameters start from zero or one: no sample would tell them apart
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        args, named = ((), inputs) if isinstance(inputs, dict) else ((inputs,), {})
        targets = torch.randn_like(network(*args, **named))
    return network, (inputs, targets)


def by_loop(network, batch, names):
    inputs, targets = batch
    rows = []
    for sample in range(SAMPLES):
        network.zero_grad()
        alone = slice(sample, sample + 1)
        if isinstance(inputs, dict):
            out = network(**{name: value[alone] for name, value in inputs.items()})
        else:
            out = network(inputs[alone])
        (out * targets[alone]).sum().backward()
        grads = dict(network.named_parameters())
        rows.append(
            torch.cat([
                (torch.zeros_like(grads[n]) if grads[n].grad is None else grads[n].grad).flatten()
                for n in names
            ])
        )  # fmt: skip
    network.zero_grad()
    return torch.stack(rows)


@checks("gradient_correlation", by="a backward pass for each sample alone")
@pytest.mark.parametrize("family", CASES)
def test_pairs_of_gradients_as_by_a_plain_loop(family):
    network, batch = case(family)
    found = gradient_correlation(network, batch, loss="inner_product")
    gradients = by_loop(network, batch, [name for name, _ in network.named_parameters()])
    units = gradients / gradients.norm(dim=1, keepdim=True)
    cosines = (units @ units.T)[~torch.eye(SAMPLES, dtype=torch.bool)]
    torch.testing.assert_close(found.values["gradient_norm"][0], gradients.norm(dim=1))
    expected = torch.quantile(cosines, torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]).double())
    torch.testing.assert_close(found.values["gradient_correlation_quantile"][0], expected)
