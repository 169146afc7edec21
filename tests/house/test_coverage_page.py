"""The table of families x probes is complete, and docs/coverage.md holds it.

Source of truth: the marks of the tests themselves, the catalogue of site probes and the verbs.
"""

import pytest
from tests.coverage import ATTENTION, FAMILIES, PAGE, PROBES, REASONS, Table, from_marks, page


def test_every_probe_has_a_row() -> None:
    from skipnorm.probes import CATALOGUE
    from skipnorm.studies import verbs

    assert set(PROBES) == {*verbs.__all__, *(probe.name for probe in CATALOGUE)}


def test_every_cell_is_checked_or_says_why_not() -> None:
    cells = from_marks().cells
    for probe in PROBES:
        for family in FAMILIES:
            assert ((probe, family) in cells) != ((probe, family) in REASONS), (probe, family)


@pytest.mark.parametrize("probe", PROBES)
def test_every_probe_is_checked_on_six_families_and_on_attention(probe: str) -> None:
    families = {family for name, family in from_marks().cells if name == probe}
    assert len(families) >= 6
    assert len(families & set(ATTENTION)) >= 3


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.coverage"


def test_a_failure_shows() -> None:
    table = Table()
    table.note("paths", "ViT", "an edited network", passed=False)
    (row,) = (line for line in table.text() if line.startswith("paths"))
    assert "FAIL" in row
