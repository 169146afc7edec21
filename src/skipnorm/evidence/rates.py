"""Variants compared over a grid of learning rates, each at its best: one number per seed.

Comparing architectures at one learning rate compares how well that rate suits them. Here each
variant is read over its own grid: its score at its best rate, the largest rate at which it is
stable, and how wide the interval of usable rates is. Every summary is one number for each variant
and seed, so that claims can pair variants within a seed. A diverged run is worst, never dropped;
NaN means that the grid of that seed has not been run to its end.
"""

from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from skipnorm.errors import EvidenceError, nearest
from skipnorm.evidence.grids import GRID, Rows, costs_of, edge_words, grid, over_runs, tried
from skipnorm.evidence.outcomes import direction
from skipnorm.evidence.ranks import intervals_over_seeds
from skipnorm.evidence.wording import number

Per = Literal["seed", "variant"]
Bar = Literal["own", "shared"]


def best_of_grid(
    evidence: xr.Dataset,
    *,
    chosen_on: str = "validation_loss",
    reported: str = "test_loss",
    per: Per = "seed",
    step: int | None = None,
) -> xr.Dataset:
    """Each variant at its best learning rate: chosen on one score, reported on another.

    With `per="seed"` every seed chooses its own rate, so that tuning and testing are repeated from
    scratch and an interval over seeds holds the luck of the choice. With `per="variant"` all seeds
    of a variant share one rate: that at which fewest of them diverge and, among those, the median
    of their scores is best; its interval is for this rate alone. Ties go to the smaller rate.

    Args:
        evidence: both scores over `variant`, `seed`, `rate` and, if need be, `step`.
        chosen_on: the score that chooses, on validation data.
        reported: the score that is reported, on test data.
        per: what chooses: `"seed"` or `"variant"`.
        step: the step at which scores are read; the last if not given.

    Returns:
        Over variant and seed: the reported score (its worst, infinite, where the chosen run
        diverged), `best_rate` (0 where every rate diverged), and `edge`, a text that flags an
        optimum which the grid may have cut off: `"lowest"`, `"highest"`, `"only"` (one rate),
        `"none"` (every rate diverged), or empty for a rate inside the grid.

    Raises:
        EvidenceError: a score is missing or not over variant, seed and rate, both are the same,
            or no rate is positive.

    Source: Choi et al. 2019 (each method tuned on its own); Dodge et al. 2019.

    >>> grid = {"seed": [0], "variant": ["a"], "rate": [0.1, 1.0, 10.0]}
    >>> scores = xr.Dataset({"validation_loss": (grid, [[[3.0, 1.0, np.inf]]])}, grid)
    >>> scores["test_loss"] = scores["validation_loss"] + 0.5
    >>> best = best_of_grid(scores)
    >>> best["test_loss"].item(), best["best_rate"].item(), best["edge"].item()
    (1.5, 1.0, '')
    """
    if per not in get_args(Per):
        raise EvidenceError(f"per: {nearest(str(per), get_args(Per))}")
    if chosen_on == reported:
        raise EvidenceError(
            f"expected two scores, found {chosen_on!r} twice: the best of several noisy numbers "
            "flatters; choose on validation data and report on test data"
        )
    costs = costs_of(evidence, chosen_on, step)
    scores = grid(evidence, reported, step)
    shared = _shared_choices(costs) if per == "variant" else None
    worst = np.inf if direction(reported) == "lower" else -np.inf

    def choose(rates: np.ndarray, rows: Rows, at: int) -> tuple[Any, ...]:
        cost, score = rows
        if not np.isfinite(cost).any():
            return worst, 0.0, "none"
        best = int(np.argmin(cost)) if shared is None else shared[at]
        found = score[best] if np.isfinite(cost[best]) else worst
        return found, rates[best], edge_words(best, best, len(rates))

    told = f"at the rate chosen on {chosen_on}, one for each {per}"
    unit = evidence[reported].attrs.get("unit", "1")
    return over_runs(
        (costs, scores),
        choose,
        (np.nan, np.nan, ""),
        {
            reported: (unit, f"{reported} {told}"),
            "best_rate": ("1", f"the learning rate chosen on {chosen_on}, one for each {per}"),
            "edge": ("text", "where the grid may have cut off the best rate"),
        },
    )


def largest_stable_rate(
    evidence: xr.Dataset, *, score: str = "training_loss", step: int | None = None
) -> xr.Dataset:
    """The largest learning rate of the grid up to which no run diverged.

    A run diverged if its score is not finite or `diverged_at` says so. A rate counts only if every
    smaller one of the variant's grid was stable too. Stable is not yet usable: a network that
    learned nothing is stable (see `usable_width`).

    Returns:
        Over variant and seed: `largest_stable_rate` (0 where the smallest rate diverged), and
        `censored`: whether no rate of the grid diverged, so that the limit lies above it and is
        only known to be at least this.

    Raises:
        EvidenceError: as `best_of_grid`.

    >>> grid = {"seed": [0], "variant": ["a"], "rate": [0.1, 1.0, 10.0]}
    >>> losses = xr.Dataset({"training_loss": (grid, [[[3.0, 1.0, np.inf]]])}, grid)
    >>> largest_stable_rate(losses)["largest_stable_rate"].item()
    1.0
    """

    def climb(rates: np.ndarray, rows: Rows, at: int) -> tuple[Any, ...]:
        stable = np.cumprod(np.isfinite(rows[0])).astype(bool)
        return float(rates[stable].max(initial=0.0)), bool(stable.all())

    return over_runs(
        (costs_of(evidence, score, step),),
        climb,
        (np.nan, False),
        {
            "largest_stable_rate": ("1", "the largest rate up to which no run diverged"),
            "censored": ("1", "whether the whole grid is stable: the limit lies above it"),
        },
    )


def usable_width(
    evidence: xr.Dataset,
    *,
    score: str = "validation_loss",
    factor: float = 2.0,
    bar: Bar | float = "own",
    step: int | None = None,
) -> xr.Dataset:
    """How many decades of learning rates a variant can be trained with.

    A rate is usable if its run did not diverge and ends with a loss of at most the bar. The usable
    interval is the unbroken stretch of usable rates around the best one. Each rate stands for the
    stretch half-way, on the log scale, to its neighbours in the grid, so that the width of one
    usable rate is not zero and a finer grid gives the same width on average.

    Args:
        evidence: a loss over `variant`, `seed`, `rate` and, if need be, `step`.
        score: the loss that is looked at.
        factor: how many times the best loss is still usable; 1 or more.
        bar: whose best loss: `"own"` of each variant and seed, or `"shared"`, the best that any
            variant reached with that seed; or a number, a loss to stay below (then `factor` is
            not used). A variant that learns nothing at any rate has a wide `"own"` interval.
        step: the step at which it is read; the last if not given.

    Returns:
        Over variant and seed: `usable_decades`, log10(high / low) (0 where no rate is usable), and
        `edge`, a text that says where the interval may go on outside the grid: `"lowest"`,
        `"highest"`, `"both"`, or empty; `"none"` where no rate is usable.

    Raises:
        EvidenceError: as `best_of_grid`; the score is no loss or negative, the factor is below 1,
            or a variant has a grid of one rate.

    Source: Wortsman et al. 2023 (sensitivity to the learning rate); the cells by definition.

    >>> grid = {"seed": [0], "variant": ["a"], "rate": [0.001, 0.01, 0.1, 1.0]}
    >>> losses = xr.Dataset({"validation_loss": (grid, [[[3.0, 1.5, 1.0, np.inf]]])}, grid)
    >>> usable_width(losses)["usable_decades"].item()
    2.0
    """
    costs = costs_of(evidence, score, step)
    bars = _bars(costs, score, factor, bar)
    if bool((tried(costs).sum("rate") == 1).any()):
        raise EvidenceError("expected at least two rates for every variant; one has no width")

    def measure(rates: np.ndarray, rows: Rows, at: int) -> tuple[Any, ...]:
        cost, limit = rows
        return _stretch(rates, np.isfinite(cost) & (cost <= limit), int(np.argmin(cost)))

    return over_runs(
        (costs, bars),
        measure,
        (np.nan, ""),
        {
            "usable_decades": ("decade", "width of the interval of usable rates"),
            "edge": ("text", "where the usable interval may go on outside the grid"),
        },
    )


def compare_rates(
    evidence: xr.Dataset,
    *,
    chosen_on: str = "validation_loss",
    reported: str = "test_loss",
    per: Per = "seed",
    factor: float = 2.0,
    bar: Bar | float = "own",
    step: int | None = None,
    level: float = 0.95,
) -> xr.Dataset:
    """What each variant's grid comes to: best score, usable width and largest stable rate.

    Intervals over seeds are those of `intervals_over_seeds`: Student's, on the log scale for
    losses and rates, or order statistics around the median where a seed diverged or has rate 0.
    Claims about a *difference* between variants pair them within a seed instead: give `judge` an
    effect made of `best_of_grid`, `usable_width` or `largest_stable_rate`.

    Returns:
        Over variant and case (the reported score, `usable_decades`, `largest_stable_rate`):
        `centre`, `low`, `high`, `seeds`, `not_finite`, `method`, and `flagged`, in how many seeds
        the edge of the grid cut the number off.

    Raises:
        EvidenceError: as the three summaries.
    """
    loss = chosen_on if direction(chosen_on) == "lower" else chosen_on.replace("accuracy", "loss")
    best = best_of_grid(evidence, chosen_on=chosen_on, reported=reported, per=per, step=step)
    width = usable_width(evidence, score=loss, factor=factor, bar=bar, step=step)
    stable = largest_stable_rate(evidence, score=chosen_on, step=step)
    scale: Literal["linear", "log"] = "log" if direction(reported) == "lower" else "linear"
    parts = {
        reported: (best[reported], best["edge"] != "", scale),
        "usable_decades": (width["usable_decades"], width["edge"] != "", "linear"),
        "largest_stable_rate": (stable["largest_stable_rate"], stable["censored"], "log"),
    }
    rows = [
        intervals_over_seeds(values, level, on).assign(flagged=flags.sum("seed"))
        for values, flags, on in parts.values()
    ]
    table = xr.concat(rows, "case").assign_coords(case=list(parts)).transpose("variant", "case")
    for name, variable in table.data_vars.items():
        variable.attrs = {"unit": "1", "meaning": f"{name} over seeds", "source": "definition"}
    return table


def _shared_choices(costs: xr.DataArray) -> list[int]:
    """For each variant the place, within its grid, of the rate that all of its seeds share."""
    chosen = []
    for values, there in zip(costs.values, tried(costs).values, strict=True):
        runs = values[:, there]
        whole = runs[~np.isnan(runs).any(axis=1)]
        if not whole.size:
            chosen.append(0)
            continue
        diverged = np.isinf(whole).sum(axis=0)
        medians = np.median(whole, axis=0)
        chosen.append(int(np.lexsort((medians, diverged))[0]))
    return chosen


def _bars(costs: xr.DataArray, score: str, factor: float, bar: Bar | float) -> xr.DataArray:
    if direction(score) != "lower" or bool((costs < 0).any()):
        raise EvidenceError(f"expected a loss of 0 or more, found {score!r}; a factor needs one")
    if not factor >= 1:
        raise EvidenceError(f"expected a factor of 1 or more, found {number(factor)}")
    if isinstance(bar, str) and bar not in get_args(Bar):
        raise EvidenceError(f"bar: {nearest(bar, get_args(Bar))}")
    if not isinstance(bar, str):
        return xr.full_like(costs, float(bar))
    over = ["rate"] if bar == "own" else ["variant", "rate"]
    whole = (costs.notnull() | ~tried(costs)).all(over)
    limit = (factor * costs.min(over)).where(whole)
    return limit.broadcast_like(costs).transpose(*GRID)


def _stretch(rates: np.ndarray, usable: np.ndarray, best: int) -> tuple[float, str]:
    if not usable[best]:
        return 0.0, "none"
    low = high = best
    while low > 0 and usable[low - 1]:
        low -= 1
    while high < len(rates) - 1 and usable[high + 1]:
        high += 1
    logs = np.log10(rates)
    borders = np.concatenate([logs[:1], (logs[1:] + logs[:-1]) / 2, logs[-1:]])
    return float(borders[high + 1] - borders[low]), edge_words(low, high, len(rates))
