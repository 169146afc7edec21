"""Does shift matter? Norms with noise behind them, and what becomes of a shift at the output."""

from __future__ import annotations

import numpy as np
import xarray as xr

from skipnorm.inquiries.effects import cases
from skipnorm.inquiries.shift.effects import ended, over_training, read, taught, typical
from skipnorm.verdicts import AtLeast, AtMost, Claim, Identity

__all__ = ["CLAIMS"]

_SANTURKAR = "Santurkar et al. 2018, section 2.1 and figure 2"
_MATTERS = "Does shift matter to training?"
_OUTPUT = "What becomes of a shift of early layers?"
_PAGE = "Page 2019, How to train your ResNet 7"
_LARGE = 0.3
_BEST = "Loss of the last batches in training, noise included; each network at the best of three rates for it."


def noise_shift(evidence: xr.Dataset) -> xr.DataArray:
    """How far one update moves the means with noise behind batch norm, over a network without either."""
    noisy, plain = (
        over_training(evidence, f"{name}, rate 0.1", "step_mean") for name in ("noisy BN", "plain")
    )
    return noisy / plain


def noisy_over(evidence: xr.Dataset, other: str) -> xr.DataArray:
    """The training loss of batch norm with noise over that of another network, each at its best rate."""
    return taught(evidence, "noisy BN") / taught(evidence, other)


def noisy_over_normed(evidence: xr.Dataset) -> xr.DataArray:
    """What the noise costs a network with batch norm."""
    return noisy_over(evidence, "BN")


def noisy_over_plain(evidence: xr.Dataset) -> xr.DataArray:
    """Batch norm with noise against a network with neither."""
    return noisy_over(evidence, "plain")


def bare_noise(evidence: xr.Dataset) -> xr.DataArray:
    """The same noise without a norm, over that with it, each at its best rate."""
    return 1 / noisy_over(evidence, "noise, no BN")


def bare_noise_at_a_large_rate(evidence: xr.Dataset) -> xr.DataArray:
    """The same at a rate of 0.3."""
    return ended(evidence, "noise, no BN", _LARGE) / ended(evidence, "noisy BN", _LARGE)


def held_by_statistics(evidence: xr.Dataset) -> xr.DataArray:
    """Move of the mean outputs with batch statistics active over the same with them frozen, in the lower half."""
    active, frozen = (
        _lower(read(evidence, "BN, rate 0.1", name))
        for name in ("output_shift", "output_shift_frozen")
    )
    shares = active / frozen
    middle = shares.sizes["step"] // 2
    return cases(
        {
            "half-way": typical(shares.isel(step=middle, drop=True)),
            "at the end": typical(shares.isel(step=-1, drop=True)),
        }
    )


def held_by_norm(evidence: xr.Dataset) -> xr.DataArray:
    """Move of the mean outputs with batch norm over the same without, in the lower half, at the end of training."""
    normed, plain = (
        typical(_lower(read(evidence, name, "output_shift")).isel(step=-1, drop=True))
        for name in ("BN, rate 0.1", "plain, rate 0.1")
    )
    return normed / plain


def linear_mean(evidence: xr.Dataset) -> xr.DataArray:
    """The largest move of a normed linear network's mean outputs with any layer below the last."""
    found = read(evidence, "linear BN", "output_shift")
    below = found["layer"].values < found["layer"].values.max()
    return found.isel(layer=below).max(["layer", "step"])


def _lower(values: xr.DataArray) -> xr.DataArray:
    layers = values["layer"].values
    return values.isel(layer=layers <= np.median(layers))


CLAIMS = (
    Claim(
        name="noise-brings-shift",
        sentence="Noise behind batch norm makes distributions less stable than those of a network without a norm: the "
        "means move three times as far per update, or more.",
        source=_SANTURKAR,
        side="paper",
        topic=_MATTERS,
        effect=noise_shift,
        prediction=AtLeast(3.0),
        scale="log",
        figure="steps",
    ),
    Claim(
        name="shift-does-not-matter",
        sentence="Shift does not affect performance: batch norm with that noise still trains at least as well as a "
        "network without norm and noise.",
        source=f"The essay, Internal Covariate Shift; {_SANTURKAR}",
        side="essay",
        topic=_MATTERS,
        effect=noisy_over_plain,
        prediction=AtMost(1.0),
        scale="log",
        figure="noise",
        caveats=(_BEST,),
    ),
    Claim(
        name="noise-hardly-matters",
        sentence="Batch norm with noise trains almost as well as without: its training loss is at most three times as "
        "large.",
        source=_SANTURKAR,
        side="paper",
        topic=_MATTERS,
        effect=noisy_over_normed,
        prediction=AtMost(3.0),
        scale="log",
        figure="noise",
        caveats=(_BEST, "Two hundred to three hundred updates; the paper has 15 000."),
    ),
    Claim(
        name="shift-is-harmful",
        sentence="Shift slows training down: noise behind batch norm raises the training loss by a quarter or more.",
        source="Ioffe & Szegedy 2015, section 1",
        side="paper",
        topic=_MATTERS,
        effect=noisy_over_normed,
        prediction=AtLeast(1.25),
        scale="log",
        figure="noise",
        caveats=(
            _BEST,
            "Noise does more than shift: it hides the signal, so that harm need not be the shift's.",
        ),
    ),
    Claim(
        name="noise-needs-a-norm",
        sentence="The same noise without batch norm prevents training: at its best rate the loss is three times that "
        "of batch norm with noise, or more.",
        source=_SANTURKAR,
        side="paper",
        topic=_MATTERS,
        effect=bare_noise,
        prediction=AtLeast(3.0),
        scale="log",
        figure="noise",
        caveats=(_BEST,),
    ),
    Claim(
        name="noise-needs-a-norm-at-large-rates",
        sentence="At a rate of 0.3 noise is borne with batch norm only: without, the loss is three times as large or "
        "the run diverges.",
        source=f"Derived, from what is known at this size; {_SANTURKAR}",
        side="derived",
        topic=_MATTERS,
        effect=bare_noise_at_a_large_rate,
        prediction=AtLeast(3.0),
        scale="log",
        figure="noise",
    ),
    Claim(
        name="norm-holds-the-output",
        sentence="Active batch statistics keep a shift of early layers from the mean outputs: the squared move is a "
        "tenth or less of what it is at the same weights with the statistics frozen.",
        source=_PAGE,
        side="counter",
        topic=_OUTPUT,
        effect=held_by_statistics,
        prediction=AtMost(0.1),
        scale="log",
        figure="outputs",
        caveats=("To first order, for random moves of a layer's weights by their own length.",),
    ),
    Claim(
        name="norm-holds-more-than-none",
        sentence="With batch norm a shift of early layers moves the mean outputs half as much as in a network without "
        "norm, or less (squared, over the outputs' variance).",
        source=_PAGE,
        side="counter",
        topic=_OUTPUT,
        effect=held_by_norm,
        prediction=AtMost(0.5),
        scale="log",
        figure="outputs",
        caveats=("After training both at a rate of 0.1.",),
    ),
    Claim(
        name="linear-mean-is-held",
        sentence="In a linear network with batch norm no shift of any layer below the last reaches the mean outputs.",
        source="Derived: they are the last layer's image of the last norm's shifts, whatever lies below",
        side="derived",
        topic=_OUTPUT,
        effect=linear_mean,
        prediction=Identity(1e-12),
        figure="outputs",
    ),
)
