"""Summaries over learning rates on grids small enough to be read off by hand."""

import math

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from skipnorm.errors import EvidenceError
from skipnorm.evidence import check
from skipnorm.evidence.rates import best_of_grid, compare_rates, largest_stable_rate, usable_width
from skipnorm.verdicts import AtLeast, Claim, judge

NAN, INF = math.nan, math.inf
RATES = [0.01, 0.1, 1.0, 10.0]
DIMS = ("variant", "seed", "rate")


def study(
    validation: list[list[list[float]]],
    test: list[list[list[float]]] | None = None,
    rates: list[float] = RATES,
    **more: object,
) -> xr.Dataset:
    """Losses over variant x seed x rate; the test loss is ten times that on validation data."""
    loss = np.asarray(validation, float)
    parts = {
        "validation_loss": loss,
        "test_loss": 10 * loss if test is None else np.asarray(test, float),
        "training_loss": loss / 10,
        **more,
    }
    names = ["plain", "skip", "norm"][: len(loss)]
    coords = {"variant": names, "seed": range(loss.shape[1]), "rate": rates}
    return xr.Dataset({name: (DIMS, values) for name, values in parts.items()}, coords)


def test_the_rate_is_chosen_on_validation_and_reported_on_test() -> None:
    test = [[[4.0, 9.0, 1.0, 2.0]]]
    best = best_of_grid(study([[[3.0, 1.0, 2.0, INF]]], test))
    assert best["test_loss"].item() == 9.0
    assert best["best_rate"].item() == 0.1
    assert "validation_loss" in best["test_loss"].attrs["meaning"]
    check(best)
    with pytest.raises(EvidenceError, match="flatters"):
        best_of_grid(study([[[3.0, 1.0, 2.0, INF]]]), reported="validation_loss")


def test_each_seed_chooses_for_itself_or_all_seeds_share_a_rate() -> None:
    """Medians over seeds: 3, 2, 1 (but it diverges once), inf: shared is the second rate."""
    losses = [[[3.0, 2.0, 1.0, INF], [3.0, 1.5, 1.0, INF], [3.0, 2.0, INF, INF]]]
    each = best_of_grid(study(losses))
    assert each["best_rate"].values.tolist() == [[1.0, 1.0, 0.1]]
    assert each["test_loss"].values.tolist() == [[10.0, 10.0, 20.0]]
    shared = best_of_grid(study(losses), per="variant")
    assert shared["best_rate"].values.tolist() == [[0.1, 0.1, 0.1]]
    assert shared["test_loss"].values.tolist() == [[20.0, 15.0, 20.0]]


def test_accuracy_is_better_when_higher_and_ties_go_to_the_smaller_rate() -> None:
    accuracy = [[[0.5, 0.9, 0.9, NAN]]]
    scores = study(
        [[[1.0] * 4]], validation_accuracy=accuracy, test_accuracy=[[[0.1, 0.2, 0.3, NAN]]]
    )
    best = best_of_grid(scores, chosen_on="validation_accuracy", reported="test_accuracy")
    assert (best["best_rate"].item(), best["test_accuracy"].item()) == (0.1, 0.2)


@pytest.mark.parametrize(
    ("losses", "rate", "edge"),
    [
        ([1.0, 2.0, 3.0, 4.0], 0.01, "lowest"),
        ([4.0, 3.0, 2.0, 1.0], 10.0, "highest"),
        ([4.0, 3.0, 2.0, INF], 1.0, ""),
        ([INF, NAN, INF, NAN], 0.0, "none"),
    ],
)
def test_an_optimum_at_the_edge_of_the_grid_is_flagged(
    losses: list[float], rate: float, edge: str
) -> None:
    best = best_of_grid(study([[losses]]))
    assert (best["best_rate"].item(), best["edge"].item()) == (rate, edge)
    assert best["test_loss"].item() == (INF if edge == "none" else 10 * np.nanmin(losses))


def test_rates_in_any_order_and_grids_of_different_reach() -> None:
    """The second variant has no rate 10: its grid ends at 1, where its optimum is flagged."""
    recorded = np.ones((2, 1, 4), bool)
    recorded[1, 0, 3] = False
    losses = [[[3.0, 2.0, 1.0, 2.0]], [[3.0, 2.0, 1.0, NAN]]]
    scores = study(losses, recorded=recorded).isel(rate=[2, 0, 3, 1])
    best = best_of_grid(scores)
    assert best["best_rate"].values.ravel().tolist() == [1.0, 1.0]
    assert best["edge"].values.ravel().tolist() == ["", "highest"]
    stable = largest_stable_rate(scores)
    assert stable["largest_stable_rate"].values.ravel().tolist() == [10.0, 1.0]
    assert stable["censored"].values.all()


def test_a_grid_that_is_not_run_to_its_end_has_no_best() -> None:
    recorded = np.ones((1, 2, 4), bool)
    recorded[0, 1, 2] = False
    scores = study([[[3.0, 2.0, 1.0, INF], [3.0, 2.0, NAN, INF]]], recorded=recorded)
    for found in (
        best_of_grid(scores)["test_loss"],
        best_of_grid(scores, per="variant")["test_loss"],
        largest_stable_rate(scores)["largest_stable_rate"],
        usable_width(scores)["usable_decades"],
    ):
        assert np.isfinite(found[0, 0])
        assert np.isnan(found[0, 1])


@pytest.mark.parametrize(
    ("losses", "rate", "censored"),
    [
        ([3.0, 2.0, 1.0, NAN], 1.0, False),
        ([3.0, INF, 1.0, 1.0], 0.01, False),
        ([NAN, 2.0, 1.0, 1.0], 0.0, False),
        ([3.0, 2.0, 1.0, 50.0], 10.0, True),
    ],
)
def test_the_largest_stable_rate_is_that_up_to_which_none_diverged(
    losses: list[float], rate: float, censored: bool
) -> None:
    found = largest_stable_rate(study([[losses]]))
    assert found["largest_stable_rate"].item() == rate
    assert found["censored"].item() is censored
    check(found)


def test_a_finite_loss_after_divergence_does_not_make_a_rate_stable() -> None:
    at = [[[INF, INF, 300.0, 20.0]]]
    found = largest_stable_rate(study([[[3.0, 2.0, 0.5, 0.1]]], diverged_at=at))
    assert found["largest_stable_rate"].item() == 0.1
    assert best_of_grid(study([[[3.0, 2.0, 0.5, 0.1]]], diverged_at=at))["best_rate"].item() == 0.1


@pytest.mark.parametrize(
    ("losses", "decades", "edge"),
    [
        ([9.0, 1.0, 9.0, INF], 1.0, ""),  # half a decade to either side
        ([9.0, 1.9, 1.0, INF], 2.0, ""),
        ([1.0, 9.0, 9.0, INF], 0.5, "lowest"),  # nothing is known below the grid
        ([1.9, 1.9, 1.0, 1.9], 3.0, "both"),
        ([1.0, 9.0, 1.1, 9.0], 0.5, "lowest"),  # the stretch around the best, unbroken
        ([9.0, 9.0, 2.0, 1.0], 1.5, "highest"),
        ([INF, INF, NAN, INF], 0.0, "none"),
    ],
)
def test_the_width_is_the_stretch_around_the_best_rate(
    losses: list[float], decades: float, edge: str
) -> None:
    found = usable_width(study([[losses]]))
    assert found["usable_decades"].item() == pytest.approx(decades, abs=1e-12)
    assert found["edge"].item() == edge
    check(found)


def test_the_bar_is_the_own_best_or_the_best_of_all_or_a_number() -> None:
    losses = [[[9.0, 1.0, 1.5, INF]], [[2.4, 2.3, 2.3, 2.3]]]
    own = usable_width(study(losses))["usable_decades"].values.ravel()
    assert own == pytest.approx([2.0, 3.0])
    shared = usable_width(study(losses), bar="shared")["usable_decades"].values.ravel()
    assert shared == pytest.approx([2.0, 0.0])
    number = usable_width(study(losses), bar=1.2)["usable_decades"].values.ravel()
    assert number == pytest.approx([1.0, 0.0])


def test_the_width_is_right_on_average_whatever_the_grid() -> None:
    """A parabola in log rate stays below its bar on exactly 1.4 decades, wherever it lies."""
    random = np.random.default_rng(0)
    for spacing in (0.5, 0.25):
        logs = np.arange(-4, 4 + spacing, spacing)
        middles = random.random(2_000)[:, None]
        losses = 1.0 + (logs - middles) ** 2 / 0.7**2
        found = usable_width(study([losses.tolist()], rates=(10.0**logs).tolist()), bar=2.0)
        widths = found["usable_decades"].values
        assert abs(widths.mean() - 1.4) < 4 * widths.std() / math.sqrt(2_000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factor": 0.5}, "factor of 1 or more"),
        ({"bar": "shard"}, "Did you mean 'shared'"),
        ({"score": "validation_accuracy"}, "expected a loss"),
        ({"score": "valid_loss"}, "Did you mean 'validation_loss'"),
    ],
)
def test_what_has_no_width_is_refused(changes: dict[str, object], message: str) -> None:
    scores = study([[[1.0] * 4]], validation_accuracy=[[[0.5] * 4]])
    with pytest.raises(EvidenceError, match=message):
        usable_width(scores, **changes)  # type: ignore[arg-type]


def test_a_grid_must_be_one() -> None:
    with pytest.raises(EvidenceError, match="at least two rates"):
        usable_width(study([[[1.0]]], rates=[0.1]))
    assert best_of_grid(study([[[1.0]]], rates=[0.1]))["edge"].item() == "only"
    with pytest.raises(EvidenceError, match=r"above 0, found \[-1.0"):
        best_of_grid(study([[[1.0] * 4]], rates=[-1.0, 0.1, 1.0, 10.0]))
    with pytest.raises(EvidenceError, match="give every variant a grid"):
        best_of_grid(study([[[1.0] * 4]]).isel(rate=0, drop=True))
    with pytest.raises(EvidenceError, match="Did you mean 'seed'"):
        best_of_grid(study([[[1.0] * 4]]), per="seeds")  # type: ignore[arg-type]


def test_a_variant_that_learns_nothing_stands_at_rate_zero_and_has_no_grid() -> None:
    recorded = np.array([[[False, True, True]], [[True, False, False]]])
    losses = [[[NAN, 2.0, 1.0]], [[2.3, NAN, NAN]]]
    best = best_of_grid(study(losses, rates=[0.0, 0.1, 1.0], recorded=recorded))
    assert best["best_rate"][0].item() == 1.0
    assert np.isnan(best["test_loss"][1].item())


def test_the_last_step_is_read_unless_another_is_named() -> None:
    first, last = study([[[1.0, 2.0, 3.0, 4.0]]]), study([[[9.0, 2.0, 1.0, NAN]]])
    both = xr.concat([first, last], "step").assign_coords(step=[0, 100])
    assert best_of_grid(both)["best_rate"].item() == 1.0
    assert best_of_grid(both, step=0)["best_rate"].item() == 0.01


def test_the_table_has_students_interval_or_ranks_where_a_seed_diverged() -> None:
    random = np.random.default_rng(1)
    losses = random.lognormal(0, 0.1, (2, 7, 4)) * np.array([3.0, 1.0, 2.0, INF])
    losses[1, 0] = INF
    table = compare_rates(study(losses.tolist()))
    assert table["case"].values.tolist() == ["test_loss", "usable_decades", "largest_stable_rate"]
    best = 10 * losses[0].min(axis=1)
    low, high = stats.ttest_1samp(np.log(best), 0).confidence_interval(0.95)
    plain = table.sel(variant="plain", case="test_loss")
    assert plain["low"].item() == pytest.approx(math.exp(low))
    assert plain["high"].item() == pytest.approx(math.exp(high))
    skip = table.sel(variant="skip", case="test_loss")
    assert skip["not_finite"].item() == 1
    assert skip["method"].item() == "order statistics around the median"
    assert skip["high"].item() == INF
    assert skip["flagged"].item() == 1
    stable = table.sel(case="largest_stable_rate")
    assert stable["centre"].values.tolist() == [pytest.approx(1.0), 1.0]
    assert stable["low"].values.tolist() == [pytest.approx(1.0), 0.0]
    check(table)


def gain(evidence: xr.Dataset) -> xr.DataArray:
    rates = largest_stable_rate(evidence)["largest_stable_rate"]
    return rates.sel(variant="skip", drop=True) / rates.sel(variant="plain", drop=True)


def test_summaries_are_effects_of_claims_paired_within_a_seed() -> None:
    claim = Claim(
        "n", "A skip allows tenfold rates.", "b", "essay", gain, AtLeast(2.0), scale="log"
    )
    plain, skip = [3.0, 2.0, INF, INF], [3.0, 2.0, 1.0, INF]
    verdict = judge(claim, study([[plain] * 6, [skip] * 6]))
    assert (verdict.ruling, verdict.effect) == ("supported", pytest.approx(10.0))
    never = judge(claim, study([[[INF] * 4] * 2 + [plain] * 6, [skip] * 8]))
    assert never.ruling == "supported"
    assert "2 of 8 seeds diverged" in never.method
    recorded = np.ones((2, 7, 4), bool)
    recorded[1, 6, 2:] = False
    losses = np.array([[plain] * 7, [skip] * 7])
    part = judge(claim, study(np.where(recorded, losses, NAN).tolist(), recorded=recorded))
    assert "6 seeds, 1 not run" in part.reason
