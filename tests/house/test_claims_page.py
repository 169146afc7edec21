"""docs/claims.md names every sentence of the essay and what tests it: nothing is missing, nothing is made up.

The essay lies beside the checkout on some machines only; where it does not, its sentences cannot be counted.
"""

import re
from functools import cache
from pathlib import Path

import pytest

from skipnorm.inquiries import CATALOGUE, load

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "claims.md"
SEEDS = ROOT.parent / "shared" / "seeds"
VERSIONS = ("first", "second")
NAMED = re.compile(r"`([a-z-]+/[a-z'-]+)`")
END = re.compile(r"(?<=[.!?])[*_]*\s*(?=[*_]*[A-Z])")
SHORT = re.compile(r"\b(i\.?e|e\.g|al|etc)\.")

Place = tuple[int, int]


def table(width: int) -> list[list[str]]:
    """The rows of the page's tables with so many columns, without their headings."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    kept = [row for row in rows if len(row) == width and set(row[0]) != {"-"}]
    return [row for row in kept if "version" not in row[0]]


def place(text: str) -> Place:
    line, sentence = text.split(".")
    return int(line), int(sentence)


def told(version: str) -> list[Place]:
    """The sentences that the table has a row for."""
    cells = [row[VERSIONS.index(version)] for row in table(4)]
    return [place(text) for cell in cells if cell for text in cell.split(", ")]


def passed_over(version: str) -> list[tuple[Place, Place]]:
    """The ranges of sentences that claim nothing."""
    ranges = [row[1].split(" to ") for row in table(3) if row[0] == version]
    return [(place(ends[0]), place(ends[-1])) for ends in ranges]


@cache
def essay(version: str) -> dict[Place, str]:
    """Every sentence by line and place."""
    files = sorted(SEEDS.glob("*.txt"))
    if len(files) < len(VERSIONS):
        pytest.skip("the essay does not lie beside this checkout")
    text = files[VERSIONS.index(version)].read_text("utf-8")
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        whole = SHORT.sub(lambda short: short.group(0).replace(".", "·"), line)
        sentences = [each for each in END.split(whole) if each.strip()]
        found |= {(number, index): each for index, each in enumerate(sentences, 1)}
    return found


@cache
def catalogued() -> dict[str, str]:
    """Every claim of every inquiry, and whose it is."""
    inquiries = [load(entry.name) for entry in CATALOGUE]
    return {f"{each.name}/{claim.name}": claim.side for each in inquiries for claim in each.claims}


def test_every_claim_that_is_named_exists():
    named = {name for row in table(4) for name in NAMED.findall(row[3])}
    assert named - set(catalogued()) == set()
    assert len(named) > 80


def test_every_claim_of_the_essay_is_named_in_the_table():
    named = {name for row in table(4) for name in NAMED.findall(row[3])}
    assert {name for name, side in catalogued().items() if side == "essay"} - named == set()


def test_every_row_has_claims_or_a_reason():
    for row in table(4):
        assert row[0] or row[1], row
        assert row[2], row
        assert NAMED.findall(row[3]) or row[3].startswith("no claim: "), row


@pytest.mark.parametrize("version", VERSIONS)
def test_no_sentence_is_missing_and_none_made_up(version):
    sentences = essay(version)
    rows, ranges = told(version), passed_over(version)
    in_ranges = {each for each in sentences for low, high in ranges if low <= each <= high}
    missing = set(sentences) - set(rows) - in_ranges
    assert {each: sentences[each] for each in sorted(missing)} == {}
    assert set(rows) - set(sentences) == set()
    assert set(rows) & in_ranges == set()
    assert all(end in sentences for ends in ranges for end in ends)


def test_a_line_of_several_sentences_counts_each():
    assert len([each for each in essay("first") if each[0] == 47]) == 5
