"""What is claimed of steps along the gradient; and all claims of the inquiry, topic by topic."""

from __future__ import annotations

import xarray as xr

from skipnorm.inquiries.landscape import hessian, surface
from skipnorm.inquiries.landscape.effects import PAIR, ratio
from skipnorm.verdicts import AtLeast, Claim

__all__ = ["CLAIMS"]

_ESSAY = "The essay, Smoother Loss Landscape"
_SANTURKAR = "Santurkar et al. 2018, figure 4"
_GRADIENT = "Along the gradient"
_FITTED = (
    "Steps are multiples of the gradient: networks that learn faster have a smaller one, and look smoother for that "
    "alone."
)


def range_bn(evidence: xr.Dataset) -> xr.DataArray:
    """The range of the loss along the gradient, without BN over with."""
    return ratio(evidence, "loss_range", *PAIR)


def predictiveness_bn(evidence: xr.Dataset) -> xr.DataArray:
    """The largest change of the gradient along itself, without BN over with."""
    return ratio(evidence, "gradient_predictiveness", *PAIR)


def beta_bn(evidence: xr.Dataset) -> xr.DataArray:
    """The largest change of the gradient per distance, without BN over with."""
    return ratio(evidence, "effective_smoothness", *PAIR)


def range_ln(evidence: xr.Dataset) -> xr.DataArray:
    """The range of the loss along the gradient, without norm over with layer norm."""
    return ratio(evidence, "loss_range", "deep plain", "deep plain LN")


def range_skip(evidence: xr.Dataset) -> xr.DataArray:
    """The range of the loss along the gradient without norm: without skips over with."""
    return ratio(evidence, "loss_range", "deep plain", "deep SkipInit")


CLAIMS = (
    Claim(
        "bn-smooths-the-step",
        "Batch norm makes the landscape smoother: over steps along the gradient the loss of a deep plain network "
        "varies at least 1.5 times as much without it.",
        _ESSAY,
        "essay",
        range_bn,
        AtLeast(1.5),
        "log",
        "gradient",
        caveats=(_FITTED,),
        topic=_GRADIENT,
    ),
    Claim(
        "loss-range",
        "With batch norm the loss range along the gradient is smaller by a factor of 3 or more.",
        f"{_SANTURKAR}a",
        "paper",
        range_bn,
        AtLeast(3.0),
        "log",
        "gradient",
        caveats=(_FITTED,),
        topic=_GRADIENT,
    ),
    Claim(
        "predictiveness",
        "With batch norm the gradient changes along itself by a factor of 2 less, or more.",
        f"{_SANTURKAR}b",
        "paper",
        predictiveness_bn,
        AtLeast(2.0),
        "log",
        "predictiveness",
        caveats=(_FITTED,),
        topic=_GRADIENT,
    ),
    Claim(
        "effective-beta",
        "With batch norm the effective beta-smoothness along the gradient is smaller, by a fifth or more.",
        f"{_SANTURKAR}c",
        "paper",
        beta_bn,
        AtLeast(1.25),
        "log",
        "beta",
        topic=_GRADIENT,
    ),
    Claim(
        "other-norms-smooth-too",
        "It is not for the batch: layer norm, too, lowers the loss range along the gradient, 1.5 times or more.",
        "Santurkar et al. 2018, section 3.3: L_p normalisations smooth as well",
        "counter",
        range_ln,
        AtLeast(1.5),
        "log",
        "gradient",
        caveats=(_FITTED,),
        topic=_GRADIENT,
    ),
    Claim(
        "skips-smooth-the-step",
        "Skips do so without any norm: over steps along the gradient the loss of a deep network without them varies "
        "at least 1.5 times as much.",
        "Li et al. 2018, section 5, said of the surface",
        "paper",
        range_skip,
        AtLeast(1.5),
        "log",
        "gradient",
        caveats=(
            "With branches scaled by 1/sqrt(depth); unscaled ones diverge without norm.",
            _FITTED,
        ),
        topic=_GRADIENT,
    ),
    *hessian.CLAIMS,
    *surface.CLAIMS,
)
