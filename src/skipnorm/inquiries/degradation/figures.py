"""Every picture of the inquiry with its caption."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import profile, strip
from skipnorm.formulas.explosion import relu_batchnorm_explosion_rate
from skipnorm.inquiries.degradation.effects import (
    ended,
    gradient_sizes,
    handed,
    identity_error,
    known,
)
from skipnorm.inquiries.degradation.study import DEEP, SHALLOW
from skipnorm.inquiries.effects import best, fitted, line

__all__ = ["CAPTIONS", "FIGURES"]

_BATCH = 128
"""Samples that the gradient is read of."""


def depth(evidence: xr.Dataset) -> go.Figure:
    """Training and test loss against depth, side by side."""
    measured = {}
    for family in ("plain", "plain BN", "residual BN"):
        for part in ("training", "test"):
            depths = known(evidence, family)
            found = [ended(evidence, family, each, f"{part}_loss") for each in depths]
            label = f"{family}, {part}"
            measured[label] = xr.concat(found, "layer").assign_coords(layer=depths)
    return profile(
        measured,
        "layer",
        log_x=True,
        log_y=True,
        x_title="blocks",
        y_title="loss at the best learning rate",
    )


def families(evidence: xr.Dataset) -> go.Figure:
    """The training loss of every family at 32 blocks."""
    names = {
        "plain": "plain",
        "BN": "plain BN",
        "LN": "plain LN",
        "residual": "residual",
        "residual<br>BN": "residual BN",
        "SkipInit": "SkipInit",
        "ReZero": "ReZero",
        "Fixup": "Fixup",
        "looks<br>linear": "looks linear",
    }
    rows = {label: ended(evidence, family, DEEP) for label, family in names.items()}
    return strip(
        _beside(rows),
        log_y=True,
        x_title="32 blocks",
        y_title="training loss at the rate at which it is lowest",
    )


def gradients(evidence: xr.Dataset) -> go.Figure:
    """The gradient block by block at initialisation, over that behind the last block."""
    measured = {}
    for family in ("plain", "plain BN", "residual BN"):
        sizes = gradient_sizes(evidence, family).sel(step=0, drop=True).isel(rate=0, drop=True)
        measured[family] = sizes / sizes.sel(block=DEEP, drop=True)
    rate = relu_batchnorm_explosion_rate(_BATCH)
    blocks = measured["plain BN"]["block"].values
    law = line(blocks, lambda block: rate ** ((DEEP - block) / 2), "block")
    return profile(
        measured,
        "block",
        theory={"plain BN": law},
        log_y=True,
        x_title="block",
        y_title="size of the gradient, that behind the last block is 1",
    )


def handed_over(evidence: xr.Dataset) -> go.Figure:
    """What becomes of plain networks whose extra blocks are handed the identity, or are not."""
    rows = {
        "4 blocks,<br>as handed": handed(evidence),
        "+ 28<br>identities": fitted(evidence, "identity, trained on"),
        "+ 28<br>random": fitted(evidence, "random, trained on"),
        "4 blocks": ended(evidence, "plain", SHALLOW),
        "32, 28 of<br>them identities": fitted(evidence, "identity, from scratch"),
        "32": ended(evidence, "plain", DEEP),
    }
    return strip(
        _beside(rows), log_y=True, x_title="plain networks", y_title="training loss at the end"
    )


def learned(evidence: xr.Dataset) -> go.Figure:
    """How well learners of the identity have learned it."""
    names = {
        "plain<br>layer": "plain layer",
        "plain<br>block": "plain block",
        "residual<br>layer": "residual layer",
        "residual<br>block": "residual block",
    }
    rows = {label: identity_error(evidence, learner) for label, learner in names.items()}
    rows["plain layer,<br>both signs"] = best(evidence, "plain layer learns, signed")
    return strip(
        _beside(rows), log_y=True, x_title="learner", y_title="error, as a share of the signal"
    )


def _beside(rows: Mapping[str, xr.DataArray]) -> xr.DataArray:
    found = [row.assign_coords(variant=name) for name, row in rows.items()]
    return xr.concat(found, "variant", coords="different", compat="equals", join="outer")


FIGURES: Mapping[str, Callable[[xr.Dataset], go.Figure]] = {
    "depth": depth,
    "families": families,
    "handed": handed_over,
    "learned": learned,
    "gradients": gradients,
}

CAPTIONS: Mapping[str, str] = {
    "depth": "Training loss (at the learning rate at which it is lowest) and test loss (at the rate chosen on "
    "validation data) against depth, side by side. Where depth "
    "harms, it harms training already: that is what He et al. 2015 call degradation.",
    "families": "The training loss of networks of 32 blocks, every seed a dot, a cross where every learning rate "
    "diverged. Only plain BN, plain LN and residual BN have a norm; plain networks and looks-linear ones have no skip.",
    "handed": "Plain networks of 32 blocks whose 28 extra ones begin as the identity, or at random. On the left they "
    "are put behind 4 blocks that were trained before; on the right all blocks are trained from the start.",
    "learned": "Asked to hand on what they are given: one layer, or a block of two. Plain layers end with ReLUs; of a "
    "signal with both signs they cannot keep more than half.",
    "gradients": "The loss gradient behind every block of 32 at initialisation, from the last block (right) to the "
    "first. Dashed: the law for batch norm, a factor of 1.21 a block.",
}
