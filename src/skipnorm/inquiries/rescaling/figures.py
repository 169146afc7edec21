"""The matrix of mechanisms and techniques, and the numbers behind its rows. Every figure with its caption."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import matrix, strip
from skipnorm.figures.layout import blank
from skipnorm.figures.palette import INK, SERIES
from skipnorm.inquiries.effects import cases
from skipnorm.inquiries.rescaling.census import COUNTS
from skipnorm.inquiries.rescaling.effects import (
    MECHANISMS,
    after,
    gains,
    losses,
    moved,
    over_the_grid,
    read,
    share_with,
)
from skipnorm.inquiries.rescaling.techniques import KINDS, TECHNIQUES
from skipnorm.verdicts import AtLeast, AtMost, Claim, Equivalent, judge

__all__ = ["CAPTIONS", "FIGURES", "cells"]

_SAYS = {"better": AtLeast, "worse": AtMost, "same": Equivalent}


def cells(evidence: xr.Dataset, kind: str) -> xr.Dataset:
    """Every mechanism with every technique: better, the same, worse or open, by the rules of claims.

    `better` is a supported claim of a gain of at least the margin, `worse` of at most its negative, `same` of
    equivalence within it; intervals are Holm-adjusted over the techniques of a row.
    """
    techniques = [each for each in TECHNIQUES[kind] if each != "none"]
    rows = [_row(evidence, kind, name, techniques) for name in MECHANISMS]
    return xr.concat(rows, "case").assign_coords(
        case=[mechanism.words for mechanism in MECHANISMS.values()],
        unit=("case", [mechanism.unit for mechanism in MECHANISMS.values()]),
    )


def _row(evidence: xr.Dataset, kind: str, name: str, techniques: list[str]) -> xr.Dataset:
    effect = gains(evidence, kind, name, techniques)
    margin = MECHANISMS[name].margin
    found = xr.Dataset()
    words = np.full(len(techniques), "open", dtype="<U6")
    for word, prediction in _SAYS.items():
        value = -margin if word == "worse" else margin
        claim = Claim(name, name, "derived", "derived", lambda _: effect, prediction(value))
        rows = judge(claim, evidence).to_dataset().sel(case=techniques)
        words[rows["ruling"].values == "supported"] = word
        if word == "better":
            found = rows[["effect", "low", "high"]]
    return found.assign(ruling=("case", words)).rename(case="variant")


def _matrix(evidence: xr.Dataset, kind: str) -> go.Figure:
    title = f"technique, in a {kind} network"
    return matrix(cells(evidence, kind), x_title=title, y_title="mechanism, against none")


def _every(
    value: Callable[[xr.Dataset, str, str], xr.DataArray], evidence: xr.Dataset
) -> xr.DataArray:
    """A value of every technique in every kind of network, as `batch, plain` and so on."""
    return cases(
        {
            f"{technique}, {kind}": value(evidence, kind, technique)
            for kind in KINDS
            for technique in TECHNIQUES[kind]
        }
    )


def _strip(
    evidence: xr.Dataset,
    value: Callable[[xr.Dataset, str, str], xr.DataArray],
    title: str,
    *,
    log_y: bool = False,
) -> go.Figure:
    values = _every(value, evidence)
    figure = strip(values, "case", log_y=log_y, x_title="technique", y_title=title)
    return figure.update_xaxes(tickangle=-90)


def _read(quantity: str) -> Callable[[xr.Dataset, str, str], xr.DataArray]:
    return lambda evidence, kind, technique: read(evidence, kind, technique, quantity)


def _after(quantity: str) -> Callable[[xr.Dataset, str, str], xr.DataArray]:
    return lambda evidence, kind, technique: after(evidence, kind, technique, quantity)


def census(evidence: xr.Dataset) -> go.Figure:
    """In how many families each kind of site is found."""
    groups = {
        "any norm": ("norms",),
        **{f"{name} norm": (name,) for name in ("layer", "batch", "RMS", "group", "other")},
        "any skip": ("identity", "projection", "concat"),
        "identity skip": ("identity",),
        "projected skip": ("projection",),
        "concatenation": ("concat",),
    }
    lowered = {words: [name.lower() for name in names] for words, names in groups.items()}
    assert set().union(*lowered.values()) <= set(COUNTS)
    shares = {words: share_with(evidence, *names) for words, names in lowered.items()}
    figure = blank("families that have it", "kind of site", height=420)
    totals = [int(share.sum()) for share in shares.values()]
    figure.add_bar(
        x=totals,
        y=list(shares),
        orientation="h",
        marker={"color": str(SERIES[0])},
        text=[f"{n} of {share.size}" for n, share in zip(totals, shares.values(), strict=True)],
        textfont={"color": str(INK), "size": 12},
        textposition="outside",
        cliponaxis=False,
        name="families",
        showlegend=False,
        hovertemplate="%{y}: %{x}<extra></extra>",
    )
    size = next(iter(shares.values())).size
    figure.update_xaxes(range=[0, size * 1.2])
    figure.update_yaxes(categoryorder="array", categoryarray=list(shares)[::-1], showgrid=False)
    return figure


FIGURES: Mapping[str, Callable[[xr.Dataset], go.Figure]] = {
    "plain": partial(_matrix, kind="plain"),
    "residual": partial(_matrix, kind="residual"),
    "census": census,
    "losses": partial(_strip, value=losses, title="test loss (nats)", log_y=True),
    "rates": partial(_strip, value=over_the_grid, title="test loss over all rates (nats)"),
    "gradients": partial(_strip, value=_read("gradient_drift"), title="gradient's drift (decades)"),
    "ranges": partial(
        _strip, value=_after("loss_range"), title="loss range along the gradient (nats)", log_y=True
    ),
    "sharpness": partial(
        _strip, value=_read("top_eigenvalue"), title="top Hessian eigenvalue", log_y=True
    ),
    "apart": partial(
        _strip, value=_read("sample_correlation"), title="mean cosine between two samples"
    ),
    "shifts": partial(_strip, value=moved, title="movement of inputs (spreads)", log_y=True),
}

CAPTIONS: Mapping[str, str] = {
    "plain": "What each technique changes in a plain network of eight layers: better (+), no difference that matters "
    "(=), worse (−) or open (?), against the same network without. The first six rows at initialisation, the others "
    "when training ends, at the best rate.",
    "residual": "The same with skips. SkipInit is one learned number per branch, from 1/√8; weights are standardised "
    "weights with branches scaled alike. Gradients agree most in the network without, which explodes: agreement alone "
    "is no benefit.",
    "census": "How many families of architectures have each kind of site, in one forward pass of a small "
    "configuration, as skipnorm.anatomy counts them.",
    "losses": "Test loss after training, each seed at the rate that its validation loss chooses.",
    "rates": "Test loss averaged over the grid of learning rates, each counted at most as a guess: low where a network "
    "learns whatever the rate.",
    "gradients": "By how many decades the gradient's mean square changes from the last block to the first, at "
    "initialisation.",
    "ranges": "How far the loss goes up and down after steps of 0.05 to 0.4 times the gradient, when training ends.",
    "sharpness": "Largest eigenvalue of the Hessian on one batch, at initialisation; statistics of the batch active.",
    "apart": "How alike the samples of a batch are behind eight blocks, at initialisation: 1 is all the same.",
    "shifts": "How far the means of the last block's inputs have moved when training ends, in units of their spread at "
    "the start.",
}
