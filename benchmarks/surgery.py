"""What surgery costs: a training step of an altered network, as a ratio to the same step of the original.

    python benchmarks/surgery.py            about two minutes
    python benchmarks/surgery.py --quick    fewer rounds

The gate multiplies every residual branch by 1, so that both networks compute the same numbers and all that differs is
what stands at the gates. The other rows are the same surgery on norms: replaced modules need nothing at run time.
"""

import sys

import torch
import torch.nn.functional as F
from passes import Logits
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification
from turns import Job, milliseconds, ratio, taking_turns

import skipnorm as sn
from skipnorm.networks.recipe import Perceptron
from skipnorm.surgery import NoisyNorm, ScaleSkips, SwapNorm, operate

Batch = tuple[Tensor, Tensor]
TARGETS = {"50-layer ResNet": 1.03, "ViT": 1.03, "residual perceptron": 1.10}


class Predictions(nn.Module):
    """The smallest vision transformer in use, ViT-Ti/16, that returns plain logits."""

    def __init__(self) -> None:
        super().__init__()
        config = ViTConfig(
            hidden_size=192,
            num_hidden_layers=12,
            num_attention_heads=3,
            intermediate_size=768,
            image_size=224,
            patch_size=16,
            num_labels=10,
        )
        self.body = ViTForImageClassification(config)

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images).logits


def subjects() -> dict[str, tuple[nn.Module, Batch, int, int]]:
    torch.manual_seed(0)
    labels = torch.randint(0, 10, (256,))
    perceptron = Perceptron(residual=True, depth=8, width=256, norm="batch").build(0)
    return {
        "residual perceptron": (perceptron, (torch.randn(256, 64), labels), 60, 4),
        "50-layer ResNet": (Logits(), (torch.randn(4, 3, 128, 128), labels[:4]), 9, 1),
        "ViT": (Predictions(), (torch.randn(4, 3, 224, 224), labels[:4]), 9, 1),
    }


def step(network: nn.Module, batch: Batch) -> None:
    F.cross_entropy(network(batch[0]), batch[1]).backward()
    network.zero_grad(set_to_none=True)


def race(name: str, network: nn.Module, batch: Batch, rounds: int, repeats: int) -> bool:
    """Print the ratios of a network, and say whether the gate keeps to its target."""
    family = sn.anatomy(network, batch[0]).norms[0].family
    operations = {
        "gate 1 at every skip": ScaleSkips(branch=1.0),
        "learned gates": ScaleSkips(branch=1.0, learnable=True),
        "every norm put in its own place": SwapNorm(to=family),
        "noise behind every norm": NoisyNorm(),
    }
    altered = {title: operate(network, each, inputs=batch[0]) for title, each in operations.items()}
    jobs: dict[str, Job] = {"original": lambda: step(network, batch)}
    for title, each in altered.items():
        jobs[title] = lambda each=each: step(each, batch)  # type: ignore[misc]
    times = taking_turns(jobs, rounds, repeats)
    print(f"\n{name}, original: {milliseconds(times, 'original'):.2f} ms")
    for title in altered:
        best = milliseconds(times, title) / milliseconds(times, "original")
        print(f"  {title:34s} {ratio(times, title, 'original'):6.3f} x   (of minima: {best:.3f})")
    return ratio(times, "gate 1 at every skip", "original") <= TARGETS[name]


def main() -> None:
    torch.set_num_threads(1)
    for name, (network, batch, rounds, repeats) in subjects().items():
        kept = race(name, network, batch, rounds // (3 if "--quick" in sys.argv else 1), repeats)
        print(f"  target for a gate {TARGETS[name]:.2f} x: {'kept' if kept else 'MISSED'}")


if __name__ == "__main__":
    main()
