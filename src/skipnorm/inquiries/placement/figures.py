"""The pictures of `placement`: theory dashed beside the measurement."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import profile, strip
from skipnorm.formulas import theory
from skipnorm.inquiries import effects as common
from skipnorm.inquiries.placement import effects, laws
from skipnorm.inquiries.placement.study import PLACEMENTS

__all__ = ["CAPTIONS", "FIGURES"]

WORDS = {
    "original": "original",
    "norm-after-addition": "norm after +",
    "act-before-addition": "ReLU before +",
    "act-only-preactivation": "ReLU-only pre",
    "full-preactivation": "full pre",
}


def order(evidence: xr.Dataset) -> go.Figure:
    """What the norm after the activation gains, by network."""
    found = {
        setting: effects.accuracy_lead(setting, of_after=True)(evidence).isel(case=0, drop=True)
        for setting in effects.SETTINGS
    }
    return strip(
        common.cases(found),
        by="case",
        theory=common.numbered(dict.fromkeys(found, 0.0)),
        x_title="network; dashed: no difference",
        y_title="test accuracy, norm after the activation minus before",
    )


def affine(evidence: xr.Dataset) -> go.Figure:
    """What scale and shift gain, by place."""
    return strip(
        effects.accuracy_by_affine(evidence),
        by="case",
        theory=common.numbered({"norm before": 0.0, "norm after": 0.0}),
        x_title="four layers; dashed: no difference",
        y_title="test accuracy, with scale and shift minus without",
    )


def shared(evidence: xr.Dataset) -> go.Figure:
    """What enters a matrix, by place."""
    return strip(
        effects.centred(evidence),
        by="case",
        theory=effects.centred_law(evidence),
        x_title="plain networks, as drawn",
        y_title="share of the mean square common to all samples",
    )


def growth(evidence: xr.Dataset) -> go.Figure:
    """Growth per layer in plain networks."""
    return strip(
        effects.plain_growths(evidence),
        by="case",
        theory=effects.relu_growth(evidence),
        x_title="plain networks of sixteen layers, as drawn",
        y_title="growth of the squared gradient per layer",
    )


def means(evidence: xr.Dataset) -> go.Figure:
    """The squared channel mean along the blocks, all placements."""
    measured = {WORDS[name]: effects.along(evidence, name, "squared_mean") for name in PLACEMENTS}
    layers = np.arange(effects.depth_of(evidence, PLACEMENTS[0]) + 1)
    lines = {
        WORDS["act-before-addition"]: common.line(layers, laws.squared_mean, "layer"),
        WORDS["full-preactivation"]: common.line(
            layers, lambda block: block * (1 - 2 * theory.RELU_VARIANCE), "layer"
        ),
    }
    return profile(
        measured,
        "layer",
        theory=lines,
        x_title="blocks",
        y_title="squared channel mean of the stream",
    )


def stable(evidence: xr.Dataset) -> go.Figure:
    """The largest stable rate."""
    names = {"batch, before": "before", "batch, after": "after"}
    names |= {"frozen, before": "frozen before", "frozen, after": "frozen after"}
    return strip(
        common.cases({words: effects.stable_rate(evidence, name) for words, name in names.items()}),
        by="case",
        x_title="statistics of the batch or frozen; norm before or after the activation",
        y_title="largest rate at which training does not diverge",
    )


def five(evidence: xr.Dataset) -> go.Figure:
    """Test accuracies of the five placements."""
    found = {WORDS[name]: common.best(evidence, name, "test_accuracy") for name in PLACEMENTS}
    return strip(
        common.cases(found),
        by="case",
        x_title="placement in a residual network of four blocks",
        y_title="test accuracy, best rate",
    )


def fits(evidence: xr.Dataset) -> go.Figure:
    """Training losses of the five placements."""
    found = {WORDS[name]: common.best(evidence, name, "training_loss") for name in PLACEMENTS}
    return strip(
        common.cases(found),
        by="case",
        log_y=True,
        x_title="placement in a residual network of four blocks",
        y_title="training loss at the end, best rate",
    )


def gradients(evidence: xr.Dataset) -> go.Figure:
    """How the gradient grows from block to block, all placements."""
    measured, lines = {}, {}
    for name in PLACEMENTS:
        sizes = effects.along(evidence, name, "gradient")
        depth = effects.depth_of(evidence, name)
        ratio = sizes.isel(layer=slice(0, depth)) / sizes.isel(layer=-1, drop=True)
        measured[WORDS[name]] = ratio
        if name in laws.GROWTH:
            whole = laws.ratio(name, depth)
            left = [whole / laws.ratio(name, block) for block in range(depth)]
            lines[WORDS[name]] = xr.DataArray(left, {"layer": np.arange(depth)}, "layer")
    return profile(
        measured,
        "layer",
        theory=lines,
        log_y=True,
        x_title="blocks",
        y_title="squared gradient behind so many blocks / behind the last",
    )


FIGURES = {
    "order": order,
    "affine": affine,
    "five": five,
    "fits": fits,
    "gradients": gradients,
    "means": means,
    "growth": growth,
    "shared": shared,
    "stable": stable,
}

CAPTIONS = {
    "order": "Every dot is a seed: test accuracy with the norm after the activation minus that with the norm before "
    "it, each at the rate that is best on validation data.",
    "affine": "The same for scale and shift: test accuracy with them minus without, wherever the norm stands.",
    "five": "Test accuracy of residual perceptrons with the five placements of He et al. 2016, each at the rate "
    "that is best on validation data.",
    "fits": "Training loss of the same networks at the end.",
    "gradients": "The squared gradient along ten residual blocks of two layers, as they are drawn, relative to the one "
    "behind the last. Dashed: products derived for the three placements that leave the shortcut free.",
    "means": "What all samples have in common, along the same blocks. Dashed: L^2 / (2 pi) where a ReLU stands before "
    "the addition, L / pi with full pre-activation.",
    "growth": "By what the squared gradient grows per layer, towards the input. Dashed: theory for the norm before the "
    "activation at this batch size.",
    "shared": "Which share of the mean square of what enters the tenth matrix is the squared mean of its channels. "
    "Dashed: 1/pi for a ReLU of a normalised Gaussian, 0 behind a norm.",
    "stable": "The largest learning rate up to which no run of the grid diverges. Frozen norms keep the statistics of "
    "one batch of the network as drawn; grids end at 0.3 with statistics of the batch, at 0.24 with frozen ones.",
}
