"""Which way a landscape is looked: random and normalised, along a trajectory, or as given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from skipnorm.errors import ProbeError, nearest
from skipnorm.formulas.directions import (
    filter_normalised,
    gaussian,
    inner,
    layer_normalised,
    length,
    orthogonalised,
    principal,
    scaled,
)

__all__ = ["DIRECTIONS", "Axes", "axes_of", "state_of"]

DIRECTIONS = ("filter", "layer", "eigenvectors", "trajectory")
"""Random directions whose filters, or layers, are as long as the weights'; the network's Hessian's; a trajectory's."""

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Axes:
    """Directions in weight space, each as long as the weights that it moves.

    Attributes:
        directions: one for a line, two for a plane.
        words: what they are.
        notes: what to know about them.
        track: where the states of a trajectory lie, in units of the axes (states x axes).
        shares: how much of the trajectory's variance each axis carries.
    """

    directions: tuple[dict[str, Tensor], ...]
    words: str
    notes: tuple[str, ...] = ()
    track: Tensor | None = None
    shares: Tensor | None = None
    lengths: tuple[float, ...] = field(init=False)
    cosine: float = field(init=False)

    def __post_init__(self) -> None:
        """Measure the directions, and refuse those that lead nowhere."""
        lengths = tuple(float(length(each)) for each in self.directions)
        for axis, reach in zip("xy", lengths, strict=False):
            if not reach > 0 or reach == float("inf"):
                raise ProbeError(
                    f"expected a direction of finite length along {axis}, found the length {reach}: the distance is a "
                    "fraction of the norm of the weights that a direction moves, so weights and direction must be "
                    "finite and not all zero. Look at weights that are not finite, or give directions= as tensors."
                )
        object.__setattr__(self, "lengths", lengths)
        both = len(self.directions) == 2
        cosine = inner(*self.directions) / (lengths[0] * lengths[1]) if both else float("nan")
        object.__setattr__(self, "cosine", float(cosine))


def axes_of(
    weights: Tensors,
    directions: Any,
    count: int,
    *,
    seed: int = 0,
    states: Sequence[Tensors] = (),
    words: str = "as given",
) -> Axes:
    """The axes meant, on the CPU, so that every device gets the same.

    Args:
        weights: what is varied, by name.
        directions: "filter", "layer", "trajectory", or `{"x": vector, "y": vector}`; a vector maps names of
            parameters to tensors, is the tensors in the order of the parameters, or all in one flat tensor.
        count: 1 for a line, 2 for a plane.
        seed: of random directions.
        states: the trajectory.
        words: what given directions are.

    Raises:
        ProbeError: unusable directions.
    """
    weights = {name: weight.detach().cpu() for name, weight in weights.items()}
    if isinstance(directions, Mapping):
        return _given(weights, directions, count, words)
    if directions == "trajectory":
        return _along_trajectory(weights, states, count)
    return _random(weights, directions, count, seed)


def state_of(network: nn.Module, state: Any) -> dict[str, Tensor]:
    """A state by the names of the network's tensors, or the reasons why it is not one of this network.

    Raises:
        ProbeError: names or shapes that are not the network's.
    """
    found = state.state_dict() if isinstance(state, nn.Module) else state
    own = network.state_dict()
    if not isinstance(found, Mapping):
        raise ProbeError(
            f"expected a state as network.state_dict() gives it, found {type(found).__name__}"
        )
    for name, tensor in own.items():
        if not isinstance(tensor, Tensor):
            continue
        if name not in found:
            raise ProbeError(f"a state lacks {name!r}; among its names: {nearest(name, found)}")
        if found[name].shape != tensor.shape:
            raise ProbeError(
                f"expected {name!r} with the shape {tuple(tensor.shape)} of the network, found "
                f"{tuple(found[name].shape)}: states must be of one architecture."
            )
    foreign = [name for name in found if name not in own]
    if foreign:
        raise ProbeError(f"a state has a name that the network has not: {nearest(foreign[0], own)}")
    return {
        name: tensor.detach().clone()
        for name, tensor in found.items()
        if isinstance(tensor, Tensor)
    }


def _random(weights: Tensors, kind: str, count: int, seed: int) -> Axes:
    generator = torch.Generator().manual_seed(seed)
    normalised = filter_normalised if kind == "filter" else layer_normalised
    draws = [gaussian(weights, generator) for _ in range(count)]
    if count == 2:
        draws[1] = orthogonalised(
            draws[1], draws[0], within="filter" if kind == "filter" else "layer"
        )
    directions = tuple(normalised(draw, weights) for draw in draws)
    if not any(weight.dim() > 1 for weight in weights.values()):
        raise ProbeError(
            "expected weights with two or more dimensions among the parameters, found only vectors, and these random "
            "directions leave alone (Li et al. 2018). Choose other parameters with where=, or give directions=."
        )
    silent = sum(
        int((weight.flatten(1) == 0).all(1).sum())
        for weight in weights.values()
        if weight.dim() > 1
    )
    notes = (f"{silent} filters are zero and stay so on this landscape",) if silent else ()
    words = f"Gaussian, seed {seed}, {kind}-normalised; vectors (biases, gains and shifts) stay"
    return Axes(directions, words, notes)


def _given(weights: Tensors, given: Mapping[str, Any], count: int, words: str) -> Axes:
    wanted = "xy"[:count]
    if set(given) != set(wanted):
        raise ProbeError(
            f"expected directions along {' and '.join(wanted)}, as {{{', '.join(f'{a!r}: ...' for a in wanted)}}}, "
            f"found them along {', '.join(map(repr, given)) or 'nothing'}."
        )
    found = [_by_name(weights, given[axis], axis) for axis in wanted]
    return Axes(tuple(_as_long_as(weights, each) for each in found), words)


def _along_trajectory(weights: Tensors, states: Sequence[Tensors], count: int) -> Axes:
    if len(states) < count + 1:
        raise ProbeError(
            f"expected at least {count + 1} states for {count} directions along a trajectory, found {len(states)}: "
            "pass states=, a list of state_dicts from training."
        )
    path = [{name: state[name].cpu() for name in weights} for state in states]
    components, shares, _ = principal(path, count)
    if any(not float(length(each)) > 0 for each in components):
        raise ProbeError(
            f"expected states that spread in {count} directions, found that they do in fewer: they are equal or lie "
            "on a line. Take along='line', or states further apart."
        )
    directions = tuple(_as_long_as(weights, each) for each in components)
    steps = [{name: state[name] - weights[name] for name in weights} for state in path]
    track = torch.stack(
        [
            torch.stack([inner(step, each) / inner(each, each) for each in directions])
            for step in steps
        ]
    )
    words = f"the first {count} principal components of {len(states)} states"
    return Axes(directions, words, track=track, shares=shares)


def _as_long_as(weights: Tensors, direction: Tensors) -> dict[str, Tensor]:
    """The direction, as long as the weights that it moves."""
    moved = {name: weight for name, weight in weights.items() if bool((direction[name] != 0).any())}
    norm = float(length(moved)) if moved else 0.0
    return {name: each.to(weights[name].dtype) for name, each in scaled(direction, norm).items()}


def _by_name(weights: Tensors, vector: Any, axis: str) -> dict[str, Tensor]:
    shapes = {name: weight.shape for name, weight in weights.items()}
    if isinstance(vector, Tensor):
        sizes = [shape.numel() for shape in shapes.values()]
        if vector.numel() != sum(sizes):
            raise ProbeError(
                f"expected {sum(sizes)} numbers along {axis}, one for every weight, found {vector.numel()}"
            )
        vector = [
            part.reshape(shape)
            for part, shape in zip(
                torch.split(vector.reshape(-1), sizes), shapes.values(), strict=True
            )
        ]
    if not isinstance(vector, Mapping):
        vector = list(vector)
        if len(vector) != len(shapes):
            raise ProbeError(
                f"expected {len(shapes)} tensors along {axis}, one for every parameter, found {len(vector)}"
            )
        vector = dict(zip(shapes, vector, strict=True))
    found = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}
    for name, part in vector.items():
        if name not in shapes:
            raise ProbeError(f"directions along {axis}: parameter {nearest(str(name), shapes)}")
        if part.shape != shapes[name]:
            raise ProbeError(
                f"directions along {axis}: expected {name!r} with the shape {tuple(shapes[name])}, found "
                f"{tuple(part.shape)}"
            )
        found[name] = part.detach().cpu().double()
    return found
