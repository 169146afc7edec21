"""What second derivatives will take before they are taken: memory, and which functions they pass through."""

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

from skipnorm.errors import ProbeError
from skipnorm.probes.problem import Parameters, Problem

__all__ = ["Budget", "Passage", "budget", "free_bytes", "passage"]

_MIB = 2**20
_SMALL = 2**20
"""Below this, what a product touches stays in the cache, and several vectors at once are faster on a CPU (measured)."""

_ATTENTION = ("scaled_dot_product_attention", "multi_head_attention_forward")
_BENT = (
    "relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "prelu", "rrelu", "rrelu_", "hardtanh", "hardtanh_",
    "hardsigmoid", "hardswish", "threshold", "threshold_", "abs", "clamp", "clamp_", "clip", "maximum", "minimum",
    "max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "amax", "amin",
)  # fmt: skip


@dataclass
class Passage:
    """What one forward pass of each batch does, as far as its second derivative is concerned.

    Attributes:
        saved: bytes that autograd keeps of each batch, parameters not counted.
        attention: calls of attention that PyTorch would fuse.
        bent: functions with a kink, which the Hessian does not see.
    """

    saved: list[int] = field(default_factory=list)
    attention: int = 0
    bent: set[str] = field(default_factory=set)


def passage(problem: Problem, point: Parameters) -> Passage:
    """Each batch passed forward once, counting what a backward pass would need and keeping none of it."""
    found = Passage()
    parameters = {value.untyped_storage()._cdata for value in problem.network.parameters()}
    parameters |= {value.untyped_storage()._cdata for value in point.values()}
    for batch in range(len(problem.batches)):
        seen: dict[int, tuple[StorageWeakRef, int]] = {}

        def pack(tensor: Tensor, seen: dict[int, Any] = seen) -> None:
            storage = tensor.untyped_storage()
            if storage._cdata not in parameters and storage._cdata not in seen:
                # the weak reference keeps the address from being given to another storage
                seen[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())  # type: ignore[no-untyped-call]

        hooks = torch.autograd.graph.saved_tensors_hooks(pack, _never)
        with hooks, _Watch(found):
            problem.loss_on(batch, point)
        found.saved.append(sum(size for _, size in seen.values()))
    return found


def _never(_: Any) -> Tensor:
    raise AssertionError("this pass is not differentiated")


class _Watch(TorchFunctionMode):
    def __init__(self, found: Passage) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        self.found.attention += name in _ATTENTION
        if name in _BENT:
            self.found.bent.add(name.removesuffix("_"))
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Budget:
    """How a run fits into memory.

    Attributes:
        retained: whether the graph of every batch is kept from product to product, or built anew for each.
        at_once: how many vectors are multiplied in one go.
        words: the estimate, for the record.
    """

    retained: bool
    at_once: int
    words: str


def budget(
    found: Passage,
    *,
    parameters: int,
    largest: int,
    itemsize: int,
    rows: int,
    block: int,
    cap: float,
    said: str,
    cpu: bool,
) -> Budget:
    """The fastest way that stays below the cap.

    A graph that can be differentiated again holds about twice what a forward pass saves and one gradient; a product
    takes 1.5 times the former and two gradients for each vector that goes through at once (measured on perceptrons,
    convolutional and attention networks). The Krylov basis takes `rows` vectors over the largest group of parameters.

    Args:
        found: what the forward passes save.
        parameters: how many are varied in all.
        largest: how many there are in the largest group.
        itemsize: bytes of each.
        rows: how many vectors are held at most.
        block: how many are multiplied together.
        cap: bytes.
        said: the cap in words.
        cpu: there, several vectors at once pay only while all of it stays in the cache.

    Raises:
        ProbeError: no way fits; it states the estimate, the cap and what to try.
    """
    vector = largest * itemsize
    graphs = [2 * saved + parameters * itemsize for saved in found.saved]
    column = 1.5 * max(found.saved) + 2 * vector
    basis = rows * vector
    wanted = block if not cpu or max(found.saved) + vector < _SMALL else 1
    ways = [(True, wanted), (True, 1), (False, wanted), (False, 1)]
    for retained, at_once in ways:
        held = sum(graphs) if retained else max(graphs)
        total = held + at_once * column + basis
        if total <= cap:
            kept = f"graphs of {len(graphs)} batches kept" if retained else "one graph at a time"
            return Budget(
                retained,
                at_once,
                f"estimated {total / _MIB:.1f} MiB: {kept} {held / _MIB:.1f}, {at_once} vectors at once "
                f"{at_once * column / _MIB:.1f}, basis of up to {rows} vectors {basis / _MIB:.1f}; "
                f"cap {said}",
            )
    least = max(graphs) + column
    raise ProbeError(_refusal(least, basis, cap, rows, vector, len(graphs)))


def _refusal(least: float, basis: float, cap: float, rows: int, vector: int, batches: int) -> str:
    fitting = int((cap - least) / vector)
    remedies = [
        f"a smaller most= ({fitting - 1} vectors fit, it makes {rows} of them)"
        if fitting > 8
        else "",
        "per='layer' or where= (fewer parameters at a time)",
        f"the batch cut into a list of smaller ones (now {batches})" if least > cap / 4 else "",
        "memory_gib= if there is more than that",
    ]
    return (
        f"expected the curvature to fit into {cap / _MIB:.4g} MiB, found that it needs about "
        f"{(least + basis) / _MIB:.4g} MiB: {least / _MIB:.4g} for one product, {basis / _MIB:.4g} for the Krylov "
        f"basis. Try {', '.join(filter(None, remedies))}."
    )


def free_bytes(device: torch.device) -> float:
    """How much memory is free now on a device, as the system says; infinite where it does not say."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return math.inf
