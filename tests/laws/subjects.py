"""The networks over which every probe has to keep its laws, each with a batch and its loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from tests.anatomy.adversaries import Written
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import skipnorm as sn


@dataclass
class Subject:
    """A network, a batch, and what is differentiated."""

    network: nn.Module
    batch: Any
    loss: Any = None

    @property
    def inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if isinstance(self.batch, dict):
            return (), self.batch
        return (self.batch[0],), {}


def classified(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    return torch.randn(shape), torch.randint(10, (shape[0],))


def plain_perceptron() -> Subject:
    recipe = sn.Perceptron(norm="batch", depth=3, width=8, inputs=6)
    return Subject(recipe.build(seed=0), classified((6, 6)))


def residual_perceptron() -> Subject:
    recipe = sn.Perceptron(residual=True, norm="layer", depth=3, width=8, inputs=6)
    return Subject(recipe.build(seed=0), classified((6, 6)))


def series() -> Subject:
    recipe = sn.ConvNet(residual=True, norm="batch", order="original", depth=2, width=4)
    return Subject(recipe.build(seed=0), classified((6, 1, 10)))


def images() -> Subject:
    recipe = sn.ConvNet(dims=2, norm="group", groups=2, depth=2, width=4, activation="tanh")
    return Subject(recipe.build(seed=0).eval(), classified((6, 1, 6, 6)))


class Forgetful(nn.Module):
    """Counts its calls, keeps a mask and the last signal, and drops out: all of it is state."""

    def __init__(self, decay: float = 0.9) -> None:
        super().__init__()
        self.decay = decay
        self.fc, self.bn, self.drop = nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.3)
        self.calls, self.cache, self.seen = 0, {}, []
        self.register_buffer("mask", torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.cache[x.shape] = torch.ones_like(x)
        self.seen.append(x.shape)
        self.last = x
        self.mask.mul_(self.decay)
        y = self.drop(self.bn(self.fc(x)).relu_()) * self.mask
        y += x * torch.rand(())
        return y


def forgetful() -> Subject:
    return Subject(nn.Sequential(Forgetful(), Forgetful(), nn.Linear(6, 10)), classified((5, 6)))


def checkpointed() -> Subject:
    block = Forgetful(decay=1)  # what a recomputation changes would be the network's own fault

    def program(net: Any, x: Tensor) -> Tensor:
        return net.head(checkpoint(net.block, x, use_reentrant=False))

    network = Written(program, block=block, head=nn.Linear(6, 10))
    return Subject(network, classified((5, 6)))


def unet() -> Subject:
    def program(net: Any, x: Tensor) -> Tensor:
        first = net.norm(net.first(x)).relu_()
        below = torch.sigmoid(net.below(first))
        return net.head(torch.cat([first, net.up(below)], 1)) + net.late(first)

    parts = {
        "first": nn.Linear(6, 8),
        "norm": nn.LayerNorm(8),
        "below": nn.Linear(8, 3),
        "up": nn.Linear(3, 5),
        "head": nn.Linear(13, 4),
        "late": nn.Linear(8, 4),
    }
    return Subject(Written(program, **parts), (torch.randn(5, 6), torch.randn(5, 4)), "mse")


def spelled_sums() -> Subject:
    """Sums whose terms are no tensors of the network: lerp, alpha, addcmul, a stack."""

    def program(net: Any, x: Tensor) -> Tensor:
        x = torch.lerp(x, net.a(x), 0.3)
        x = torch.add(x, torch.tanh(net.b(x)), alpha=0.5)
        x = torch.addcmul(x, torch.sigmoid(net.c(x)), net.d(x))
        return torch.stack([x, net.a(torch.tanh(x))]).sum(0)

    network = Written(program, **{name: nn.Linear(6, 6) for name in "abcd"})
    return Subject(network, (torch.randn(5, 6), torch.randn(5, 6)), "inner_product")


def tokens(length: int = 5) -> Tensor:
    return torch.randint(3, 30, (2, length))


def gpt2() -> Subject:
    import transformers as hf

    config = hf.GPT2Config(vocab_size=32, n_embd=8, n_layer=2, n_head=2, n_positions=8)
    ids = tokens()
    return Subject(hf.GPT2LMHeadModel(config), {"input_ids": ids, "labels": ids.clone()})


def t5() -> Subject:
    import transformers as hf

    config = hf.T5Config(
        vocab_size=32, d_model=8, d_kv=4, d_ff=8, num_heads=2, num_layers=1, num_decoder_layers=1,
        decoder_start_token_id=0,
    )  # fmt: skip
    network = hf.T5ForConditionalGeneration(config)
    return Subject(network, {"input_ids": tokens(), "labels": tokens(4)})


SUBJECTS: tuple[Callable[[], Subject], ...] = (
    plain_perceptron,
    residual_perceptron,
    series,
    images,
    forgetful,
    checkpointed,
    unet,
    spelled_sums,
    gpt2,
    t5,
)
