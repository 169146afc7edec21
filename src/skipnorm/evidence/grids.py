"""Scores over a grid of learning rates, and a rule applied to the grid of every run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.evidence.outcomes import direction, outcomes

GRID = ("variant", "seed", "rate")
RUN = ("variant", "seed")

Rows = tuple[np.ndarray, ...]
Rule = Callable[[np.ndarray, Rows, int], tuple[Any, ...]]
"""From the rates of one run, its numbers at each of them and the place of its variant, to what is
to be known of it."""


def grid(evidence: xr.Dataset, score: str, step: int | None) -> xr.DataArray:
    """How every run ended, over variant, seed and rate, by growing rate.

    Rate 0, where a study puts variants that learn nothing, is no part of a grid and left out.

    Raises:
        EvidenceError: the score is missing or not over these three, or no rate is positive.
    """
    ended = outcomes(evidence, score, step=step)
    if set(ended.dims) != set(GRID):
        raise EvidenceError(
            f"expected {score!r} over {GRID}, found {tuple(map(str, ended.dims))}; give every "
            "variant a grid of learning rates"
        )
    rates = ended["rate"].values
    if (rates < 0).any() or not (rates > 0).any():
        raise EvidenceError(f"expected learning rates above 0, found {rates.tolist()}")
    return ended.transpose(*GRID).isel(rate=rates > 0).sortby("rate")


def costs_of(evidence: xr.Dataset, score: str, step: int | None) -> xr.DataArray:
    """The score as a cost: lower is better, a diverged run is +inf, NaN is not run."""
    return grid(evidence, score, step) * (1 if direction(score) == "lower" else -1)


def tried(costs: xr.DataArray) -> xr.DataArray:
    """Which rates are in the grid of each variant: those that any of its seeds has run."""
    return costs.notnull().any("seed").transpose("variant", "rate")


def over_runs(
    grids: tuple[xr.DataArray, ...],
    rule: Rule,
    blank: tuple[Any, ...],
    words: dict[str, tuple[str, str]],
) -> xr.Dataset:
    """What a rule says of every variant and seed, from the whole grid of each.

    Args:
        grids: arrays over `GRID`; the first says, by what is not NaN, what was run.
        rule: gives one value for each of `words`.
        blank: the values where the grid of a seed is not complete.
        words: for every variable to be made, its unit and its meaning.
    """
    first = grids[0]
    rates = first["rate"].values.astype(float)
    found = []
    for at, there in enumerate(tried(first).values):
        for seed in range(first.sizes["seed"]):
            rows = tuple(each.values[at, seed, there] for each in grids)
            whole = there.any() and not any(np.isnan(row).any() for row in rows)
            found.append(rule(rates[there], rows, at) if whole else blank)
    shape = first.shape[:2]
    columns = {
        name: (RUN, np.asarray([row[place] for row in found]).reshape(shape), _attrs(*words[name]))
        for place, name in enumerate(words)
    }
    return xr.Dataset(columns, {dim: first[dim].values for dim in RUN})


def edge_words(low: int, high: int, count: int) -> str:
    """Which end of a grid of `count` rates the stretch from `low` to `high` touches.

    >>> edge_words(1, 2, 4), edge_words(1, 3, 4), edge_words(0, 0, 1)
    ('', 'highest', 'only')
    """
    if count == 1:
        return "only"
    names = {(True, True): "both", (True, False): "lowest", (False, True): "highest"}
    return names.get((low == 0, high == count - 1), "")


def _attrs(unit: str, meaning: str) -> dict[str, str]:
    return {"unit": unit, "meaning": meaning, "source": "definition"}
