"""What is claimed of minima: how sharp they are, what makes them so, and whether it matters."""

from __future__ import annotations

import xarray as xr

from skipnorm.inquiries.effects import cases
from skipnorm.inquiries.rates.effects import correlation, edge, end_loss
from skipnorm.inquiries.rates.study import DESCENT_RATES
from skipnorm.verdicts import AtLeast, AtMost, Claim, Equivalent, Near

__all__ = ["CLAIMS"]

_ESSAY = "The essay, Smoother Loss Landscape"
_COHEN = "Cohen et al. 2021"
_FLAT, _GAP = "Flat minima", "Sharpness and generalisation"
_ONE = ("Full-batch descent of one small tanh network on 500 digits, mean squared error.",)
_RANKS = (
    "Over the runs of a seed, four families at five rates, whose training loss ended below 0.2.",
)


def on_the_edge(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """The final sharpness times half the rate, by rate."""
    return cases(
        {f"rate {rate:g}": edge(evidence, variant, rate) * rate / 2 for rate in DESCENT_RATES}
    )


def edge_without(evidence: xr.Dataset) -> xr.DataArray:
    """Without BN."""
    return on_the_edge(evidence, "descent")


def edge_with(evidence: xr.Dataset) -> xr.DataArray:
    """With BN."""
    return on_the_edge(evidence, "descent BN")


def flatter_with(evidence: xr.Dataset) -> xr.DataArray:
    """The final sharpness with BN over without, at equal rates."""
    return cases(
        {
            f"rate {rate:g}": edge(evidence, "descent BN", rate) / edge(evidence, "descent", rate)
            for rate in DESCENT_RATES
        }
    )


def flatter_by_rate(evidence: xr.Dataset) -> xr.DataArray:
    """The final sharpness at the larger rate over that at half of it, without and with BN."""
    small, large = DESCENT_RATES
    return cases(
        {
            name: edge(evidence, name, large) / edge(evidence, name, small)
            for name in ("descent", "descent BN")
        }
    )


def better_flat(evidence: xr.Dataset) -> xr.DataArray:
    """Test loss at the flatter end (the larger rate) over that at the sharper one."""
    small, large = DESCENT_RATES
    return cases(
        {
            name: end_loss(evidence, name, large, "test_loss")
            / end_loss(evidence, name, small, "test_loss")
            for name in ("descent", "descent BN")
        }
    )


def raw(evidence: xr.Dataset) -> xr.DataArray:
    """Rank correlation of the raw eigenvalue with the gap."""
    return correlation(evidence, "sharpness")


def relative(evidence: xr.Dataset) -> xr.DataArray:
    """Rank correlation of two scale-invariant kinds of sharpness with the gap."""
    names = {"eigenvalue times squared weight norm": "relative_sharpness"}
    names["filter-normalised"] = "filter_sharpness"
    return cases({case: correlation(evidence, name) for case, name in names.items()})


CLAIMS = (
    Claim(
        "bn-avoids-sharp-minima",
        "Batch norm avoids sharp minima: at equal rates the end point of descent is half as sharp, or less.",
        _ESSAY,
        "essay",
        flatter_with,
        AtMost(0.5),
        "log",
        "descent",
        caveats=_ONE,
        topic=_FLAT,
    ),
    Claim(
        "bn-is-as-sharp",
        "At equal rates batch norm gives no flatter end point: as sharp within a tenth.",
        f"derived from {_COHEN}",
        "counter",
        flatter_with,
        Equivalent(factor=1.1),
        "log",
        "descent",
        caveats=_ONE,
        topic=_FLAT,
    ),
    Claim(
        "edge-of-stability",
        "Full-batch descent ends at the edge of stability: the largest eigenvalue is 2 over the rate, within 5 %.",
        _COHEN,
        "paper",
        edge_without,
        Near(1.0, 0.05),
        figure="descent",
        caveats=_ONE,
        topic=_FLAT,
    ),
    Claim(
        "edge-with-bn",
        "So it does with batch norm: 2 over the rate, within 5 %.",
        f"{_COHEN}, appendix",
        "paper",
        edge_with,
        Near(1.0, 0.05),
        figure="descent",
        caveats=_ONE,
        topic=_FLAT,
    ),
    Claim(
        "the-rate-makes-it-flat",
        "It is the rate that makes minima flat: twice the rate, half the sharpness, within a tenth.",
        _COHEN,
        "paper",
        flatter_by_rate,
        Near(0.5, 0.1, relative=True),
        "log",
        "descent",
        caveats=_ONE,
        topic=_FLAT,
    ),
    Claim(
        "flat-ends-generalise",
        "The flatter end generalises better: test loss at the larger rate is lower, by a twentieth or more.",
        f"{_ESSAY}: sharp minima may generalise poorly",
        "essay",
        better_flat,
        AtMost(0.95),
        "log",
        "descent_loss",
        caveats=(
            *_ONE,
            "After equally many updates the larger rate has also gone farther: what is lower need not be for flatness.",
        ),
        topic=_GAP,
    ),
    Claim(
        "sharpness-tells-the-gap",
        "Sharp minima generalise poorly: the raw largest eigenvalue and the gap from training to test loss rise "
        "together, with a rank correlation of 0.3 or more.",
        f"{_ESSAY}; Keskar et al. 2017",
        "essay",
        raw,
        AtLeast(0.3),
        figure="gap",
        caveats=_RANKS,
        topic=_GAP,
    ),
    Claim(
        "raw-sharpness-tells-nothing",
        "Raw sharpness depends on scale and tells nothing of the gap: a rank correlation within 0.3 of none.",
        "Dinh et al. 2017; Li et al. 2018, section 4",
        "counter",
        raw,
        Equivalent(0.3),
        figure="gap",
        caveats=_RANKS,
        topic=_GAP,
    ),
    Claim(
        "relative-sharpness-tells-the-gap",
        "Sharpness that does not depend on scale tells the gap: a rank correlation of 0.3 or more.",
        "Li et al. 2018, section 4: sharpness correlates with the error once filters are normalised",
        "paper",
        relative,
        AtLeast(0.3),
        figure="gap_relative",
        caveats=_RANKS,
        topic=_GAP,
    ),
)
