"""The places at which a landscape is looked at, and what was found there, put in words and numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from torch import nn

from skipnorm.errors import ProbeError
from skipnorm.evidence.schema import Quantity
from skipnorm.probes.findings import Findings
from skipnorm.probes.landscape.axes import Axes
from skipnorm.probes.landscape.sampler import Point, Sampler
from skipnorm.probes.landscape.store import PointStore
from skipnorm.probes.problem import Problem

__all__ = ["Grid", "found_on", "grid_of"]


@dataclass(frozen=True)
class Grid:
    """Places along each axis.

    Attributes:
        along: a line, a plane or an interpolation.
        places: where the points are on each axis.
        origin: the number of the point with which the others are compared.
    """

    along: str
    places: np.ndarray

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes."""
        return ("x", "y") if self.along == "plane" else ("x",)

    @property
    def points(self) -> list[Point]:
        """All points, row by row."""
        if self.along == "plane":
            pairs = [(x, y) for y, x in product(self.places.tolist(), repeat=2)]
        else:
            pairs = [(x, 0.0) for x in self.places.tolist()]
        return [(number, x, y) for number, (x, y) in enumerate(pairs)]

    @property
    def origin(self) -> int:
        """The number of the point at (0, 0)."""
        return next(number for number, x, y in self.points if x == 0 and y == 0)

    def shaped(self, values: np.ndarray) -> np.ndarray:
        """One value (or row of values) per point as an array over x, or over x and y."""
        if self.along != "plane":
            return values
        count = len(self.places)
        return np.swapaxes(values.reshape(count, count, *values.shape[1:]), 0, 1)


def grid_of(
    along: str, points: int | Sequence[float], distance: float | None, axes: Axes | None
) -> Grid:
    """The grid meant.

    Raises:
        ProbeError: a grid without the centre, or no grid at all.
    """
    reach = _reach(axes) if distance is None else distance
    if isinstance(reach, bool) or not np.isfinite(reach) or reach <= 0:
        raise ProbeError(
            f"expected the distance to be a positive fraction of the weight norm, found {distance!r}; try 1.0"
        )
    if isinstance(points, int):
        return Grid(along, _even(points, along, float(reach)))
    if distance is not None:
        raise ProbeError("expected either a distance or the places of the points, found both")
    places = np.asarray(list(points), dtype=float)
    if places.ndim != 1 or not np.isfinite(places).all() or (np.diff(places) <= 0).any():
        raise ProbeError(f"expected places in ascending order, each once, found {list(points)}")
    if 0 not in places:
        raise ProbeError(
            f"expected 0 among the places, where the {'first state' if axes is None else 'network'} is, found "
            f"{places.tolist()}: all others are compared with it."
        )
    return Grid(along, np.where(places == 0, 0.0, places))


def found_on(
    grid: Grid, axes: Axes | None, store: PointStore, problem: Problem, sampler: Sampler
) -> Findings:
    """What the points say together."""
    losses, weights = store.losses, np.asarray(problem.weights, dtype=float)
    mean, difference, error = _paired(losses, losses[grid.origin], weights)
    values: dict[str, Any] = {
        "loss": grid.shaped(mean),
        "difference": grid.shaped(difference),
        "difference_error": grid.shaped(error),
        "batch_loss": grid.shaped(losses),
    }
    coords: dict[str, Any] = {name: grid.places for name in grid.axes}
    coords["batch"] = np.arange(losses.shape[1])
    quantities = _quantities(grid.axes)
    if axes is not None:
        values |= {"unit_length": np.asarray(axes.lengths), "cosine": np.asarray(axes.cosine)}
        coords["direction"] = list(grid.axes)
        quantities += _OF_AXES
    if axes is not None and axes.track is not None and axes.shares is not None:
        values |= {"track": axes.track.numpy(), "track_share": axes.shares.numpy()}
        coords["step"] = np.arange(len(axes.track))
        quantities += _OF_TRACKS
    return Findings(
        quantities,
        values,
        coords,
        _settings(grid, axes, problem),
        (*store.notes, *_notes(grid, axes, store, sampler)),
    )


def _reach(axes: Axes | None) -> float:
    if axes is None or axes.track is None:
        return 1.0
    return 1.1 * float(axes.track.abs().max())


def _even(points: int, along: str, reach: float) -> np.ndarray:
    if along == "interpolation":
        if isinstance(points, bool) or points < 2:
            raise ProbeError(
                f"expected at least 2 points from one state to another, found {points}"
            )
        return np.arange(points) / (points - 1)
    if isinstance(points, bool) or points < 1 or points % 2 == 0:
        raise ProbeError(
            f"expected an odd number of points, so that the centre is one of them, found {points}; try "
            f"{abs(points) + 1}"
        )
    half = points // 2
    return reach * np.arange(-half, half + 1) / max(half, 1)


def _paired(
    losses: np.ndarray, centre: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean loss, mean difference from the centre, and the standard error of that over batches."""
    shares, count = weights / weights.sum(), len(weights)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = losses @ shares if count > 1 else losses[:, 0]
        apart = losses - centre
        difference = apart @ shares if count > 1 else apart[:, 0]
        squares = np.square(apart - difference[:, None]) @ np.square(shares)
        factor = count / (count - 1) if count > 1 else np.nan
        return mean, difference, np.sqrt(squares * factor)


def _quantities(axes: tuple[str, ...]) -> tuple[Quantity, ...]:
    return (
        Quantity(
            "loss", axes, "loss", "the mean loss over all samples at this point", "Li et al. 2018"
        ),
        Quantity(
            "difference",
            axes,
            "loss",
            "the loss here less the loss at the centre, same batches",
            "definition",
        ),
        Quantity(
            "difference_error",
            axes,
            "loss",
            "standard error of the difference over batches (weighted by their size); NaN with but one",
            "definition",
        ),
        Quantity(
            "batch_loss",
            (*axes, "batch"),
            "loss",
            "the loss of each batch at this point",
            "definition",
        ),
    )


_OF_AXES = (
    Quantity(
        "unit_length",
        ("direction",),
        "weight",
        "the distance in weight space that 1 on this axis is: the norm of the weights that it moves",
        "Li et al. 2018",
    ),
    Quantity("cosine", (), "1", "the cosine between the axes: 0 is a right angle", "definition"),
)
_OF_TRACKS = (
    Quantity(
        "track",
        ("step", "direction"),
        "1",
        "where each state lies, projected on the axes",
        "Li et al. 2018",
    ),
    Quantity(
        "track_share",
        ("direction",),
        "1",
        "the share of the variance of the states along this axis",
        "Li et al. 2018",
    ),
)


def _settings(grid: Grid, axes: Axes | None, problem: Problem) -> dict[str, str]:
    return {
        "along": grid.along,
        "directions": axes.words if axes else "from the first state (0) to the second (1)",
        "distance": f"{grid.places[0]:g} to {grid.places[-1]:g} "
        + ("of the way" if axes is None else "of the weight norm"),
        "statistics": problem.statistics,
        "batch_norm": _batch_norm(problem),
        "mode": "training" if problem.network.training else "evaluation",
        "samples": f"{sum(problem.weights)} in {len(problem.weights)} batches, the same at every point",
        "attention": "as the network computes it",
    }


def _batch_norm(problem: Problem) -> str:
    """What the batch norms of the network did normalise by."""
    norms = [
        module
        for module in problem.network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    by_batch = sum(norm.training or not norm.track_running_stats for norm in norms)
    running = len(norms) - by_batch
    how = "running statistics"
    if problem.statistics == "recalibrated":
        how += " estimated anew from the batches at every point"
    parts = [f"{by_batch} by the batch"] * (by_batch > 0) + [f"{running} by {how}"] * (running > 0)
    return ", ".join(parts) or "the network has none"


def _notes(grid: Grid, axes: Axes | None, store: PointStore, sampler: Sampler) -> tuple[str, ...]:
    notes = list(axes.notes) if axes else []
    broken = int((~np.isfinite(store.losses)).any(1).sum())
    if broken:
        notes.append(f"the loss is not finite at {broken} of {len(store.losses)} points")
    if store.losses.shape[1] == 1:
        notes.append("no error bars from one batch: give several, as a list")
    before = sampler.reference.numpy()
    after = store.losses[grid.origin] if axes else sampler.again().numpy()
    if not np.array_equal(before, after, equal_nan=True):
        notes.append(
            "the network gives another loss when asked again at the same weights "
            f"({after.tolist()} after {before.tolist()}): differences below that mean nothing"
        )
    return tuple(notes)
