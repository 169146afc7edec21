"""Cost and memory against size: the exponent of a power law, 1 where twice the size costs twice as much.

    python benchmarks/scaling.py            about four minutes

Sizes grow eight-fold in samples, depth and number of points (of a landscape), batches (of curvature and of pairs
of gradients) and products (of curvature). Seconds are those of the processor, in one thread; memory is the highest that
this process added above network and batch, of tensors and of Python, in a process of its own each time. A fixed cost
makes an exponent smaller than 1, what grows faster than linearly makes it larger; memory of which less than 4 MiB
are added is noise of the allocator, and has none. Pairs of gradients are quadratic in samples by what they are, and
so is a Krylov run in its products, each of which is made orthogonal to all before; the usual run takes some 40.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from turns import exponent

import skipnorm as sn
from skipnorm.probes import gradient, moments, pass_through

Batch = tuple[torch.Tensor, torch.Tensor]
Call = Callable[[torch.nn.Module, list[Batch], int], object]

SAMPLES, DEPTH, MANY = 256, 4, 16
NOISE = 4.0  # MiB
CALLS: dict[str, Call] = {
    "measure": lambda net, batches, _: pass_through(net, batches[0], [moments(), gradient()]),
    "landscape": lambda net, batches, many: sn.landscape(net, batches, along="line", points=many + 1),
    "curvature": lambda net, batches, many: sn.curvature(
        net, batches, top=1, tolerance=0.99, steps=many // 2, most=many, samples=2, lengths=()
    ),
    "gradient_correlation": lambda net, batches, _: sn.gradient_correlation(net, batches),
}  # fmt: skip
GRIDS = {
    "samples": (256, 512, 1024, 2048),
    "depth": (4, 8, 16, 32),
    "batches": (1, 2, 4, 8),
    "points": (32, 64, 128, 256),
}
ALONG = {
    "measure": ("samples", "depth"),
    "landscape": ("samples", "depth", "batches", "points"),
    "curvature": ("samples", "depth", "batches", "points"),
    "gradient_correlation": ("depth", "batches"),
}
NAMES = {"curvature points": "products", "landscape points": "points"}


def subject(along: str, size: int) -> tuple[torch.nn.Module, list[Batch], int]:
    """A network, its batches and a number of points, of which one is of that size."""
    depth = size if along == "depth" else DEPTH
    samples = size if along == "samples" else SAMPLES
    torch.manual_seed(0)
    network = sn.Perceptron(depth=depth, width=128, norm="layer", residual=True).build(0)
    count = size if along == "batches" else 1
    batches = [(torch.randn(samples, 64), torch.randint(0, 10, (samples,))) for _ in range(count)]
    return network, batches, size if along == "points" else MANY


def seconds(name: str, along: str, size: int) -> float:
    network, batches, many = subject(along, size)
    CALLS[name](network, batches, many)
    taken = []
    for _ in range(3):
        start = time.process_time()
        CALLS[name](network, batches, many)
        taken.append(time.process_time() - start)
    return min(taken)


def resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def peak(name: str, along: str, size: int) -> float:
    """KiB that one call adds at most, in this process; a call on a small batch has woken everything before."""
    network, batches, many = subject(along, size)
    CALLS[name](network, [(inputs[:8], targets[:8]) for inputs, targets in batches[:1]], MANY)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak begins anew
    before = resident("VmRSS")
    CALLS[name](network, batches, many)
    return max(1.0, resident("VmHWM") - before)


def peak_elsewhere(name: str, along: str, size: int) -> float:
    command = [sys.executable, __file__, "--peak", name, along, str(size)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return float(json.loads(done.stdout))


def main() -> None:
    torch.set_num_threads(1)
    if "--peak" in sys.argv:
        name, along, size = sys.argv[-3:]
        print(json.dumps(peak(name, along, int(size))))
        return
    print(
        "Exponents of the seconds, over all sizes and over the last doubling, and of the peak memory"
    )
    for name, grids in ALONG.items():
        for along in grids:
            line(name, along)


def line(name: str, along: str) -> None:
    sizes = [float(size) for size in GRIDS[along]]
    took = [seconds(name, along, size) for size in GRIDS[along]]
    held = [peak_elsewhere(name, along, size) / 1024 for size in GRIDS[along][1::2]]
    memory = f"{exponent(sizes[1::2], held):4.2f}" if max(held) > NOISE else "none"
    print(
        f"  {name:20s} {NAMES.get(f'{name} {along}', along):8s} {sizes[0]:4.0f} to {sizes[-1]:4.0f}: "
        f"seconds {exponent(sizes, took):4.2f}, at the end {exponent(sizes[-2:], took[-2:]):4.2f} "
        f"({1e3 * took[0]:.1f} to {1e3 * took[-1]:.1f} ms); memory {memory} ({held[0]:.1f} to {held[1]:.1f} MiB)",
        flush=True,
    )


if __name__ == "__main__":
    main()
