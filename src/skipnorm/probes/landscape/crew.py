"""The points of a landscape shared out among processes that find the same numbers, to the last bit."""

import math
import multiprocessing
import pickle
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from skipnorm.errors import ProbeError
from skipnorm.probes.landscape.sampler import (
    Point,
    Sampler,
    attention_allowed,
    sampling,
    walked,
)
from skipnorm.probes.landscape.terrain import Mover, Terrain, moved
from skipnorm.probes.problem import Statistics

__all__ = ["Ambience", "packed", "shared_out"]

_SHARES = 6
"""Pieces of work for each process, so that all of them end at about the same time."""


@dataclass(frozen=True)
class Ambience:
    """What in a process changes the last bits of a number: the number of threads included."""

    threads: int
    precision: str
    dtype: torch.dtype
    deterministic: bool
    attention: tuple[str, ...]
    casts: tuple[tuple[str, bool, torch.dtype], ...]

    @staticmethod
    def here() -> "Ambience":
        """That of this process at this moment."""
        kinds = ("cpu", "cuda")
        return Ambience(
            torch.get_num_threads(),
            torch.get_float32_matmul_precision(),
            torch.get_default_dtype(),
            torch.are_deterministic_algorithms_enabled(),
            tuple(backend.name for backend in attention_allowed()),
            tuple(
                (kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
                for kind in kinds
            ),
        )

    def enter(self, stack: ExitStack) -> None:
        """Make it so in this process."""
        torch.set_num_threads(self.threads)
        torch.set_float32_matmul_precision(self.precision)
        torch.set_default_dtype(self.dtype)
        if self.deterministic != torch.are_deterministic_algorithms_enabled():
            torch.use_deterministic_algorithms(self.deterministic)
        stack.enter_context(sdpa_kernel([getattr(SDPBackend, name) for name in self.attention]))
        for kind, enabled, dtype in self.casts:
            if enabled:
                stack.enter_context(torch.autocast(kind, dtype=dtype))


@dataclass(frozen=True)
class Order:
    """What a worker needs to know to find points."""

    subject: bytes
    statistics: Statistics
    where: str
    terrain: Terrain
    reference: Tensor
    ambience: Ambience


def packed(network: Any, batch: Any, loss: Any) -> bytes:
    """Network, batch and loss as bytes for other processes.

    Raises:
        ProbeError: one of them cannot be sent.
    """
    try:
        return pickle.dumps((network, batch, loss))
    except (pickle.PicklingError, AttributeError, TypeError, RuntimeError) as cause:
        raise ProbeError(
            f"network, batch or loss cannot be sent to another process: {cause}. Expected classes and functions that "
            "are defined at the top of a module, and no hooks or closures. Or leave workers= out."
        ) from cause


def shared_out(
    order: Order, points: Sequence[Point], workers: int
) -> Iterator[tuple[list[int], Tensor]]:
    """The losses at the points, found by several processes, in whichever order.

    Raises:
        ProbeError: a process died, or finds other numbers than this one does.
    """
    size = max(1, math.ceil(len(points) / (workers * _SHARES)))
    shares = [points[start : start + size] for start in range(0, len(points), size)]
    crew = ProcessPoolExecutor(
        min(workers, len(shares)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(pickle.dumps(order),),
    )
    try:
        for future in as_completed([crew.submit(_found, share) for share in shares]):
            numbers, losses = future.result()
            yield numbers, torch.from_numpy(losses)
    except BrokenProcessPool as cause:
        raise ProbeError(
            "a worker process died. Where a script calls this, put the call under `if __name__ == '__main__':`, since "
            "workers import the script; else look for want of memory, or leave workers= out."
        ) from cause
    finally:
        crew.shutdown(cancel_futures=True)


_order = b""


def _begin(order: bytes) -> None:
    global _order
    _order = order
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for who asked


@cache
def _at_work() -> tuple[ExitStack, Sampler, Mover]:
    """The network in this process, posed once and for all."""
    order: Order = pickle.loads(_order)
    stack = ExitStack()
    order.ambience.enter(stack)
    network, batch, loss = pickle.loads(order.subject)
    _, sampler = stack.enter_context(sampling(network, batch, loss, order.statistics, order.where))
    found = sampler.reference
    if not torch.equal(found.view(torch.int64), order.reference.view(torch.int64)):
        raise ProbeError(
            f"a worker process finds the loss {found.tolist()} where this one finds {order.reference.tolist()}: the "
            "network depends on something that does not travel with it. Leave workers= out."
        )
    return stack, sampler, stack.enter_context(moved(network, order.terrain))


def _found(points: Sequence[Point]) -> tuple[list[int], Any]:
    _, sampler, mover = _at_work()
    numbers: list[int] = []
    losses = []
    for some, values in walked(sampler, mover, points):
        numbers += some
        losses.append(values)
    return numbers, torch.cat(losses).numpy()
