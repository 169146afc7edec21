"""What all pairs of per-sample gradients cost, as ratios to one gradient of the batch, in one thread.

    python benchmarks/gradient_pairs.py

The bare gradient is forward and backward to all parameters, as in training. `vmap(grad)` forms every sample's gradient
and multiplies the matrix by its transpose, the usual way; both agree, which is printed first. Times are medians over
rounds in which all candidates take turns.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from transformers import ViTConfig, ViTForImageClassification

from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.probes.shattering import gradient_correlation

SAMPLES, CLASSES = 64, 10
Job = Callable[[], object]


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


def taking_turns(jobs: dict[str, Job], rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for round_ in range(rounds + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if round_:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    torch.set_num_threads(1)
    for title, (network, inputs) in cases().items():
        targets = torch.randint(0, CLASSES, (SAMPLES,))
        batch = (inputs, targets)
        layerwise = gradient_correlation(network, batch, method="layerwise")
        mine = float(layerwise.values["gradient_correlation"][0])
        theirs = off_diagonal(by_vmap(network, *batch))
        times = taking_turns(
            {
                "bare gradient": lambda network=network, batch=batch: bare(network, *batch),
                "gradient_correlation": lambda network=network, batch=batch: gradient_correlation(
                    network, batch, method="layerwise"
                ),
                "vmap(grad), then matrix product": lambda network=network, batch=batch: by_vmap(
                    network, *batch
                ),
            },
            rounds=9,
        )
        base = times.pop("bare gradient")
        print(f"\n{title}, {SAMPLES} samples: mean cosine {mine:.6f}, by vmap {theirs:.6f}")
        print(f"  bare gradient: {base * 1e3:.2f} ms")
        for name, taken in times.items():
            print(f"    {name:34s} {taken / base:6.2f} x")


if __name__ == "__main__":
    main()
