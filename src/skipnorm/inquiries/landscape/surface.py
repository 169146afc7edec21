"""What is claimed of the surface that everyone knows, and of what does and does not change it."""

from __future__ import annotations

import xarray as xr

from skipnorm.inquiries.effects import cases
from skipnorm.inquiries.landscape.effects import end, untrained
from skipnorm.verdicts import AtLeast, AtMost, Claim, Identity

__all__ = ["CLAIMS"]

_ESSAY = "The essay, Smoother Loss Landscape"
_SURFACE = "The surface"


def rugged_bn(evidence: xr.Dataset) -> xr.DataArray:
    """How much more rugged the trained plane is without BN than with."""
    return end(evidence, "deep plain", "ruggedness") - end(evidence, "deep plain BN", "ruggedness")


def rugged_skip(evidence: xr.Dataset) -> xr.DataArray:
    """How much more rugged the trained plane is without skips than with, both with BN."""
    names = ("deep plain BN", "deep residual BN")
    one, other = (end(evidence, name, "ruggedness") for name in names)
    return one - other


def rugged_shallow(evidence: xr.Dataset) -> xr.DataArray:
    """The ruggedness of trained shallow networks without skips."""
    return cases({n: end(evidence, n, "ruggedness") for n in ("shallow plain", "shallow plain BN")})


def rise_bn(evidence: xr.Dataset) -> xr.DataArray:
    """How much higher the loss is half the weight norm away, without BN over with."""
    return end(evidence, "deep plain", "rise") / end(evidence, "deep plain BN", "rise")


def rise_skip(evidence: xr.Dataset) -> xr.DataArray:
    """The same, without skips over with: with BN, and without norm."""
    pairs = {
        "with BN": ("deep plain BN", "deep residual BN"),
        "without norm": ("deep plain", "deep SkipInit"),
    }
    return cases(
        {
            case: end(evidence, one, "rise") / end(evidence, other, "rise")
            for case, (one, other) in pairs.items()
        }
    )


def same_line(evidence: xr.Dataset) -> xr.DataArray:
    """The largest relative change of a filter-normalised line when layers are rescaled."""
    return untrained(evidence, "symmetry", "filter_normalised_change")


def raw_change(evidence: xr.Dataset) -> xr.DataArray:
    """The largest eigenvalue after the same rescaling over before."""
    return untrained(evidence, "symmetry", "sharpness_change")


CLAIMS = (
    Claim(
        "bn-smooths-the-surface",
        "Batch norm makes the surface itself smoother: less rugged by two hundredths or more.",
        f"{_ESSAY}, with Li's picture",
        "essay",
        rugged_bn,
        AtLeast(0.02),
        figure="rugged",
        topic=_SURFACE,
    ),
    Claim(
        "skips-smooth-the-surface",
        "Without skips the surface of a deep network turns chaotic: more rugged by two hundredths or more, both with "
        "batch norm.",
        "Li et al. 2018, figure 5",
        "paper",
        rugged_skip,
        AtLeast(0.02),
        figure="rugged",
        topic=_SURFACE,
    ),
    Claim(
        "shallow-surfaces-are-smooth",
        "Shallow networks need no skips for a smooth surface: a ruggedness of two hundredths at most.",
        "Li et al. 2018, section 5.2",
        "paper",
        rugged_shallow,
        AtMost(0.02),
        figure="rugged",
        topic=_SURFACE,
    ),
    Claim(
        "bn-widens-the-valley",
        "Batch norm makes the valley flatter: half the weight norm away the loss rises 1.5 times as much without it.",
        f"{_ESSAY}: avoiding sharp minima",
        "essay",
        rise_bn,
        AtLeast(1.5),
        "log",
        "rise",
        topic=_SURFACE,
    ),
    Claim(
        "skips-widen-the-valley",
        "Skips make the valley flatter: half the weight norm away the loss rises 1.5 times as much without them.",
        "Li et al. 2018, section 5.3",
        "paper",
        rise_skip,
        AtLeast(1.5),
        "log",
        "rise",
        topic=_SURFACE,
    ),
    Claim(
        "same-function-same-line",
        "Filter-normalised pictures do not depend on how scale is shared between layers of ReLU.",
        "derived from Li et al. 2018, section 4",
        "derived",
        same_line,
        Identity(1e-9),
        figure="symmetry",
        topic="Rescaled layers",
    ),
    Claim(
        "raw-sharpness-is-arbitrary",
        "The raw largest eigenvalue does depend on how layers share their scale: rescaling two of them by 10 and 1/10, "
        "which leaves the function as it is, doubles it or more.",
        "Dinh et al. 2017",
        "counter",
        raw_change,
        AtLeast(2.0),
        "log",
        "symmetry",
        topic="Rescaled layers",
    ),
)
