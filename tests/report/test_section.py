"""A section whose words point nowhere is refused."""

import plotly.graph_objects as go
import pytest
import xarray as xr

from skipnorm.errors import ClaimError, EvidenceError
from skipnorm.report import Section
from skipnorm.verdicts import AtLeast, Claim, judge


def test_words_need_a_figure_and_claims_need_theirs() -> None:
    figures = {"growth": go.Figure()}
    with pytest.raises(EvidenceError, match=r"caption without a figure.*Did you mean 'growth'"):
        Section("s", "q", "m", "c", figures=figures, captions={"grwth": "x"})
    with pytest.raises(EvidenceError, match="alternative text without a figure"):
        Section("s", "q", "m", "c", figures=figures, alts={"loss": "x"})
    claim = Claim("c", "s", "b", "paper", lambda e: e["x"], AtLeast(0.0), figure="growt")
    evidence = xr.Dataset({"x": ("seed", [1.0] * 5)})
    verdict = judge(claim, evidence)
    plain = Claim("c", "s", "b", "paper", lambda e: e["x"], AtLeast(0.0))
    with pytest.raises(ClaimError, match=r"points to a figure.*Did you mean 'growth'"):
        Section("s", "q", "m", "c", [verdict], figures)
    with pytest.raises(
        ClaimError, match=r"headline of section 's' is no claim of it: expected one of 'c'"
    ):
        Section("s", "q", "m", "c", [judge(plain, evidence)], headline="d")
