"""A verdict turns into plain rows and into a dataset without losing a number."""

import xarray as xr

from skipnorm.verdicts import AtLeast, Claim, Near, judge, table

EVIDENCE = xr.Dataset(
    {"gain": (("case", "seed"), [[2.0, 2.1, 2.2, 2.1, 2.0], [5.0, 5.1, 5.2, 5.1, 5.0]])},
    {"case": ["B = 8", "B = 32"], "seed": range(5)},
)
CLAIM = Claim(
    "rate", "It grows.", "Yang 2019", "paper", lambda e: e["gain"], AtLeast(1.0), unit="x"
)


def test_the_table_has_one_plain_row_for_every_verdict() -> None:
    rows = table([judge(CLAIM, EVIDENCE)] * 2)
    assert len(rows) == 2
    row = rows[0]
    assert (row["claim"], row["ruling"], row["unit"], row["seeds"]) == ("rate", "supported", "x", 5)
    assert row["predicted"] == "at least 1"
    assert row["low"] < row["effect"] < row["high"]
    assert all(isinstance(value, str | float | int) for value in row.values())


def test_the_cases_become_a_dataset() -> None:
    cases = judge(CLAIM, EVIDENCE).to_dataset()
    assert cases["case"].values.tolist() == ["B = 8", "B = 32"]
    assert cases["effect"].values.round(2).tolist() == [2.08, 5.08]
    assert cases.attrs["unit"] == "x"


def test_a_claim_with_one_case_is_named_after_itself() -> None:
    single = Claim("only", "s", "b", "derived", lambda e: e["gain"].isel(case=0), Near(2.0, 1.0))
    verdict = judge(single, EVIDENCE)
    assert verdict.case == ""
    assert verdict.to_dataset()["case"].values.tolist() == ["only"]
