"""Divergence keeps a rank and what never ran stays apart from it; the truth is told by hand."""

import math

import numpy as np
import pytest
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.evidence.outcomes import direction, outcomes
from skipnorm.evidence.rates import best_of_grid
from skipnorm.verdicts import AtLeast, Claim, judge

NAN, INF = math.nan, math.inf


def runs(**columns: object) -> xr.Dataset:
    coords = {"variant": ["plain", "skip"], "seed": [0, 1, 2]}
    return xr.Dataset({k: (("variant", "seed"), v) for k, v in columns.items()}, coords)


def test_a_diverged_run_is_worst_whichever_way_is_better() -> None:
    found = runs(
        test_loss=[[1.0, NAN, INF], [2.0, 3.0, 4.0]],
        test_accuracy=[[0.9, NAN, 0.1], [0.8, 0.7, 0.6]],
        diverged_at=[[INF, 40.0, 50.0], [INF, INF, INF]],
    )
    assert outcomes(found, "test_loss").values.tolist() == [[1.0, INF, INF], [2.0, 3.0, 4.0]]
    accuracy = outcomes(found, "test_accuracy").values.tolist()
    assert accuracy == [[0.9, -INF, -INF], [0.8, 0.7, 0.6]]


def test_a_run_that_never_ran_stays_nan() -> None:
    found = runs(
        test_loss=[[1.0, NAN, NAN], [2.0, 3.0, 4.0]],
        recorded=[[True, True, False], [True, True, True]],
    )
    values = outcomes(found, "test_loss").values
    assert values[0, 1] == INF
    assert np.isnan(values[0, 2])


def test_at_a_step_before_it_diverged_a_run_has_its_score() -> None:
    found = xr.Dataset(
        {
            "loss": (("seed", "step"), [[3.0, 2.0, NAN], [3.0, 1.0, 0.5]]),
            "diverged_at": ("seed", [70.0, INF]),
        },
        {"seed": [0, 1], "step": [0, 50, 100]},
    )
    assert outcomes(found, "loss", step=50).values.tolist() == [2.0, 1.0]
    assert outcomes(found, "loss").values.tolist() == [INF, 0.5]
    with pytest.raises(EvidenceError, match=r"steps \[0, 50, 100\], found 60"):
        outcomes(found, "loss", step=60)


def longer_and_shorter() -> xr.Dataset:
    """Two runs of 100 updates and two of 50, of which the second each diverged in update 30."""
    losses = [[[3.0, 2.0, 1.0], [3.0, NAN, NAN]], [[4.0, 0.5, NAN], [4.0, NAN, NAN]]]
    return xr.Dataset(
        {
            "test_loss": (("variant", "seed", "step"), losses),
            "diverged_at": (("variant", "seed"), [[NAN, 30.0], [NAN, 30.0]]),
            "last_step": (("variant", "seed"), [[100, 100], [50, 50]]),
            "recorded": (("variant", "seed"), [[True, True], [True, True]]),
        },
        {"variant": ["long", "short"], "seed": [0, 1], "step": [0, 50, 100]},
    )


def test_each_run_is_looked_at_where_it_ended() -> None:
    found = longer_and_shorter()
    assert outcomes(found, "test_loss").values.tolist() == [[1.0, INF], [0.5, INF]]
    assert outcomes(found, "test_loss", step=50).values.tolist() == [[2.0, INF], [0.5, INF]]
    short = found.sel(variant="short")
    assert outcomes(short, "test_loss").values.tolist() == [0.5, INF]
    assert outcomes(short.sel(seed=[0]).sel(step=[0]), "test_loss").values.tolist() == [4.0]
    assert outcomes(found.sel(step=[0, 50]), "test_loss").values.tolist()[0][0] == 2.0


def test_the_best_rate_of_each_variant_is_found_where_its_runs_ended() -> None:
    """Rates 0.1 and 1; the shorter training is best at 0.1, the longer at 1."""
    both = xr.concat([longer_and_shorter(), 2 * longer_and_shorter()[["test_loss"]]], "rate")
    both = both.assign_coords(rate=[0.1, 1.0])
    late = {"variant": "long", "seed": 0, "step": 100}
    both["test_loss"].loc[{**late, "rate": 1.0}] = 0.25
    both["validation_loss"] = both["test_loss"] + 1
    dims = ("variant", "seed", "rate")
    for name in ("last_step", "recorded", "diverged_at"):
        one = longer_and_shorter()[name]
        both[name] = one.expand_dims(rate=both["rate"].values).transpose(*dims)
    best = best_of_grid(both.sel(seed=[0]))
    assert best["test_loss"].values.tolist() == [[0.25], [0.5]]
    assert best["best_rate"].values.tolist() == [[1.0], [0.1]]


def test_a_finite_score_of_a_diverged_run_counts_for_nothing() -> None:
    found = runs(test_loss=np.ones((2, 3)), diverged_at=[[INF, 7.0, INF], [INF] * 3])
    assert outcomes(found, "test_loss").values[0].tolist() == [1.0, INF, 1.0]


def test_what_cannot_be_told_apart_is_refused() -> None:
    grid = xr.Dataset(
        {
            "test_loss": (("seed", "rate"), [[1.0, NAN]]),
            "recorded": ("seed", [True]),
        },
        {"seed": [0], "rate": [0.1, 1.0]},
    )
    with pytest.raises(EvidenceError, match="without 'rate' a run that diverged looks like"):
        outcomes(grid, "test_loss")
    with pytest.raises(EvidenceError, match="Did you mean 'test_loss'"):
        outcomes(grid, "test_los")
    with pytest.raises(EvidenceError, match="whose name ends in loss"):
        direction("score")
    with pytest.raises(EvidenceError, match="Did you mean 'lower'"):
        direction("score", "lowest")  # type: ignore[arg-type]
    sites = xr.Dataset({"loss": (("seed", "site"), [[1.0]])})
    with pytest.raises(EvidenceError, match=r"over seed and, if need be.*'site'"):
        outcomes(sites, "loss")


def ratio(evidence: xr.Dataset) -> xr.DataArray:
    ended = outcomes(evidence, "test_loss")
    return ended.sel(variant="plain", drop=True) / ended.sel(variant="skip", drop=True)


CLAIM = Claim("n", "Plain is worse.", "b", "derived", ratio, AtLeast(1.1), scale="log")


def many(plain: list[float], skip: list[float], ran: list[bool]) -> xr.Dataset:
    coords = {"variant": ["plain", "skip"], "seed": range(len(plain))}
    dims = ("variant", "seed")
    at = np.where(np.isnan([plain, skip]), 30.0, INF)
    parts = {"test_loss": [plain, skip], "recorded": [ran, ran], "diverged_at": at}
    found = xr.Dataset({name: (dims, values) for name, values in parts.items()}, coords)
    return found.where(found["recorded"]).assign(recorded=found["recorded"])


def test_a_claim_is_ranked_where_runs_diverge_and_the_verdict_says_so() -> None:
    """With eight seeds the sign test's interval is the whole range: all eight must agree."""
    verdict = judge(CLAIM, many([2.0] * 6 + [NAN, NAN], [1.0] * 8, [True] * 8))
    assert verdict.ruling == "supported"
    assert (verdict.effect, verdict.low, verdict.high) == (2.0, 2.0, INF)
    assert "2 of 8 seeds diverged and rank worst" in verdict.method
    against = judge(CLAIM, many([2.0] * 7 + [1.0], [1.0] * 7 + [NAN], [True] * 8))
    assert against.ruling == "undecided"
    assert against.low == 0.0
    worse = judge(CLAIM, many([1.0] * 8, [NAN] * 7 + [1.0], [True] * 8))
    assert worse.ruling == "refuted"


def test_pairs_that_never_ran_are_not_diverged_pairs() -> None:
    ran = [True] * 7 + [False] * 2
    verdict = judge(CLAIM, many([2.0, 2.1, 2.2, 2.0, 2.1, 2.3, NAN, 2, 2], [1.0] * 9, ran))
    assert "7 seeds, 1 diverged, 2 not run" in verdict.reason
    both = judge(CLAIM, many([2.0] * 8 + [NAN], [1.0] * 8 + [NAN], [True] * 9))
    assert "9 seeds, 1 diverged" in both.reason
    assert "leave no order" in both.method
    assert both.ruling == "supported"
