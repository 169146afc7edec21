"""The loss on every batch at the weights that a network has at this moment, as cheap as the forward itself."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from skipnorm.anatomy.tensors import tensors_in
from skipnorm.probes.landscape.terrain import Mover, tensors_of
from skipnorm.probes.objective import LOSSES, Loss, inputs_of, loss_of
from skipnorm.probes.problem import Problem, Statistics, copied, posed

__all__ = ["Point", "Sampler", "attention_allowed", "collected", "sampling", "walked"]

Point = tuple[int, float, float]
"""The number of a point, and its place along x and y."""

Found = float | Tensor
"""A loss: on a CPU a number; on an accelerator a tensor that nobody has waited for."""

_PATIENCE = 0.25
"""Seconds of work that are handed on together."""


class Sampler:
    """A network's losses, batch by batch: a pure function of the weights and buffers it has when it is asked.

    Every call starts from the same random state, the same inputs and the same state of whatever buffers the forward
    writes into and reads again (an own running average, the vectors of a spectral norm). The running statistics that
    BatchNorm writes in training mode it does not read. `rewind` puts such buffers back.

    Attributes:
        reference: the losses at the weights that the network came with.
    """

    def __init__(self, problem: Problem, loss: Loss) -> None:
        self._problem, self._network, self._loss = problem, problem.network, loss
        self._calls = [inputs_of(batch) for batch in problem.batches]
        self._usual = _usual(loss, [targets for _, _, targets in self._calls])
        self._seed = _seeding(self._network)
        self._recalibrating = problem.statistics == "recalibrated"
        self._waiting = _anywhere_but_here(self._network)
        self._copying = False
        self._rewound: list[tuple[Tensor, Tensor]] = []
        with torch.no_grad():
            self.reference = collected(self._first_look())

    def losses(self) -> list[Found]:
        """The loss on each batch, where the network stands now; to be called under `no_grad`."""
        if self._recalibrating:
            self._problem.recalibrate()
        return [self._loss_on(*call) for call in self._calls]

    def again(self) -> Tensor:
        """The losses once more, where the network stands now."""
        with torch.no_grad():
            self.rewind()
            return collected(self.losses())

    def rewind(self) -> None:
        """Put back what the last forward wrote into buffers, for the next one to start from the same."""
        for buffer, start in self._rewound:
            buffer.copy_(start)

    def _loss_on(self, args: tuple[Any, ...], named: dict[str, Any], targets: Any) -> Found:
        if self._copying:
            args, named = copied((args, named))
        self._seed(0)
        outputs = self._network(*args, **named)
        if self._usual is not None and type(outputs) is Tensor:
            loss = self._usual(outputs, targets)
        else:
            loss = loss_of(outputs, targets, self._loss, differentiable=False)
        return loss.clone() if self._waiting else loss.item()

    def _first_look(self) -> list[Found]:
        """The first losses, on copies of the inputs, to see whether the forward writes into them or into buffers."""
        buffers = [(buffer, buffer.clone()) for buffer in _read_again(self._network)]
        calls = self._calls
        self._calls = [(*copied((args, named)), targets) for args, named, targets in calls]
        inputs = list(tensors_in([(args, named) for args, named, _ in self._calls]))
        before = [_age(tensor) for tensor in inputs]
        found = self.losses()
        self._copying = before != [_age(tensor) for tensor in inputs]
        self._rewound = [(buffer, start) for buffer, start in buffers if not _same(buffer, start)]
        self._calls = calls
        self.rewind()
        return found


@contextmanager
def sampling(
    network: nn.Module, batch: Any, loss: Loss, statistics: Statistics, where: str
) -> Iterator[tuple[Problem, Sampler]]:
    """The problem posed, and who samples it: with the attention that the network itself would use."""
    allowed = attention_allowed()
    with ExitStack() as stack:
        problem = stack.enter_context(
            posed(network, batch, loss=loss, statistics=statistics, where=where)
        )
        stack.enter_context(sdpa_kernel(allowed))
        stack.enter_context(_casts_anew())
        yield problem, Sampler(problem, loss)


def walked(
    sampler: Sampler, mover: Mover, points: Sequence[Point]
) -> Iterator[tuple[list[int], Tensor]]:
    """The losses of one point after another: numbers of points, and (points x batches), a few at a time."""
    start = 0
    while start < len(points):
        found = _for_a_while(sampler, mover, points, start)
        end = start + len(found) // len(sampler.reference)
        yield (
            [number for number, _, _ in points[start:end]],
            collected(found).reshape(end - start, -1),
        )
        start = end


def _for_a_while(
    sampler: Sampler, mover: Mover, points: Sequence[Point], start: int
) -> list[Found]:
    found: list[Found] = []
    begun = time.monotonic()
    with torch.no_grad():
        for index in range(start, len(points)):
            _, x, y = points[index]
            sampler.rewind()
            mover.to(x, y)
            found += sampler.losses()
            if time.monotonic() - begun > _PATIENCE:
                break
    return found


@contextmanager
def _casts_anew() -> Iterator[None]:
    """Under autocast, weights are cast at every call: it keeps casts by tensor, whose values here come and go."""
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)


def attention_allowed() -> list[SDPBackend]:
    """The ways to compute attention that are switched on at this moment."""
    cuda = torch.backends.cuda
    switches: dict[SDPBackend, Callable[[], bool]] = {
        SDPBackend.FLASH_ATTENTION: cuda.flash_sdp_enabled,
        SDPBackend.EFFICIENT_ATTENTION: cuda.mem_efficient_sdp_enabled,
        SDPBackend.CUDNN_ATTENTION: cuda.cudnn_sdp_enabled,
        SDPBackend.MATH: cuda.math_sdp_enabled,
    }
    return [backend for backend, on in switches.items() if on()] or [SDPBackend.MATH]


def collected(losses: Sequence[Found]) -> Tensor:
    """Scalars of any device and precision as one row of float64."""
    waiting = [each for each in losses if isinstance(each, Tensor)]
    if waiting:
        return torch.stack(waiting).cpu().double()
    return torch.tensor(losses, dtype=torch.float64)


def _usual(loss: Loss, targets: Sequence[Any]) -> Callable[[Any, Any], Tensor] | None:
    """What `loss_of` comes to where the network returns a plain tensor, if name or targets settle it beforehand."""
    if not all(isinstance(each, Tensor) for each in targets):
        return None
    if loss is None:
        kinds = {each.is_floating_point() for each in targets}
        loss = {(True,): "mse", (False,): "cross_entropy"}.get(tuple(kinds))
    return LOSSES.get(loss) if isinstance(loss, str) else None


def _anywhere_but_here(network: nn.Module) -> bool:
    """Whether some of the network lies on an accelerator, which is not waited for at every point."""
    return any(tensor.device.type != "cpu" for tensor in tensors_of(network).values())


def _seeding(network: nn.Module) -> Callable[[int], object]:
    """How every evaluation gets the random state that `Problem` gives it: on a CPU at a hundredth of the price."""
    return torch.manual_seed if _anywhere_but_here(network) else torch.default_generator.manual_seed


def _read_again(network: nn.Module) -> list[Tensor]:
    """The buffers that a forward might both write and read."""
    norms = (nn.modules.batchnorm._BatchNorm,)
    return [
        buffer
        for module in network.modules()
        if not isinstance(module, norms)
        for buffer in module.buffers(recurse=False)
    ]


def _age(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _same(one: Tensor, other: Tensor) -> bool:
    """Equal, or not a number in the same places."""
    return torch.equal(one, other) or torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))
