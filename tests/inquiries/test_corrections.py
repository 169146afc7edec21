"""The corrections of the essay: nineteen, each said in full, each shown by claims that exist or by none."""

import dataclasses
import subprocess
import sys

import pytest

from skipnorm.errors import nearest
from skipnorm.inquiries import CATALOGUE, load
from skipnorm.inquiries.corrections import CORRECTIONS

#: Citations that point to the wrong paper: nothing to measure.
CITATIONS = ("cited as [3]", "cited as [2]")


@pytest.fixture(scope="module")
def known():
    inquiries = {entry.name: load(entry.name) for entry in CATALOGUE}
    return {name: {claim.name for claim in each.claims} for name, each in inquiries.items()}


def test_there_are_nineteen_and_no_two_are_alike():
    assert len(CORRECTIONS) == len({each.statement for each in CORRECTIONS}) == 19


def test_every_claim_that_is_named_exists(known):
    for correction in CORRECTIONS:
        for inquiry, claim in correction.claims:
            assert inquiry in known, nearest(inquiry, known)
            assert claim in known[inquiry], f"{inquiry}: {nearest(claim, known[inquiry])}"


def test_all_but_the_citations_are_shown_by_claims():
    for correction in CORRECTIONS:
        cited = any(words in correction.statement for words in CITATIONS)
        assert bool(correction.claims) is not cited, correction.statement


@pytest.mark.parametrize("correction", CORRECTIONS, ids=lambda each: each.statement[:30])
def test_a_correction_says_where_and_what_in_whole_sentences(correction):
    version, _, section = correction.where.partition(", ")
    assert version.split()[0] in ("First", "Second", "Both")
    assert section
    for text in (correction.statement, correction.problem):
        assert text[0].isupper() or text[0] == "[", text
        assert text.endswith("."), text
    assert len(correction.problem) > 60


def test_a_correction_is_a_value():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CORRECTIONS[0].problem = ""


def test_they_are_read_without_torch():
    code = (
        "import sys; import skipnorm.inquiries.corrections as c; print(len(c.CORRECTIONS));"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "19"), done.stderr
