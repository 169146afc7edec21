"""What is claimed of rates, speed and sharp minima: by the essay, its sources, and those that disagree."""

from __future__ import annotations

import numpy as np
import xarray as xr

from skipnorm.inquiries.effects import best, cases
from skipnorm.inquiries.rates import minima
from skipnorm.inquiries.rates.effects import (
    best_rate,
    end_loss,
    over,
    stable,
    steps_at,
    steps_at_best,
    usable,
)
from skipnorm.verdicts import AtLeast, AtMost, Claim, Equivalent

__all__ = ["CLAIMS", "SMALL_RATE"]

SMALL_RATE = 0.01
"""At which all families learn."""

_ESSAY = "The essay, Smoother Loss Landscape"
_LARGER, _FASTER, _SAME = "Larger rates", "Faster convergence", "At the same small rate"
_STEPS = (
    "The grid goes by factors of 3 and 3.3: three times as large is one step of it, less than that is none.",
)
_EDGE = (
    "Where nothing diverged up to the largest rate of the grid, the limit lies above it: a lower bound.",
    *_STEPS,
)


def stable_bn(evidence: xr.Dataset) -> xr.DataArray:
    """The largest stable rate with BN over without."""
    return over(stable(evidence, "plain BN"), stable(evidence, "plain"))


def stable_skip(evidence: xr.Dataset) -> xr.DataArray:
    """The largest stable rate with scaled skips over without, no norm."""
    return over(stable(evidence, "SkipInit"), stable(evidence, "plain"))


def best_bn(evidence: xr.Dataset) -> xr.DataArray:
    """The best rate with BN over that without."""
    return over(best_rate(evidence, "plain BN"), best_rate(evidence, "plain"))


def width_bn(evidence: xr.Dataset) -> xr.DataArray:
    """Decades of usable rates with BN, less those without."""
    return usable(evidence, "plain BN") - usable(evidence, "plain")


def width_skip(evidence: xr.Dataset) -> xr.DataArray:
    """Decades of usable rates with scaled skips, less those without, no norm."""
    return usable(evidence, "SkipInit") - usable(evidence, "plain")


def speed_bn(evidence: xr.Dataset) -> xr.DataArray:
    """Updates to a loss of 0.5 without BN over with, each at its best rate."""
    return steps_at_best(evidence, "plain") / steps_at_best(evidence, "plain BN")


def speed_skip(evidence: xr.Dataset) -> xr.DataArray:
    """Updates to a loss of 0.5 without skips over with, each at its best rate."""
    pairs = {"without norm": ("plain", "SkipInit"), "with BN": ("plain BN", "residual BN")}
    return cases(
        {
            case: steps_at_best(evidence, one) / steps_at_best(evidence, other)
            for case, (one, other) in pairs.items()
        }
    )


def speed_small(evidence: xr.Dataset) -> xr.DataArray:
    """Updates to a loss of 0.5 at one small rate, without BN over with."""
    one, other = (steps_at(evidence, name, SMALL_RATE) for name in ("plain", "plain BN"))
    return one / other


def speed_norm_or_skip(evidence: xr.Dataset) -> xr.DataArray:
    """Updates to a loss of 0.5 with BN and no skips over those with skips and no norm."""
    return steps_at_best(evidence, "plain BN") / steps_at_best(evidence, "SkipInit")


def accuracy_small(evidence: xr.Dataset) -> xr.DataArray:
    """Test accuracy at one small rate, with BN less without."""
    one, other = (
        end_loss(evidence, name, SMALL_RATE, "test_accuracy") for name in ("plain BN", "plain")
    )
    return one - other


def gain_of_rate(evidence: xr.Dataset) -> xr.DataArray:
    """The BN network's test loss at the small rate over that at its best rate."""
    small = end_loss(evidence, "plain BN", SMALL_RATE, "test_loss")
    return small / best(evidence, "plain BN")


def better_bn(evidence: xr.Dataset) -> xr.DataArray:
    """Test loss without BN over with, each at its best rate."""
    return xr.DataArray(np.divide(best(evidence, "plain"), best(evidence, "plain BN")))


CLAIMS = (
    Claim(
        "bn-allows-larger-rates",
        "Batch norm allows larger learning rates: the largest at which a plain network of 16 blocks does not diverge "
        "is 3 times as large, or more.",
        _ESSAY,
        "essay",
        stable_bn,
        AtLeast(3.0),
        "log",
        "stable",
        caveats=_EDGE,
        topic=_LARGER,
    ),
    Claim(
        "bn-wants-larger-rates",
        "Batch norm makes use of them: its best rate is 3 times as large, or more.",
        "Bjorck et al. 2018",
        "paper",
        best_bn,
        AtLeast(3.0),
        "log",
        "grid",
        caveats=_STEPS,
        topic=_LARGER,
    ),
    Claim(
        "bn-widens-the-interval",
        "With batch norm the interval of usable rates is wider, by half a decade or more.",
        f"{_ESSAY}; Ioffe & Szegedy 2015, section 3.3",
        "essay",
        width_bn,
        AtLeast(0.5),
        figure="usable",
        unit="decades",
        caveats=("Usable: a validation loss of 0.5 or less at the end.",),
        topic=_LARGER,
    ),
    Claim(
        "skips-widen-the-interval",
        "It takes no norm: skips with scaled branches widen the interval of usable rates by half a decade or more.",
        "De & Smith 2020, said of SkipInit",
        "counter",
        width_skip,
        AtLeast(0.5),
        figure="usable",
        unit="decades",
        topic=_LARGER,
    ),
    Claim(
        "skips-leave-the-limit",
        "Skips alone hardly raise the largest stable rate: less than threefold.",
        "Bjorck et al. 2018, who lay it to the norm",
        "counter",
        stable_skip,
        AtMost(3.0),
        "log",
        "stable",
        caveats=(*_EDGE, "As a lower bound it can refute this claim, and not support it."),
        topic=_LARGER,
    ),
    Claim(
        "bn-is-faster",
        "Larger rates accelerate convergence: with batch norm a loss of 0.5 is reached in two thirds of the updates or "
        "fewer, each network at its own best rate.",
        _ESSAY,
        "essay",
        speed_bn,
        AtLeast(1.5),
        "log",
        "speed",
        topic=_FASTER,
    ),
    Claim(
        "bn-is-far-faster",
        "With batch norm a loss is reached in a fifth of the updates or fewer, each network at its own best rate.",
        "Ioffe & Szegedy 2015: 2.1 million updates for 31 million",
        "paper",
        speed_bn,
        AtLeast(5.0),
        "log",
        "speed",
        topic=_FASTER,
    ),
    Claim(
        "skips-are-faster",
        "Skips accelerate convergence, with batch norm and without: two thirds of the updates or fewer.",
        "He et al. 2015, section 4.1: ResNet-18 converges faster",
        "paper",
        speed_skip,
        AtLeast(1.5),
        "log",
        "speed",
        topic=_FASTER,
    ),
    Claim(
        "skips-beat-the-norm",
        "Skips without norm reach a loss of 0.5 sooner than batch norm without skips: two thirds of the updates or "
        "fewer.",
        "De & Smith 2020: what the norm does in residual networks is to scale the branch",
        "counter",
        speed_norm_or_skip,
        AtLeast(1.5),
        "log",
        "speed",
        topic=_FASTER,
    ),
    Claim(
        "same-accuracy-at-small-rates",
        "At one small rate the accuracy on test data is the same with and without batch norm, within 3 in 100.",
        "Bjorck et al. 2018",
        "paper",
        accuracy_small,
        Equivalent(0.03),
        figure="accuracy",
        topic=_SAME,
    ),
    Claim(
        "not-faster-at-small-rates",
        "At one small rate batch norm is not faster: a loss of 0.5 takes as many updates or more.",
        "derived from Bjorck et al. 2018",
        "derived",
        speed_small,
        AtMost(1.0),
        "log",
        "curves",
        topic=_SAME,
    ),
    Claim(
        "rate-makes-the-gain",
        "What batch norm gains comes from the larger rate: at the small rate its test loss is 1.25 times that at its "
        "best rate, or more.",
        "Bjorck et al. 2018",
        "paper",
        gain_of_rate,
        AtLeast(1.25),
        "log",
        "grid",
        topic=_SAME,
    ),
    Claim(
        "bn-generalises-better",
        "Each at its best rate, the network with batch norm has the lower test loss: by a tenth or more.",
        "The essay: steps that accelerate convergence and avoid poor generalisation",
        "essay",
        better_bn,
        AtLeast(1.1),
        "log",
        "grid",
        topic=_SAME,
    ),
    *minima.CLAIMS,
)
