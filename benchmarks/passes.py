"""What looking costs: anatomy and probes as ratios to the bare PyTorch run, in one process and one thread.

    python benchmarks/passes.py            all of it, about two minutes
    python benchmarks/passes.py --memory   only the memory of an anatomy, each in a process of its own

Times are medians over rounds in which the bare run and every candidate take turns, so that a drift of the machine's
speed meets all of them.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetForImageClassification

import skipnorm as sn
from skipnorm.networks.recipe import Perceptron
from skipnorm.probes import flow, gradient, likeness, moments, pass_through

Job = Callable[[], object]


class Logits(nn.Module):
    """A 50-layer ResNet that returns plain logits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = ResNetForImageClassification(ResNetConfig(num_labels=10))

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images).logits


def resnet() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    return Logits(), (torch.randn(8, 3, 128, 128), torch.randint(0, 10, (8,)))


def perceptron() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    network = Perceptron(depth=8, width=256, norm="batch").build(0)
    return network, (torch.randn(256, 64), torch.randint(0, 10, (256,)))


def step(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    """The yardstick: forward and backward of ordinary training, parameter gradients included."""
    F.cross_entropy(network(batch[0]), batch[1]).backward()
    network.zero_grad(set_to_none=True)


def glance(network: nn.Module, inputs: Tensor) -> None:
    with torch.no_grad():
        network(inputs)


def taking_turns(jobs: dict[str, Job], rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for round_ in range(rounds + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if round_:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def ratios(title: str, network: nn.Module, batch: tuple[Tensor, Tensor], rounds: int) -> None:
    inputs = batch[0]
    forward = taking_turns(
        {
            "bare forward, no gradient": lambda: glance(network, inputs),
            "anatomy": lambda: sn.anatomy(network, inputs),
            "moments, forward only": lambda: pass_through(network, batch, [moments()]),
        },
        rounds,
    )
    both = taking_turns(
        {
            "bare forward + backward": lambda: step(network, batch),
            "moments + gradient": lambda: pass_through(network, batch, [moments(), gradient()]),
            "moments + gradient, labelled": lambda: sn.measure(
                network, batch, probes=["moments", "gradient"]
            ),
            "likeness, 32 samples": lambda: pass_through(network, batch, [likeness()]),
            "likeness, 8 samples": lambda: pass_through(network, batch, [likeness(8)]),
            "flow": lambda: pass_through(network, batch, [flow()]),
        },
        rounds,
    )
    print(f"\n{title}")
    for times in (forward, both):
        bare, base = next(iter(times.items()))
        print(f"  {bare}: {base * 1e3:.2f} ms")
        for name, taken in list(times.items())[1:]:
            print(f"    {name:32s} {taken / base:6.2f} x")


def resident(field: str) -> int:
    """A figure of this process's memory in KiB, as Linux keeps it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def peak_of(job: str) -> int:
    """Peak memory, in KiB, that a job adds to a process that holds the network and the batch."""
    network, (inputs, _) = resnet()
    glance(network, inputs[:2, :, :64, :64])
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    glance(network, inputs) if job == "bare" else sn.anatomy(network, inputs)
    return resident("VmHWM") - before


def memory() -> None:
    peaks = {}
    for job in ("bare", "anatomy"):
        command = [sys.executable, __file__, "--peak", job]
        runs = [
            subprocess.run(command, capture_output=True, check=True, text=True).stdout
            for _ in range(3)
        ]
        peaks[job] = statistics.median(json.loads(run) for run in runs)
    print(
        "\nPeak memory above what network and batch take, 50-layer ResNet, each in a process of its own"
    )
    print(f"  bare forward, no gradient: {peaks['bare'] / 1024:.0f} MiB")
    print(f"    anatomy                          {peaks['anatomy'] / peaks['bare']:6.2f} x")


def main() -> None:
    torch.set_num_threads(1)
    if "--peak" in sys.argv:
        print(json.dumps(peak_of(sys.argv[-1])))
        return
    if "--memory" not in sys.argv:
        ratios("Perceptron, 8 layers of 256 with batch norm, 256 samples", *perceptron(), rounds=30)
        ratios("50-layer ResNet, 8 images of 128 x 128", *resnet(), rounds=5)
    memory()


if __name__ == "__main__":
    main()
