"""Where the points of a landscape lie in weight space, and a network that is moved from one to the next."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

__all__ = ["Mover", "Terrain", "laid_out", "moved", "tensors_of"]

_ALIGNED = 64
"""The boundary, in bytes, at which memory starts: a tensor keeps its place relative to it, because the order in which a
kernel sums, and so the last bit of its result, can hang on it."""


@dataclass(frozen=True)
class Spot:
    """Where one tensor of the network lies within a block."""

    name: str
    block: int
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def within(self, block: Tensor) -> Tensor:
        """The tensor, as a view of the block."""
        return block.as_strided(self.shape, self.stride, self.offset)


@dataclass(frozen=True)
class Block:
    """Tensors of one precision on one device, end to end: where they are, and where each axis leads."""

    origin: Tensor
    x: Tensor
    y: Tensor | None


@dataclass(frozen=True)
class Terrain:
    """All that moves, laid out so that a point is reached by one operation per precision.

    A point is `origin + x * X + y * Y`; where `between`, it is the state at the fraction x of the way from the origin
    to X, and what cannot lie between (integers, truths) is taken from the nearer of the two.
    """

    spots: tuple[Spot, ...]
    blocks: tuple[Block, ...]
    between: bool = False


@dataclass
class Mover:
    """A network's private weights, and the way from one point to the next."""

    terrain: Terrain
    here: list[Tensor]
    _rows: list[Tensor] = field(default_factory=list)
    _y: float | None = None

    def to(self, x: float, y: float = 0.0) -> None:
        """Write the weights of this point; those of (0, 0) are the origin's to the last bit."""
        if self.terrain.between:
            for block, here in zip(self.terrain.blocks, self.here, strict=True):
                _between(block.origin, block.x, x, here)
            return
        if y != self._y:
            self._rows, self._y = self._row(y), y
        for block, row, here in zip(self.terrain.blocks, self._rows, self.here, strict=True):
            _added(row, block.x, x, here)

    def _row(self, y: float) -> list[Tensor]:
        """What the points of one row have in common."""
        if all(block.y is None for block in self.terrain.blocks):
            return [block.origin for block in self.terrain.blocks]
        rows = self._rows or [torch.empty_like(here) for here in self.here]
        for block, row in zip(self.terrain.blocks, rows, strict=True):
            assert block.y is not None
            _added(block.origin, block.y, y, row)
        return rows


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by name, shared ones once."""
    return dict(network.named_parameters()) | dict(network.named_buffers())


def laid_out(
    network: nn.Module,
    origin: Mapping[str, Tensor],
    x: Mapping[str, Tensor],
    y: Mapping[str, Tensor] | None = None,
    *,
    between: bool = False,
) -> Terrain:
    """The terrain with these axes; each tensor lies in memory as the network's own does."""
    own = tensors_of(network)
    kinds: dict[tuple[torch.dtype, torch.device], int] = {}
    ends: list[int] = []
    spots = []
    for name in origin:
        tensor = own[name]
        block = kinds.setdefault((tensor.dtype, tensor.device), len(kinds))
        if block == len(ends):
            ends.append(0)
        offset = _next_place(ends[block], tensor)
        ends[block] = offset + tensor.numel()
        spots.append(Spot(name, block, offset, tuple(tensor.shape), _stride(tensor)))

    def filled(values: Mapping[str, Tensor]) -> list[Tensor]:
        blocks = [
            torch.zeros(end, dtype=dtype, device=device)
            for end, (dtype, device) in zip(ends, kinds, strict=True)
        ]
        for spot in spots:
            spot.within(blocks[spot.block]).copy_(values[spot.name])
        return blocks

    with torch.no_grad():
        ys = filled(y) if y is not None else [None] * len(ends)
        blocks = zip(filled(origin), filled(x), ys, strict=True)
        return Terrain(tuple(spots), tuple(Block(*each) for each in blocks), between)


@contextmanager
def moved(network: nn.Module, terrain: Terrain) -> Iterator[Mover]:
    """The network on private weights that the mover writes; afterwards it has its own again, which nothing wrote to.

    The parameters stay the objects they are and only their memory is exchanged, so that whatever else refers to them
    (tied layers, the flat weights of an LSTM, hooks) moves along.
    """
    own = tensors_of(network)
    here = [block.origin.clone() for block in terrain.blocks]
    before = [(own[spot.name], own[spot.name].data) for spot in terrain.spots]
    try:
        for spot in terrain.spots:
            own[spot.name].data = spot.within(here[spot.block])
        yield Mover(terrain, here)
    finally:
        for tensor, data in before:
            tensor.data = data


def _added(start: Tensor, direction: Tensor, factor: float, into: Tensor) -> None:
    if factor == 0:
        into.copy_(start)
    else:
        torch.add(start, direction, alpha=factor, out=into)


def _between(start: Tensor, end: Tensor, fraction: float, into: Tensor) -> None:
    if fraction in (0, 1) or not start.is_floating_point():
        into.copy_(start if fraction < 0.5 else end)
    else:
        torch.lerp(start, end, fraction, out=into)


def _stride(tensor: Tensor) -> tuple[int, ...]:
    """The tensor's own layout in memory if it fills it without overlap, else the usual one."""
    return tuple(torch.empty_like(tensor, device="meta").stride())


def _next_place(end: int, tensor: Tensor) -> int:
    size = tensor.element_size()
    if tensor.is_meta or _ALIGNED % size:
        return end
    wanted = tensor.data_ptr() % _ALIGNED
    if wanted % size:
        return end
    first = math.ceil(end * size / _ALIGNED) * _ALIGNED + wanted
    return first // size
