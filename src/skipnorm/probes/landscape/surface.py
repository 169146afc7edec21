"""The loss around a network's weights: along a line, over a plane, or from one state to another."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from skipnorm.errors import ProbeError, nearest
from skipnorm.probes.findings import Findings
from skipnorm.probes.landscape.axes import DIRECTIONS, Axes, axes_of, state_of
from skipnorm.probes.landscape.crew import Ambience, Order, packed, shared_out
from skipnorm.probes.landscape.grid import Grid, found_on, grid_of
from skipnorm.probes.landscape.sampler import Sampler, sampling, walked
from skipnorm.probes.landscape.store import PointStore, fingerprint
from skipnorm.probes.landscape.terrain import Terrain, laid_out, moved, tensors_of
from skipnorm.probes.objective import Loss
from skipnorm.probes.problem import Problem, Statistics

__all__ = ["Along", "landscape"]

Along = Literal["line", "plane", "interpolation"]
_ALONG = ("line", "plane", "interpolation")
Progress = Callable[[int, int], None]


def landscape(
    network: nn.Module,
    batch: Any,
    *,
    loss: Loss = None,
    along: Along = "plane",
    directions: Any = "filter",
    states: Any = (),
    points: int | Sequence[float] = 25,
    distance: float | None = None,
    statistics: Statistics = "as_is",
    where: str = "*",
    seed: int = 0,
    resume: str | Path | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> Findings:
    """The loss at the points of a grid in weight space, centred on the network or between two of its states.

    ``loss[x, y] = L(w + x X + y Y)``, with directions X and Y that are as long as the weights they move: x and y are
    fractions of the weight norm, and displacements of that relative length. On an interpolation,
    ``loss[x] = L((1 - x) a + x b)`` for all parameters and buffers. Every point sees the same batches and the same
    dropout, so `difference`, the loss less that at the centre (or at the first state), is paired batch by batch, and
    `difference_error` is its standard error over batches. At the centre the weights are the network's own to the last
    bit. What is not finite is reported as it is. The network is left as it was.

    Args:
        network: any module, in the mode in which it is to be looked at.
        batch: as `measure` takes it, or a list of such, for error bars.
        loss: as `measure` takes it.
        along: "line", "plane", or "interpolation" between two states.
        directions: "filter": Gaussian and filter-normalised (vectors, such as biases and norms' gains, stay); "layer":
            normalised by layer; "eigenvectors": the Hessian's, of the largest eigenvalues; "trajectory": the principal
            components of `states`; or `{"x": vector, "y": vector}`: tensors by name, tensors in the order of the
            parameters, or one flat tensor, which are made as long as the weights.
        states: what `network.state_dict()` returned at other times: for an interpolation two, or one to go to from the
            network's own; for a trajectory several.
        points: along each axis: how many, an odd number unless interpolated; or their places.
        distance: how far the grid reaches, as a fraction of the weight norm; by default 1, or along a trajectory as
            far as its states.
        statistics: what BatchNorm normalises by: "as_is", "batch", "running" or "recalibrated", which estimates
            running statistics from the batches anew at every point (and doubles the price).
        where: glob over names of parameters: those that are varied.
        seed: of random directions.
        resume: path of a file in which points are kept, so that a run that was cut off goes on from there.
        progress: told how many points are done, and of how many.
        workers: how many processes share the points; they find the same numbers to the last bit, with as many threads
            each as torch has here.

    Raises:
        ProbeError: settings that make no sense, or a batch, loss or state that does not fit the network.

    Source: Li et al. 2018; Goodfellow et al. 2015 (interpolation).

    >>> import torch
    >>> bowl = nn.Linear(1, 1, bias=False)
    >>> nn.init.constant_(bowl.weight, 2.0).item()
    2.0
    >>> data = (torch.tensor([[1.0]]), torch.tensor([[0.0]]))
    >>> found = landscape(bowl, data, loss="mse", along="line", points=3, directions={"x": torch.ones(1)})
    >>> found.coords["x"].tolist(), found.values["loss"].tolist()
    ([-1.0, 0.0, 1.0], [0.0, 4.0, 16.0])
    """
    _check(along, directions, distance, workers)
    begin = _states(network, states, along, directions)
    words = "as given"
    if isinstance(directions, str) and directions == "eigenvectors":
        directions, words = _eigenvectors(network, batch, loss, along, statistics, where, seed)
    subject = packed(network, batch, loss) if workers > 1 else b""
    with sampling(network, batch, loss, statistics, where) as (problem, sampler):
        axes, terrain = _terrain(problem, begin, along, directions, where, seed, words)
        grid = grid_of(along, points, distance, axes)
        order = Order(subject, statistics, where, terrain, sampler.reference, Ambience.here())
        identity = _identity(problem, loss, terrain, grid, sampler) if resume is not None else ""
        store = PointStore(resume, identity, len(grid.points), len(problem.batches))
        _fill(store, network, sampler, order, grid, workers, progress)
        return found_on(grid, axes, store, problem, sampler)


def _check(along: str, directions: Any, distance: float | None, workers: int) -> None:
    if along not in _ALONG:
        raise ProbeError(f"along: {nearest(str(along), _ALONG)}")
    if distance is not None and along == "interpolation":
        raise ProbeError(
            "expected no distance for an interpolation, which reaches from one state to the other; to look further, "
            "give the places: points=[-0.5, 0, 0.5, 1, 1.5]."
        )
    if along == "interpolation" and directions != "filter":
        raise ProbeError(
            "expected no directions for an interpolation: the states say where it leads. Leave directions= out, or "
            "take along='line'."
        )
    if not isinstance(directions, Mapping) and directions not in DIRECTIONS:
        raise ProbeError(
            f"directions: {nearest(str(directions), DIRECTIONS)}; or tensors, as {{'x': first, 'y': second}}"
        )
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ProbeError(
            f"expected workers to be a number of processes from 1 on, found {workers!r}"
        )


def _states(
    network: nn.Module, states: Any, along: str, directions: Any
) -> list[dict[str, Tensor]]:
    """The states that lie along the way, the network's own first where only the other end was given."""
    single = isinstance(states, Mapping | nn.Module)
    given = [states] if single else list(states)
    needed = along == "interpolation" or (
        isinstance(directions, str) and directions == "trajectory"
    )
    if given and not needed:
        raise ProbeError(
            "expected no states for these directions. Take along='interpolation' or directions='trajectory' to make "
            "use of them."
        )
    if along == "interpolation" and len(given) not in (1, 2):
        raise ProbeError(
            f"expected two states to interpolate between, or one to go to from the network's own, found {len(given)}: "
            "pass states=(first.state_dict(), second.state_dict())."
        )
    found = [state_of(network, state) for state in given]
    return [state_of(network, network), *found] if needed and len(given) == 1 else found


def _eigenvectors(
    network: nn.Module,
    batch: Any,
    loss: Loss,
    along: str,
    statistics: Statistics,
    where: str,
    seed: int,
) -> tuple[dict[str, Any], str]:
    """The directions in which the loss curves most, and by how much."""
    from skipnorm.probes.curvature import leading_directions  # only this kind of landscape needs it

    wanted = "xy" if along == "plane" else "x"
    values, vectors = leading_directions(
        network, batch, len(wanted), loss=loss, statistics=statistics, where=where, seed=seed
    )
    if len(vectors) < len(wanted):
        raise ProbeError(
            f"expected {len(wanted)} eigenvectors of the Hessian, found {len(vectors)}: there are too few parameters. "
            "Take along='line'."
        )
    sizes = " and ".join(f"{float(value):.4g}" for value in values)
    return dict(zip(wanted, vectors, strict=True)), (
        f"eigenvectors of the Hessian at the centre, of the eigenvalues {sizes}"
    )


def _terrain(
    problem: Problem,
    states: list[dict[str, Tensor]],
    along: str,
    directions: Any,
    where: str,
    seed: int,
    words: str,
) -> tuple[Axes | None, Terrain]:
    network = problem.network
    if along == "interpolation":
        names = [
            name for name in tensors_of(network) if name in states[0] and fnmatchcase(name, where)
        ]
        first, second = ({name: state[name] for name in names} for state in states)
        return None, laid_out(network, first, second, between=True)
    count = 2 if along == "plane" else 1
    axes = axes_of(problem.parameters, directions, count, seed=seed, states=states, words=words)
    going = [
        name
        for name in problem.parameters
        if any(bool((axis[name] != 0).any()) for axis in axes.directions)
    ]
    origin = {name: problem.parameters[name].detach() for name in going}
    return axes, laid_out(network, origin, *axes.directions)


def _fill(
    store: PointStore,
    network: nn.Module,
    sampler: Sampler,
    order: Order,
    grid: Grid,
    workers: int,
    progress: Progress | None,
) -> None:
    """Find the points that are not yet known."""
    left = [point for point in grid.points if not store.done[point[0]]]

    def tell() -> None:
        if progress is not None:
            progress(int(store.done.sum()), len(store.done))

    tell()
    try:
        with _walk(network, sampler, order, left, workers) as pieces:
            for numbers, losses in pieces:
                store.keep(numbers, losses)
                tell()
    finally:
        store.write()


@contextmanager
def _walk(
    network: nn.Module, sampler: Sampler, order: Order, left: Sequence[Any], workers: int
) -> Iterator[Iterator[tuple[list[int], Tensor]]]:
    if workers > 1 and left:
        yield shared_out(order, left, workers)
        return
    with moved(network, order.terrain) as mover:
        yield walked(sampler, mover, left)


def _identity(problem: Problem, loss: Loss, terrain: Terrain, grid: Grid, sampler: Sampler) -> str:
    """What tells this landscape from every other: its weights, axes, batches, loss and places, to the last bit."""
    network = problem.network
    blocks = [[block.origin, block.x, block.y] for block in terrain.blocks]
    modes = [module.training for module in network.modules()]
    places = [list(point) for point in grid.points]
    return fingerprint(
        repr(network),
        modes,
        tensors_of(network),
        repr(terrain.spots),
        blocks,
        list(problem.batches),
        loss,
        problem.statistics,
        places,
        sampler.reference,
    )
