"""The rulings of the full run that the package carries, and how a smaller run is held against them."""

from skipnorm.inquiries import CATALOGUE, load
from skipnorm.inquiries.full_scale import comparison, full_rulings


def test_no_ruling_is_kept_for_a_claim_that_is_gone():
    known = {(e.name, claim.name) for e in CATALOGUE for claim in load(e.name).claims}
    assert set(full_rulings()) <= known


def test_a_contradiction_is_named():
    here = {("a", "x"): "supported", ("a", "y"): "refuted", ("a", "z"): "undecided"}
    full = {("a", "x"): "refuted", ("a", "y"): "refuted", ("a", "z"): "supported"}
    told = comparison(here.items(), full)
    assert told.startswith("Here 2 of 3 claims are ruled. At full scale 3 of 3 are; of these 2 are")
    assert told.endswith("1 otherwise (a/x).")


def test_without_a_full_run_only_this_one_is_counted():
    assert comparison({("a", "x"): "undecided"}.items(), {}) == "Here 0 of 1 claims are ruled."
