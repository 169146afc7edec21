"""The comparisons that claims are about: one effect each, by seed and case."""

from __future__ import annotations

import xarray as xr

from skipnorm.inquiries.effects import cases, numbered
from skipnorm.inquiries.rescaling.effects import MECHANISMS, after, moved, read

LISTED = ("gradient", "sided", "range", "rates", "loss")
"""The mechanisms by which the essay explains batch norm, as far as they are read here."""


def all_listed(evidence: xr.Dataset) -> xr.DataArray:
    """What batch norm changes in a plain network, by mechanism that the essay lists."""
    listed = {name: MECHANISMS[name] for name in LISTED}
    return cases({m.words: m.better(evidence, "plain", "batch", "none") for m in listed.values()})


def margins(evidence: xr.Dataset) -> xr.DataArray:
    """The smallest change that matters, by the same cases."""
    return numbered({MECHANISMS[name].words: MECHANISMS[name].margin for name in LISTED})


def explosion(evidence: xr.Dataset) -> xr.DataArray:
    """By how many decades more the gradient drifts with batch norm than with another technique."""
    better = MECHANISMS["gradient"].better
    others = ("none", "layer", "group", "RMS")
    return cases({each: better(evidence, "plain", each, "batch") for each in others})


def explosion_behind_skips(evidence: xr.Dataset) -> xr.DataArray:
    """The same against layer norm, in the residual network."""
    return MECHANISMS["gradient"].better(evidence, "residual", "layer", "batch")


def range_ratio(evidence: xr.Dataset, kind: str, technique: str) -> xr.DataArray:
    """The loss range without over that with a technique."""
    bare, rescaled = (after(evidence, kind, each, "loss_range") for each in ("none", technique))
    return bare / rescaled


def batch_range(evidence: xr.Dataset) -> xr.DataArray:
    """The loss range without batch norm over that with it, by kind of network."""
    return cases({kind: range_ratio(evidence, kind, "batch") for kind in ("plain", "residual")})


def other_ranges(evidence: xr.Dataset) -> xr.DataArray:
    """The loss range without a norm over that with another norm than batch norm, plain networks."""
    return cases({each: range_ratio(evidence, "plain", each) for each in ("layer", "group", "RMS")})


def sharpness_over_others(evidence: xr.Dataset) -> xr.DataArray:
    """The top eigenvalue with batch norm over that with another technique, plain networks."""
    with_batch = read(evidence, "plain", "batch", "top_eigenvalue")
    others = ("none", "layer", "group", "RMS")
    return cases(
        {each: with_batch / read(evidence, "plain", each, "top_eigenvalue") for each in others}
    )


def sharpness_removed(evidence: xr.Dataset) -> xr.DataArray:
    """The top eigenvalue without batch norm over that with it, by kind of network."""
    found = {
        kind: [read(evidence, kind, each, "top_eigenvalue") for each in ("none", "batch")]
        for kind in ("plain", "residual")
    }
    return cases({kind: bare / rescaled for kind, (bare, rescaled) in found.items()})


def batch_at_any_rate(evidence: xr.Dataset) -> xr.DataArray:
    """By how much batch norm lowers the loss over the grid of rates, by kind of network."""
    better = MECHANISMS["rates"].better
    return cases({kind: better(evidence, kind, "batch", "none") for kind in ("plain", "residual")})


def others_at_any_rate(evidence: xr.Dataset) -> xr.DataArray:
    """By how much another technique lowers it, by kind of network."""
    chosen = {"plain": ("layer", "group", "weights"), "residual": ("layer", "SkipInit", "weights")}
    better = MECHANISMS["rates"].better
    return cases(
        {
            f"{kind}, {each}": better(evidence, kind, each, "none")
            for kind, techniques in chosen.items()
            for each in techniques
        }
    )


def batch_apart(evidence: xr.Dataset) -> xr.DataArray:
    """How much less alike samples are with batch norm than with a technique that knows no batch."""
    better = MECHANISMS["apart"].better
    return cases(
        {each: better(evidence, "plain", "batch", each) for each in ("none", "layer", "RMS")}
    )


def batch_steadies(evidence: xr.Dataset) -> xr.DataArray:
    """How far a layer's inputs move without batch norm over how far with it, by kind of network."""
    return cases(
        {
            kind: moved(evidence, kind, "none") / moved(evidence, kind, "batch")
            for kind in ("plain", "residual")
        }
    )
