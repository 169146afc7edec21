"""What holds for every inquiry of the catalogue. Truth: the rules of the house, written down in CONTRIBUTING.md."""

import re
from pathlib import Path

import pytest

from skipnorm.inquiries import CATALOGUE, load

ROOT = Path(__file__).parents[2]
NAMES = [entry.name for entry in CATALOGUE]
FEWEST = 5


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_with_what_the_essay_says_and_an_answer_for_every_ruling(name):
    inquiry = load(name)
    assert inquiry.essay.strip()
    assert inquiry.headline in [claim.name for claim in inquiry.claims]
    assert {"supported", "refuted", "undecided"} <= set(inquiry.answers)
    assert len(set(inquiry.answers.values())) == len(inquiry.answers)


@pytest.mark.parametrize("name", NAMES)
def test_the_essay_does_not_stand_alone(name):
    """Beside what the essay says stands somebody else, in at least one topic."""
    claims = load(name).claims
    sides = {claim.side for claim in claims}
    assert "essay" in sides
    assert sides & {"paper", "counter", "derived"}
    topics = [claim.topic for claim in claims if claim.topic]
    assert any(
        len({claim.side for claim in claims if claim.topic == topic}) > 1 for topic in set(topics)
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_shows_a_claim_or_says_what_it_shows(name):
    inquiry = load(name)
    assert set(inquiry.captions) == set(inquiry.figures)
    assert all(len(caption.split()) > 5 for caption in inquiry.captions.values())


@pytest.mark.parametrize("name", NAMES)
def test_quick_and_full_have_seeds_to_rule_on(name):
    inquiry = load(name)
    for scale in ("quick", "full"):
        assert len(inquiry.study(scale).seeds) >= FEWEST
    assert len(inquiry.study("full").seeds) >= len(inquiry.study("quick").seeds)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_page_on_its_protocol(name):
    assert (ROOT / "docs" / "inquiries" / f"{name}.md").is_file()


def test_no_two_claims_share_a_sentence():
    said = [claim.sentence for name in NAMES for claim in load(name).claims]
    assert sorted({each for each in said if said.count(each) > 1}) == []


def test_the_demo_is_small_and_the_full_run_ends_within_its_time():
    """Eight minutes, and ninety, on two cores."""
    assert sum(entry.quick for entry in CATALOGUE) <= 2 * 60 * 8
    assert sum(entry.full for entry in CATALOGUE) <= 2 * 60 * 90


def test_claims_are_named_like_one_another():
    names = [claim.name for name in NAMES for claim in load(name).claims]
    assert [each for each in names if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9.]+)*", each)] == []
