"""How much gradient comes along paths of each length, measured and as the gains of single branches predict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from skipnorm.errors import ProbeError
from skipnorm.formulas.binomial import log_path_counts, poisson_binomial, probabilities_of_odds
from skipnorm.probes.gradient import flow
from skipnorm.probes.objective import Loss
from skipnorm.probes.passage import pass_through
from skipnorm.probes.paths.gradients import paths_drawn, routes
from skipnorm.probes.paths.lesions import Junction, Survey
from skipnorm.probes.problem import Problem

__all__ = ["LIKELY", "Values", "branch_gains", "lengths_measured"]

Array = NDArray[np.float64]
Values = dict[str, Array | float]

LIKELY = 10
"""For each path of a length that is walked at random, so many of all lengths are drawn by the branches' gains."""


def branch_gains(problem: Problem, loss: Loss, junctions: Sequence[Junction]) -> Array:
    """The squared gradient through each branch over that through its shortcut, where both sides meet again."""
    powers = np.zeros((2, len(junctions)))
    for weight, batch in zip(problem.weights, problem.batches, strict=True):
        torch.manual_seed(0)
        numbers = pass_through(problem.network, batch, [flow()], loss=loss).numbers
        for row, name in enumerate(("flow_branch", "flow_shortcut")):
            found = numbers[name]
            powers[row] += [
                weight * found.get((each.site.index, "output"), np.nan) for each in junctions
            ]
    with np.errstate(divide="ignore", invalid="ignore"):
        gains: Array = powers[0] / powers[1]
    return gains


def lengths_measured(
    problem: Problem,
    loss: Loss,
    surveys: Sequence[Survey],
    junctions: Sequence[Junction],
    walks: int,
    seed: int,
    tick: Callable[[], None],
) -> tuple[Values, list[str]]:
    """The norm of the gradient along single paths, by their length, and what could not be measured."""
    gains = branch_gains(problem, loss, junctions)
    values: Values = {"branch_gain": gains}
    try:
        walked = _walked(problem, loss, surveys, junctions, gains, walks, seed, tick)
    except ProbeError as error:
        return values, [f"no gradients along paths: {error}"]
    notes = [
        f"{each.name}: some path goes around it, so it is left open and counts no length"
        for position, each in enumerate(junctions)
        if position not in walked.serial and not each.reason
    ]
    if not walked.serial:
        return values, [*notes, "no gradients along paths: no skip lies on every path"]
    chances = probabilities_of_odds(gains[list(walked.serial)])
    values |= _summary(walked)
    if walked.likely:
        values |= _weighted(walked, chances)
    values["path_power_share_predicted"] = poisson_binomial(chances)
    values["path_length_predicted"] = float(chances.sum())
    return values, notes


@dataclass(frozen=True)
class _Walked:
    """The paths that were walked: of each length, all or some at random, and those that are likely by the gains.

    Attributes:
        serial: the skips that the paths are through.
        norms: for each length, the norms along its paths, averaged over the batches, and the squared norms.
        every: for each length, whether all its paths were walked.
        likely: paths drawn with the chances that the gains give to each branch.
        powers: their squared norms, averaged over the batches.
    """

    serial: tuple[int, ...]
    norms: list[Array]
    every: list[bool]
    likely: list[tuple[int, ...]]
    powers: Array


def _walked(
    problem: Problem,
    loss: Loss,
    surveys: Sequence[Survey],
    junctions: Sequence[Junction],
    gains: Array,
    walks: int,
    seed: int,
    tick: Callable[[], None],
) -> _Walked:
    serial: tuple[int, ...] | None = None
    sums: list[Array] = []
    drawn: list[tuple[list[tuple[int, ...]], bool]] = []
    for batch, weight, survey in zip(problem.batches, problem.weights, surveys, strict=True):
        torch.manual_seed(0)
        with routes(problem.network, batch, loss, survey, junctions) as way:
            if serial is None:
                serial, draw = way.serial, np.random.default_rng(seed)
                drawn = paths_drawn(len(serial), walks, draw)
                if not all(every for _, every in drawn):
                    drawn.append((_likely(gains[list(serial)], LIKELY * walks, draw), False))
                sums = [np.zeros((2, len(chosen))) for chosen, _ in drawn]
            elif serial != way.serial:
                raise ProbeError("the batches differ in which skips lie on every path; try one")
            for row, (chosen, _) in zip(sums, drawn, strict=True):
                for column, path in enumerate(chosen):
                    norm = way.norm([serial[block] for block in path])
                    row[:, column] += np.array([norm, norm**2]) * weight / sum(problem.weights)
                    tick()
    lengths = len(serial or ()) + 1
    likely, powers = (drawn[-1][0], sums[-1][1]) if len(drawn) > lengths else ([], np.zeros(0))
    every = [whole for _, whole in drawn[:lengths]]
    return _Walked(serial or (), sums[:lengths], every, likely, powers)


def _likely(gains: Array, number: int, draw: np.random.Generator) -> list[tuple[int, ...]]:
    """Paths through each branch with the chance that its gain gives it; none where a gain is NaN."""
    chances = probabilities_of_odds(gains)
    if not np.isfinite(chances).all():
        return []
    taken = draw.random((number, len(chances))) < chances
    return [tuple(np.flatnonzero(each).tolist()) for each in taken]


def _weighted(walked: _Walked, chances: Array) -> Values:
    """Shares of power from paths that were drawn by their chances, each weighted by its power over its chance.

    Where branches act independently all weights are equal, and nothing is left to chance but the length: far more
    exact than paths drawn evenly, of which few carry nearly all the power.
    """
    taken = np.zeros((len(walked.likely), len(chances)), dtype=bool)
    for row, path in enumerate(walked.likely):
        taken[row, list(path)] = True
    with np.errstate(divide="ignore"):
        chance = np.where(taken, np.log(chances), np.log1p(-chances)).sum(axis=1)
        weights = _shares(np.log(walked.powers)[:, None] - chance[:, None])[:, 0]
    lengths = taken.sum(axis=1)
    mean = float(weights @ lengths)
    shares: Array = np.bincount(lengths, weights, minlength=len(chances) + 1).astype(np.float64)
    return {
        "path_power_share": shares,
        "path_length_by_power": mean,
        "path_length_by_power_error": float(np.sqrt(np.square(weights * (lengths - mean)).sum())),
    }


def _summary(walked: _Walked) -> Values:
    norms = walked.norms
    counts = log_path_counts(len(norms) - 1)
    means = np.array([each.mean(axis=1) for each in norms])
    errors = [
        0.0
        if every
        else each[0].std(ddof=1) / np.sqrt(each.shape[1])
        if each.shape[1] > 1
        else np.nan
        for each, every in zip(norms, walked.every, strict=True)
    ]
    with np.errstate(divide="ignore", over="ignore"):
        logs = counts[:, None] + np.log(means)
        mass = np.exp(logs[:, 0])
    shares = _shares(logs)
    steps = np.arange(len(norms))
    return {
        "path_gradient": means[:, 0],
        "path_gradient_error": np.array(errors),
        "path_mass": mass,
        "path_mass_share": shares[:, 0],
        "path_power_share": shares[:, 1],
        "path_length_by_norm": float(steps @ shares[:, 0]),
        "path_length_by_power": float(steps @ shares[:, 1]),
        "path_length_by_power_error": 0.0 if all(walked.every) else np.nan,
    }


def _shares(logs: Array) -> Array:
    """Shares of numbers given by their logarithms, which may be too large for a float."""
    with np.errstate(invalid="ignore"):
        relative = np.exp(logs - logs.max(axis=0))
        shares: Array = relative / relative.sum(axis=0)
    return shares
