"""landscape and smoothness on third-party families, against loops that know nothing of skipnorm.

Source of truth: a copy of the model whose weights are set by hand, filter by filter as Li et al. 2018 define it, or by
a step of `torch.optim.SGD`, and the loss that the model itself returns; float64.
"""

import copy
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
import transformers as hf
from tests.coverage import checks
from torch import Tensor, nn

from skipnorm.probes.landscape import landscape
from skipnorm.probes.smoothness import smoothness

pytestmark = pytest.mark.filterwarnings("ignore")

Case = tuple[nn.Module, dict[str, Tensor]]
SMALL = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


def with_images(network: nn.Module) -> Case:
    pixels = torch.randn(4, 3, 16, 16).double()
    return network.double(), {"pixel_values": pixels, "labels": torch.tensor([0, 2, 3, 1])}


def with_tokens(network: nn.Module) -> Case:
    ids = torch.randint(3, 24, (3, 6))
    return network.double(), {"input_ids": ids, "labels": torch.randint(3, 24, (3, 6))}


def resnet() -> Case:
    config = hf.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[1, 2], layer_type="basic", num_labels=4
    )
    return with_images(hf.ResNetForImageClassification(config))


def convnext() -> Case:
    config = hf.ConvNextConfig(hidden_sizes=[4, 8], depths=[1, 2], num_stages=2, num_labels=4)
    return with_images(hf.ConvNextForImageClassification(config))


def vit() -> Case:
    config = hf.ViTConfig(image_size=16, patch_size=8, num_labels=4, **SMALL)
    return with_images(hf.ViTForImageClassification(config))


def bert() -> Case:
    config = hf.BertConfig(vocab_size=24, max_position_embeddings=16, **SMALL)
    return with_tokens(hf.BertForMaskedLM(config))


def gpt2() -> Case:
    config = hf.GPT2Config(
        n_embd=8, n_layer=2, n_head=2, vocab_size=24, n_positions=16, bos_token_id=0, eos_token_id=1
    )
    return with_tokens(hf.GPT2LMHeadModel(config))


def llama() -> Case:
    config = hf.LlamaConfig(
        num_key_value_heads=1, vocab_size=24, max_position_embeddings=16, **SMALL
    )
    return with_tokens(hf.LlamaForCausalLM(config))


def t5() -> Case:
    config = hf.T5Config(
        d_model=8,
        d_kv=4,
        d_ff=16,
        num_layers=1,
        num_decoder_layers=1,
        num_heads=2,
        vocab_size=24,
        decoder_start_token_id=0,
    )
    return with_tokens(hf.T5ForConditionalGeneration(config))


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


def own_loss(network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    torch.manual_seed(0)  # dropout
    loss: Tensor = network(**batch).loss
    return loss


def filter_by_filter(network: nn.Module, seed: int) -> dict[str, Tensor]:
    """Li et al. 2018, section 4, spelled out."""
    generator = torch.Generator().manual_seed(seed)
    directions = {}
    for name, weight in network.named_parameters():
        if weight.dim() < 2:
            continue
        direction = torch.randn(weight.shape, generator=generator).double()
        for index in range(len(weight)):
            ratio = weight[index].detach().norm() / direction[index].norm()
            direction[index] *= ratio
        directions[name] = direction
    return directions


@checks("landscape", by="a loop over weights set filter by filter")
@every_family
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_a_filter_normalised_line_is_that_of_a_loop_by_hand(family: str, training: bool) -> None:
    torch.manual_seed(0)
    network, batch = CASES[family]()
    network.train(training)
    places = [-0.5, 0.0, 0.25, 1.0]
    found = landscape(network, batch, along="line", points=places, seed=3)
    directions = filter_by_filter(network, 3)
    expected = []
    for place in places:
        other = copy.deepcopy(network)
        with torch.no_grad():
            for name, parameter in other.named_parameters():
                if name in directions:
                    parameter += place * directions[name]
            expected.append(float(own_loss(other, batch)))
    np.testing.assert_allclose(found.values["loss"], expected, rtol=1e-10)
    assert np.ptp(expected) > 1e-3, "not flat"
    assert found.values["loss"][1] == expected[1]


@every_family
def test_the_ends_between_two_states_are_the_models_own_losses(family: str) -> None:
    torch.manual_seed(0)
    (first, batch), (second, _) = CASES[family](), CASES[family]()
    first.eval(), second.eval()
    states = (first.state_dict(), second.state_dict())
    found = landscape(first, batch, along="interpolation", states=states, points=3)
    with torch.no_grad():
        ends = [float(own_loss(network, batch)) for network in (first, second)]
    assert found.values["loss"][[0, 2]].tolist() == ends


@checks("smoothness", by="steps of torch.optim.SGD")
@every_family
def test_smoothness_is_what_steps_of_sgd_find(family: str) -> None:
    torch.manual_seed(0)
    network, batch = CASES[family]()
    network.eval()
    lr, lengths = 0.02, [0.5, 2.0]
    found = smoothness(network, batch, lengths=lengths, lr=lr)

    def after_a_step(length: float) -> tuple[float, Tensor]:
        other = copy.deepcopy(network)
        own_loss(other, batch).backward()
        torch.optim.SGD(other.parameters(), lr=length * lr).step()
        other.zero_grad()
        loss = own_loss(other, batch)
        loss.backward()
        grads = [p.grad for p in other.parameters() if p.grad is not None]
        return loss.item(), torch.cat([grad.reshape(-1) for grad in grads])

    _, start = after_a_step(0.0)
    steps = [after_a_step(length) for length in lengths]
    losses = [loss for loss, _ in steps]
    changes = [float((start - gradient).norm()) for _, gradient in steps]
    ratios = [
        change / float(lr * length * start.norm())
        for change, length in zip(changes, lengths, strict=True)
    ]
    np.testing.assert_allclose(found.values["loss_along_gradient"], losses, rtol=1e-10)
    np.testing.assert_allclose(found.values["gradient_predictiveness"], max(changes), rtol=1e-8)
    np.testing.assert_allclose(found.values["effective_smoothness"], max(ratios), rtol=1e-8)
