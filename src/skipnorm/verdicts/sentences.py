"""The words of a verdict: which method ruled, and the reason in one sentence with its numbers."""

import math
from typing import Any

from skipnorm.evidence.wording import number, percent, resolution, span
from skipnorm.verdicts.claim import Claim
from skipnorm.verdicts.predictions import Identity
from skipnorm.verdicts.statistics import FEWEST, fewest_for_median

Row = dict[str, Any]
"""The numbers of one case, as `judge` writes them."""

_MET = {
    "supported": "the whole interval meets the prediction",
    "refuted": "no part of the interval meets the prediction",
    "undecided": "only a part of the interval meets the prediction",
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
    level = f"{percent(row['level'])} interval{holm}"
    if row["ranked"]:
        return f"sign test, order statistics around the median, {level}; {_why_ranked(row)}"
    beside = (
        "" if math.isnan(row["sign_flip_p"]) else f"; sign-flip p = {number(row['sign_flip_p'])}"
    )
    return f"paired Student-t over seeds, {claim.scale} scale, {level}{beside}"


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


def _numbers(claim: Claim, row: Row, predicted: str) -> str:
    unit = f" {claim.unit}" if claim.unit else ""
    if isinstance(claim.prediction, Identity):
        effect = number(abs(row["effect"]))
        return f"at most {effect}{unit} and {_WITHIN[row['ruling']]} the tolerance ({predicted})."
    effect = number(row["effect"], resolution(row["low"], row["high"]))
    seeds = f"{row['seeds']} seeds" + (f", {row['diverged']} diverged" if row["diverged"] else "")
    seeds += f", {row['missing']} not run" if row["missing"] else ""
    if math.isnan(row["low"]):
        return f"{effect}{unit} ({seeds}): {_outcome(row, predicted)}."
    interval = f"{percent(row['level'])} interval {span(row['low'], row['high'])}"
    return f"{effect}{unit} ({interval}, {seeds}): {_outcome(row, predicted)}."


def _outcome(row: Row, predicted: str) -> str:
    if row["seeds"] < FEWEST:
        return f"fewer than {FEWEST} seeds rule on nothing (predicted: {predicted})"
    needed = fewest_for_median(row["level"])
    if row["ranked"] and row["seeds"] < needed:
        return f"an interval around a median needs {needed} seeds here (predicted: {predicted})"
    return f"{_MET[row['ruling']]} ({predicted})"


def _why_ranked(row: Row) -> str:
    if row["diverged"]:
        return f"{row['diverged']} of {row['seeds']} seeds diverged and rank worst"
    return "an effect of zero has no logarithm"
