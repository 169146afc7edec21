"""A card says what the verdict says; the source of truth is the verdict."""

import math

import xarray as xr

from skipnorm.report import Section
from skipnorm.report.cards import card, tally
from skipnorm.verdicts import AtLeast, Claim, Identity, judge


def test_a_card_repeats_its_verdict_in_words(sections: list[Section]) -> None:
    section = sections[0]
    shown = card(section, section.verdicts[0])
    assert shown.ruling == section.verdicts[0].ruling
    assert shown.side == "A counter-claim"
    assert shown.case in {"B = 6", "B = 8", "B = 32", "B = 128"}
    assert shown.figure == "propagation-figure-rates"
    assert len(shown.cases) == 4
    assert shown.level.endswith("% interval")


def test_an_identity_needs_no_seeds(sections: list[Section]) -> None:
    shown = card(sections[1], sections[1].verdicts[2])
    assert (shown.seeds, shown.level) == ("not needed", "All values")


def test_rulings_are_counted_in_a_fixed_order(sections: list[Section]) -> None:
    assert tally(sections) == [("supported", 4), ("refuted", 1), ("undecided", 1)]


def test_an_effect_without_order_is_undetermined() -> None:
    """Infinity less infinity is neither more nor less than anything."""
    values = [[1.0] * 5, [math.nan] * 5]
    evidence = xr.Dataset({"gain": (("case", "seed"), values)}, {"case": ["a", "b"]})
    for prediction in (AtLeast(2.0), Identity(1e-6)):
        claim = Claim("x", "It grows.", "by hand", "derived", lambda e: e["gain"], prediction)
        verdict = judge(claim, evidence)
        shown = card(Section("grows", "Does it?", "By hand.", "none", [verdict]), verdict)
        effects = [shown.measured, *(row["effect"] for row in shown.cases)]
        assert "undetermined" in effects
        assert "not a number" not in " ".join([*effects, shown.reason])
