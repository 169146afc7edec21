"""What all pairs of per-sample gradients cost, as ratios to one gradient of the batch, in one thread.

    python benchmarks/gradient_pairs.py            about two minutes

The bare gradient is forward and backward to all parameters, as in training. `vmap(grad)` forms every sample's gradient
and multiplies the matrix by its transpose, the usual way; both agree, which is printed first. `one batch` is a whole
call: the network made ready and put back, a trial on three samples that shows whether they are mixed, all pairs, and
their statistics. `of eight` is a batch in a list of eight, where the first two are done once.
"""

import sys

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from transformers import ViTConfig, ViTForImageClassification
from turns import milliseconds, ratio, taking_turns

from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.probes.shattering import gradient_correlation

SAMPLES, CLASSES, BATCHES = 64, 10, 8


class Logits(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images).logits


def cases() -> dict[str, tuple[nn.Module, Tensor]]:
    torch.manual_seed(0)
    vit = ViTConfig(
        image_size=32,
        patch_size=8,
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=256,
        num_labels=CLASSES,
        attn_implementation="eager",
    )
    convnet = ConvNet(dims=2, width=32, depth=6, residual=True, norm="group")
    return {
        "perceptron, 6 layers of 64": (
            Perceptron(depth=6, width=64, norm="layer").build(0),
            torch.randn(SAMPLES, 64),
        ),
        "perceptron, 8 layers of 256": (
            Perceptron(depth=8, width=256, norm="layer").build(0),
            torch.randn(SAMPLES, 64),
        ),
        "residual convnet, 6 blocks of 32, 16 x 16": (
            convnet.build(0),
            torch.randn(SAMPLES, 1, 16, 16),
        ),
        "ViT, 4 layers of 64, 16 patches": (
            Logits(ViTForImageClassification(vit)).eval(),
            torch.randn(SAMPLES, 3, 32, 32),
        ),
    }


def bare(network: nn.Module, inputs: Tensor, targets: Tensor) -> None:
    nn.functional.cross_entropy(network(inputs), targets).backward()
    network.zero_grad(set_to_none=True)


def by_vmap(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The matrix of cosines by way of every sample's gradient."""
    parameters = {name: value.detach() for name, value in network.named_parameters()}

    def loss(values: dict[str, Tensor], sample: Tensor, target: Tensor) -> Tensor:
        outputs = functional_call(network, values, (sample[None],))
        return nn.functional.cross_entropy(outputs, target[None])

    found = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, inputs, targets)
    rows = torch.cat([part.flatten(1) for part in found.values()], dim=1)
    rows = rows / rows.norm(dim=1, keepdim=True)
    return rows @ rows.T


def off_diagonal(cosines: Tensor) -> float:
    return float(cosines[~torch.eye(len(cosines), dtype=torch.bool)].mean())


def race(network: nn.Module, inputs: Tensor, targets: Tensor, rounds: int) -> None:
    batch = (inputs, targets)
    times = taking_turns(
        {
            "bare": lambda: bare(network, *batch),
            "one batch": lambda: gradient_correlation(network, batch, method="layerwise"),
            "of eight": lambda: gradient_correlation(
                network, [batch] * BATCHES, method="layerwise"
            ),
            "vmap": lambda: by_vmap(network, *batch),
        },
        rounds,
    )
    found = {name: ratio(times, name, "bare") for name in ("one batch", "of eight", "vmap")}
    print(
        f"  {len(inputs):4d} samples, bare gradient {milliseconds(times, 'bare'):7.2f} ms: "
        f"one batch {found['one batch']:5.2f} x, of eight {found['of eight'] / BATCHES:5.2f} x, "
        f"vmap(grad) and a matrix product {found['vmap']:5.2f} x"
    )


def main() -> None:
    torch.set_num_threads(1)
    sizes = (16, 32, 64, 128) if "--sizes" in sys.argv or len(sys.argv) == 1 else (SAMPLES,)
    for title, (network, inputs) in cases().items():
        targets = torch.randint(0, CLASSES, (2 * SAMPLES,))
        inputs = torch.cat([inputs, torch.randn_like(inputs)])
        batch = (inputs[:SAMPLES], targets[:SAMPLES])
        found = gradient_correlation(network, batch, method="layerwise")
        mine = float(found.values["gradient_correlation"][0])
        theirs = off_diagonal(by_vmap(network, *batch))
        print(f"\n{title}: mean cosine {mine:.6f}, by vmap {theirs:.6f}")
        for size in sizes:
            rounds = 40 if "perceptron" in title else 7
            race(network, inputs[:size], targets[:size], rounds)


if __name__ == "__main__":
    main()
