"""Every prediction can come out supported, refuted and undecided, on evidence made to do so.

The source of truth is the evidence itself: it is drawn around a known effect, far inside, far
outside or at the edge of what the claim predicts.
"""

import math

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from skipnorm.errors import ClaimError
from skipnorm.evidence import outcomes
from skipnorm.evidence.summaries import Scale
from skipnorm.verdicts import AtLeast, AtMost, Claim, Equivalent, Identity, Near, judge
from skipnorm.verdicts.predictions import Prediction


def claim(prediction: Prediction, **changes: object) -> Claim:
    words = {
        "name": "growth",
        "sentence": "The gain is as predicted.",
        "source": "by hand",
        "side": "derived",
        "effect": lambda evidence: evidence["gain"],
    }
    return Claim(**{**words, "prediction": prediction, **changes})  # type: ignore[arg-type]


def around(centre: float, spread: float = 0.01, seeds: int = 8) -> xr.Dataset:
    """Effects with exactly this mean and this standard deviation."""
    draws = np.random.default_rng(0).normal(size=seeds)
    draws = (draws - draws.mean()) / draws.std(ddof=1)
    return xr.Dataset({"gain": ("seed", centre + spread * draws)}, {"seed": range(seeds)})


def with_cases(**gains: list[float]) -> xr.Dataset:
    rows = np.array(list(gains.values()))
    coords = {"case": list(gains), "seed": range(rows.shape[1])}
    return xr.Dataset({"gain": (("case", "seed"), rows)}, coords)


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize(
    ("prediction", "supported", "refuted", "edge"),
    [
        (AtLeast(2.0), 2.1, 1.9, 2.0),
        (AtMost(2.0), 1.9, 2.1, 2.0),
        (Near(2.0, 0.1), 2.0, 2.2, 2.1),
        (Near(2.0, 0.05, relative=True), 1.98, 1.7, 1.9),
        (Equivalent(factor=1.25), 1.01, 1.4, 1.25),
    ],
)
def test_every_prediction_can_come_out_all_three_ways(
    prediction: Prediction, supported: float, refuted: float, edge: float, scale: str
) -> None:
    judged = claim(prediction, scale=scale)
    assert judge(judged, around(supported)).ruling == "supported"
    assert judge(judged, around(refuted)).ruling == "refuted"
    assert judge(judged, around(edge)).ruling == "undecided"
    assert judge(judged, around(supported, spread=0.6)).ruling == "undecided"


def test_an_identity_is_judged_by_tolerance_without_seeds() -> None:
    judged = claim(Identity(1e-10))
    exact = judge(judged, xr.Dataset({"gain": ("site", [0.0, -3e-11])}))
    assert (exact.ruling, exact.effect, exact.seeds) == ("supported", -3e-11, 0)
    assert exact.method == "tolerance, without seeds"
    assert judge(judged, xr.Dataset({"gain": 2e-10})).ruling == "refuted"
    assert judge(judged, xr.Dataset({"gain": ("site", [0.0, np.nan])})).ruling == "refuted"


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_fewer_than_five_seeds_are_undecided_and_say_so(seeds: int) -> None:
    evidence = xr.Dataset({"gain": ("seed", np.full(seeds, 9.0) + np.arange(seeds) / 100)})
    verdict = judge(claim(AtLeast(2.0)), evidence)
    assert verdict.ruling == "undecided"
    assert "fewer than 5 seeds" in verdict.reason
    assert verdict.seeds == seeds


def test_a_verdict_carries_its_numbers_on_the_original_scale() -> None:
    evidence = xr.Dataset({"gain": ("seed", np.exp([0.9, 1.0, 1.1, 1.0, 1.0]))})
    verdict = judge(claim(AtLeast(1.0), scale="log", unit="nat"), evidence)
    half = 2.7764451052 * math.sqrt(0.005 / 5)
    assert verdict.effect == pytest.approx(math.e)
    assert verdict.low == pytest.approx(math.exp(1 - half))
    assert verdict.high == pytest.approx(math.exp(1 + half))
    assert verdict.level == 0.95
    assert verdict.method == (
        "paired Student-t over seeds, log scale, 95 % interval; sign-flip p = 0.0625, "
        "which 5 seeds are too few to bring below 5 %"
    )
    assert verdict.reason == (
        "The effect is 2.72 nat (95 % interval 2.49 to 2.97, 5 seeds): "
        "the whole interval meets the prediction (at least 1)."
    )


def test_a_claim_holds_only_where_all_of_its_cases_do() -> None:
    near = [2.0, 2.01, 1.99, 2.0, 2.02, 1.98]
    far = [3.0, 3.01, 2.99, 3.0, 3.02, 2.98]
    wide = [1.0, 3.0, 2.0, 2.5, 1.5, 2.0]
    judged = claim(Near(2.0, 0.1))
    assert judge(judged, with_cases(a=near, b=near)).ruling == "supported"
    refuted = judge(judged, with_cases(a=near, b=far, c=wide))
    assert (refuted.ruling, refuted.case) == ("refuted", "b")
    assert refuted.reason.startswith("1 of 3 cases is refuted; the clearest is b,")
    undecided = judge(judged, with_cases(a=near, b=wide))
    assert (undecided.ruling, undecided.case) == ("undecided", "b")
    assert [row["ruling"] for row in undecided.cases] == ["supported", "undecided"]


def test_holm_adjusts_the_levels_of_the_cases() -> None:
    rows = with_cases(clear=[9.0, 9.1, 9.0, 9.1, 9.0, 9.1], barely=[2.0, 2.6, 2.1, 2.4, 2.2, 2.3])
    verdict = judge(claim(AtLeast(2.0)), rows)
    assert [row["level"] for row in verdict.cases] == [0.975, 0.95]
    assert verdict.ruling == "supported"
    assert "Holm over 2 cases" in verdict.method


def test_a_target_may_be_theory_computed_from_the_evidence() -> None:
    theory = xr.DataArray([1.0, 4.0], {"case": ["b", "a"]})
    rows = with_cases(a=[4.0, 4.1, 3.9, 4.0, 4.0], b=[1.0, 1.01, 0.99, 1.0, 1.0])
    judged = claim(Near(lambda evidence: theory, 0.1, relative=True))
    verdict = judge(judged, rows)
    assert verdict.ruling == "supported"
    assert [row["predicted_high"] for row in verdict.cases] == pytest.approx([4.4, 1.1])
    with pytest.raises(ClaimError, match="predicts nothing for the case 'c'"):
        judge(judged, with_cases(c=[1.0] * 5))


SAMPLE = np.array([-1.5, -0.5, 0.0, 0.5, 1.5, -1.0, 1.0, 0.0])
"""Mean 0; s = 1 exactly, since the squares add up to 7."""


@pytest.mark.parametrize(
    ("mean", "spread", "ruling", "words"),
    [
        (0.0, 0.01, "supported", "no difference that matters"),
        (0.05, 0.01, "supported", "a difference, but none that matters"),
        (0.2, 0.01, "refuted", "a difference that matters"),
        (0.02, 1.0, "undecided", "no difference is shown, and none that matters is ruled out"),
        (0.1, 0.01, "undecided", "a difference is shown, but not whether it matters"),
    ],
)
def test_equivalence_is_kept_apart_from_what_is_not_significant(
    mean: float, spread: float, ruling: str, words: str
) -> None:
    evidence = xr.Dataset({"gain": ("seed", mean + spread * SAMPLE)})
    verdict = judge(claim(Equivalent(0.1)), evidence)
    assert verdict.ruling == ruling
    assert f": {words}; " in verdict.reason


def test_equivalence_is_schuirmanns_two_tests_at_half_of_alpha() -> None:
    """With s = 1 and n = 8 the 95 % interval reaches 2.3646 / sqrt(8) = 0.8360 from the mean."""
    evidence = xr.Dataset({"gain": ("seed", 0.1 + SAMPLE)})
    assert judge(claim(Equivalent(0.9361)), evidence).ruling == "supported"
    narrow = judge(claim(Equivalent(0.9359)), evidence)
    assert narrow.ruling == "undecided"
    tests = [
        stats.ttest_1samp(0.1 + SAMPLE, -0.9359, alternative="greater").pvalue,
        stats.ttest_1samp(0.1 + SAMPLE, 0.9359, alternative="less").pvalue,
    ]
    assert narrow.cases[0]["tost_p"] == pytest.approx(max(tests), rel=1e-12)
    assert "as two one-sided tests at 2.5 % each (TOST p = 0.025" in narrow.method


def test_equivalence_of_runs_that_diverge_alike_is_never_supported_by_default() -> None:
    """Where both runs of a pair diverge their difference has no order: it speaks for nothing."""
    both = xr.Dataset({"gain": ("seed", [0.0] * 4 + [math.nan] * 5)})
    verdict = judge(claim(Equivalent(0.1)), both)
    assert verdict.ruling == "undecided"
    assert "5 of 9 seeds diverged and leave no order" in verdict.method
    assert "not a number" not in verdict.reason
    assert "The effect is undetermined" in verdict.reason
    one = xr.Dataset({"gain": ("seed", [0.0] * 8 + [math.inf])})
    verdict = judge(claim(Equivalent(0.1)), one)
    assert verdict.ruling == "supported"
    assert verdict.cases[0]["tost_p"] == stats.binomtest(1, 9, 0.5, "less").pvalue


def test_the_sign_flip_test_never_rules_and_says_where_it_does_not_confirm() -> None:
    few = judge(claim(AtLeast(0.0)), xr.Dataset({"gain": ("seed", [1.0, 1.1, 0.9, 1.0, 1.0])}))
    assert few.ruling == "supported"
    assert "5 seeds are too few to bring below 5 %" in few.method
    gains = np.array([0.4, -0.9, 0.3, 1.2, 1.2, -0.4, 0.9, 1.8, 2.4, -0.1, -0.2, 0.7])
    flips = stats.permutation_test((gains,), np.sum, permutation_type="samples").pvalue
    assert stats.ttest_1samp(gains, 0.0).pvalue < 0.05 < flips
    verdict = judge(claim(AtLeast(0.0)), xr.Dataset({"gain": ("seed", gains)}))
    assert verdict.ruling == "supported"
    assert "which does not confirm the ruling" in verdict.method


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_a_ratio_to_a_diverged_loss_is_ranked_though_it_is_finite(scale: Scale) -> None:
    """1 / inf = 0 is a number, of which a mean could be taken: the divergence would be hidden."""
    losses = np.array(
        [[1.0, 1.1, 0.9, 1.0, 1.2, 1.1, 1.0], [2.0, 2.1, 1.9, 2.2, 2.0, 1.8, math.nan]]
    )
    at = np.where(np.isnan(losses), 30.0, math.nan)
    evidence = xr.Dataset(
        {"test_loss": (("variant", "seed"), losses), "diverged_at": (("variant", "seed"), at)}
    )

    def ratio(found: xr.Dataset) -> xr.DataArray:
        ended = outcomes(found, "test_loss")
        return ended[0] / ended[1]

    asked = Claim("r", "Less.", "by hand", "derived", ratio, AtMost(0.9), scale=scale)
    verdict = judge(asked, evidence)
    assert verdict.ruling == "supported"
    assert verdict.method.startswith("sign test")
    assert "1 of 7 effects are 0 in a seed with a diverged run" in verdict.method
    whole = evidence.isel(seed=slice(6))
    assert judge(asked, whole).method.startswith("paired Student-t")


@pytest.mark.parametrize(
    ("prediction", "gains"),
    [
        (AtMost(0.05), [0.01, -0.01, 0.0, 0.02, 0.0, -0.02]),
        (Equivalent(0.05), [0.01, 0.02, 0.0, 0.02, 0.0, 0.01]),
    ],
)
def test_a_difference_of_nothing_is_a_number_wherever_else_a_run_diverged(
    prediction: Prediction, gains: list[float]
) -> None:
    """Accuracies are often equal; a run of another variant that diverged says nothing about them."""
    lost = (("variant", "seed"), np.where(np.eye(2, 6) == 1, 7.0, math.nan))
    evidence = xr.Dataset({"gain": ("seed", gains), "diverged_at": lost})
    evidence["diverged_at"][0, 2] = 7.0
    verdict = judge(claim(prediction), evidence)
    assert verdict.ruling == "supported"
    assert verdict.method.startswith("paired Student-t")


def test_a_diverged_seed_switches_to_the_sign_test_and_is_never_dropped() -> None:
    gains = [3.0, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6, 3.7]
    exploded = xr.Dataset({"gain": ("seed", [*gains, math.inf])})
    verdict = judge(claim(AtLeast(2.0), scale="log"), exploded)
    assert verdict.ruling == "supported"
    assert verdict.seeds == 9
    assert verdict.method.startswith("sign test")
    assert "1 of 9 seeds diverged" in verdict.method
    assert (verdict.low, verdict.high) == (3.1, 3.7)
    assert judge(claim(AtMost(2.0)), exploded).ruling == "refuted"


def test_divergence_in_most_seeds_can_refute() -> None:
    evidence = xr.Dataset({"gain": ("seed", [1.0, *[math.inf] * 8])})
    verdict = judge(claim(AtMost(2.0)), evidence)
    assert verdict.ruling == "refuted"
    assert verdict.effect == math.inf


def test_nan_effects_speak_against_either_ruling() -> None:
    one = xr.Dataset({"gain": ("seed", [3.0] * 8 + [math.nan])})
    many = xr.Dataset({"gain": ("seed", [3.0] * 4 + [math.nan] * 5)})
    assert judge(claim(AtLeast(2.0)), one).ruling == "supported"
    assert judge(claim(AtLeast(2.0)), many).ruling == "undecided"
    assert judge(claim(AtMost(2.0)), many).ruling == "undecided"


def test_five_seeds_with_a_divergence_are_too_few_and_it_says_how_many_are_needed() -> None:
    evidence = xr.Dataset({"gain": ("seed", [3.0, 3.1, 3.2, 3.3, math.inf])})
    verdict = judge(claim(AtLeast(2.0)), evidence)
    assert verdict.ruling == "undecided"
    assert "needs 6 seeds here" in verdict.reason


def test_a_vanished_effect_has_no_logarithm_and_is_ranked() -> None:
    evidence = xr.Dataset({"gain": ("seed", [0.0, 0.0, 1e-9, 1e-8, 1e-9, 1e-8, 1e-9])})
    verdict = judge(claim(AtMost(1.0), scale="log"), evidence)
    assert verdict.ruling == "supported"
    assert "an effect of zero has no logarithm" in verdict.method


def trials(recorded: list[list[bool]], plain: list[float], skip: list[float]) -> xr.Dataset:
    coords = {"variant": ["plain", "skip"], "seed": range(len(plain))}
    both = ("variant", "seed")
    return xr.Dataset({"loss": (both, [plain, skip]), "recorded": (both, recorded)}, coords)


def test_a_trial_that_never_ran_is_not_a_divergence() -> None:
    paired = claim(
        AtLeast(1.0),
        effect=lambda e: e["loss"].sel(variant="plain") - e["loss"].sel(variant="skip"),
    )
    nan = math.nan
    ran = [[True] * 7, [True] * 6 + [False]]
    plain = [3.0, 3.1, 3.2, 3.1, 3.0, 3.1, 3.2]
    evidence = trials(ran, plain, [1.0, 1.1, 1.0, 1.1, 1.0, 1.1, nan])
    verdict = judge(paired, evidence)
    assert verdict.ruling == "supported"
    assert verdict.method.startswith("paired Student-t")
    assert "6 seeds, 1 not run" in verdict.reason
    diverged = trials(ran, plain, [1.0, nan, 1.0, 1.1, 1.0, 1.1, nan])
    assert "6 seeds, 1 diverged, 1 not run" in judge(paired, diverged).reason
    everywhere = trials([[True] * 7] * 2, plain, [1.0, nan, 1.0, 1.1, 1.0, 1.1, nan])
    assert "7 seeds, 2 diverged" in judge(paired, everywhere).reason


def test_without_any_trial_nothing_is_ruled() -> None:
    empty = trials([[False] * 2, [False] * 2], [math.nan] * 2, [math.nan] * 2)
    verdict = judge(claim(AtLeast(1.0), effect=lambda e: e["loss"].sel(variant="plain")), empty)
    assert verdict.ruling == "undecided"
    assert verdict.seeds == 0


@pytest.mark.parametrize(
    ("changes", "evidence", "message"),
    [
        ({}, xr.Dataset({"gian": ("seed", [1.0])}), r"looks for 'No variable named 'gain'|gain"),
        ({}, xr.Dataset({"gain": ("site", [1.0])}), r"found \('site',\)"),
        ({}, xr.Dataset({"gain": ("seed", [])}), "its effect is empty"),
        ({"effect": lambda e: 1.0}, xr.Dataset(), "expected a DataArray.*found float"),
        ({"scale": "log"}, xr.Dataset({"gain": ("seed", [-1.0] * 5)}), "negative effect"),
    ],
)
def test_an_ill_formed_effect_is_refused(
    changes: dict[str, object], evidence: xr.Dataset, message: str
) -> None:
    with pytest.raises(ClaimError, match=message):
        judge(claim(AtLeast(1.0), **changes), evidence)
