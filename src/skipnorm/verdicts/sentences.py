"""The words of a verdict: which method ruled, and the reason in one sentence with its numbers."""

import math

from skipnorm.evidence.wording import number, percent, resolution, span
from skipnorm.verdicts.claim import Claim
from skipnorm.verdicts.predictions import Equivalent, Identity
from skipnorm.verdicts.ruling import Row
from skipnorm.verdicts.statistics import FEWEST, fewest_for_median

_MET = {
    "supported": "the whole interval meets the prediction",
    "refuted": "no part of the interval meets the prediction",
    "undecided": "only a part of the interval meets the prediction",
}
_DIFFERENCE = {
    ("supported", False): "no difference that matters",
    ("supported", True): "a difference, but none that matters",
    ("refuted", False): "a difference that matters",
    ("refuted", True): "a difference that matters",
    ("undecided", False): "no difference is shown, and none that matters is ruled out",
    ("undecided", True): "a difference is shown, but not whether it matters",
}
_WHICH = {"supported": "the closest call", "refuted": "the clearest", "undecided": "the weakest"}
_WITHIN = {"supported": "stays within", "refuted": "exceeds", "undecided": "was never held to"}


def method(claim: Claim, row: Row, count: int) -> str:
    """Which statistic ruled, on which scale and at which level, and what stands beside it.

    Args:
        claim: what was judged.
        row: the deciding case.
        count: how many cases the claim has.
    """
    if isinstance(claim.prediction, Identity):
        return "tolerance, without seeds"
    if row["seeds"] < FEWEST:
        return f"none: fewer than {FEWEST} seeds"
    holm = f", Holm over {count} cases" if count > 1 else ""
    level = f"{percent(row['level'])} interval{holm}{_two_tests(row)}"
    if row["ranked"]:
        return f"sign test, order statistics around the median, {level}; {_why_ranked(row)}"
    return f"paired Student-t over seeds, {claim.scale} scale, {level}{_beside(row)}"


def reason(claim: Claim, row: Row, rows: list[Row], predicted: str) -> str:
    """The ruling's numbers in one sentence.

    Args:
        claim: what was judged.
        row: the deciding case.
        rows: all cases.
        predicted: the prediction in words.
    """
    if len(rows) == 1:
        return "The effect is " + _numbers(claim, row, predicted)
    same = sum(other["ruling"] == row["ruling"] for other in rows)
    return (
        f"{same} of {len(rows)} cases {'is' if same == 1 else 'are'} {row['ruling']}; "
        f"{_WHICH[row['ruling']]} is {row['case']}, where the effect is "
        + _numbers(claim, row, predicted)
    )


def measured(effect: float, low: float, high: float, unit: str = "") -> str:
    """An effect in print, to the digits that its interval deserves.

    >>> measured(1.78823, 1.779, 1.797), measured(math.nan, -math.inf, math.inf)
    ('1.788', 'undetermined')
    """
    if math.isnan(effect):
        return "undetermined"
    return number(effect, resolution(low, high)) + unit


def _two_tests(row: Row) -> str:
    if math.isnan(row["tost_p"]):
        return ""
    each = percent((1 - row["level"]) / 2)
    return f" as two one-sided tests at {each} each (TOST p = {number(row['tost_p'])})"


def _beside(row: Row) -> str:
    """The sign-flip test as a check: whether it agrees, and whether it could have."""
    p = row["sign_flip_p"]
    if math.isnan(p):
        return ""
    text = f"; sign-flip p = {number(p)}"
    alpha = 1 - row["level"]
    if 2.0 ** (1 - row["seeds"]) > alpha + 1e-12:
        return f"{text}, which {row['seeds']} seeds are too few to bring below {percent(alpha)}"
    if row["ruling"] != "undecided" and p > alpha + 1e-12:
        return f"{text}, which does not confirm the ruling"
    return text


def _numbers(claim: Claim, row: Row, predicted: str) -> str:
    unit = f" {claim.unit}" if claim.unit else ""
    effect = measured(row["effect"], row["low"], row["high"], unit)
    if isinstance(claim.prediction, Identity):
        if not math.isnan(row["effect"]):
            effect = f"at most {number(abs(row['effect']))}{unit}"
        return f"{effect} and {_WITHIN[row['ruling']]} the tolerance ({predicted})."
    seeds = f"{row['seeds']} seeds" + (f", {row['diverged']} diverged" if row["diverged"] else "")
    seeds += f", {row['missing']} not run" if row["missing"] else ""
    if math.isnan(row["low"]):
        return f"{effect} ({seeds}): {_outcome(claim, row, predicted)}."
    interval = f"{percent(row['level'])} interval {span(row['low'], row['high'])}"
    return f"{effect} ({interval}, {seeds}): {_outcome(claim, row, predicted)}."


def _outcome(claim: Claim, row: Row, predicted: str) -> str:
    if row["seeds"] < FEWEST:
        return f"fewer than {FEWEST} seeds rule on nothing (predicted: {predicted})"
    needed = fewest_for_median(row["level"])
    if row["ranked"] and row["seeds"] < needed:
        return f"an interval around a median needs {needed} seeds here (predicted: {predicted})"
    if not isinstance(claim.prediction, Equivalent):
        return f"{_MET[row['ruling']]} ({predicted})"
    shown = not row["low"] <= row["target"] <= row["high"]
    return f"{_DIFFERENCE[row['ruling'], shown]}; {_MET[row['ruling']]} ({predicted})"


def _why_ranked(row: Row) -> str:
    if not row["diverged"] and row["vanished"]:
        return f"{row['vanished']} of {row['seeds']} effects are 0 in a seed with a diverged run"
    if not row["diverged"]:
        return "an effect of zero has no logarithm"
    rank = "rank worst" if not row["unordered"] else f"{_unordered(row)}"
    return f"{row['diverged']} of {row['seeds']} seeds diverged and {rank}"


def _unordered(row: Row) -> str:
    if row["unordered"] == row["diverged"]:
        return "leave no order: they count against either ruling"
    return f"rank worst, {row['unordered']} of them without order: against either ruling"
