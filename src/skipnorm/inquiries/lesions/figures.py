"""The pictures of the inquiry: evidence in, plotly figure out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import profile
from skipnorm.formulas.binomial import poisson_binomial
from skipnorm.inquiries.lesions.effects import curve, read
from skipnorm.inquiries.lesions.study import RESIDUAL

__all__ = ["CAPTIONS", "FIGURES"]

_ALL = (*RESIDUAL, "plain BN")


def several(evidence: xr.Dataset) -> go.Figure:
    """Test accuracy by the number of blocks deleted."""
    measured = {name: curve(evidence, name, "lesion_accuracy") for name in _ALL}
    measured["BN, re-estimated"] = curve(evidence, "residual BN", "mended_accuracy")
    return profile(measured, "block", x_title="blocks deleted", y_title="test accuracy")


def one(evidence: xr.Dataset) -> go.Figure:
    """Test accuracy without one block, by its place."""
    measured = {name: read(evidence, name, "deletion_accuracy") for name in _ALL}
    return profile(measured, "layer", x_title="which block is deleted", y_title="test accuracy")


def cuts(evidence: xr.Dataset) -> go.Figure:
    """Test accuracy without one shortcut, by its place, and without the branch beside it."""
    measured = {
        f"{name}, {label}": read(evidence, name, quantity)
        for name in RESIDUAL
        for label, quantity in (("branch", "deletion_accuracy"), ("shortcut", "cut_accuracy"))
    }
    return profile(measured, "layer", x_title="block without it", y_title="test accuracy")


def order(evidence: xr.Dataset) -> go.Figure:
    """Test accuracy by the number of pairs that changed places."""
    measured = {name: curve(evidence, name, "permutation_accuracy") for name in _ALL}
    return profile(measured, "case", x_title="pairs swapped", y_title="test accuracy")


def paths(evidence: xr.Dataset) -> go.Figure:
    """How the gradient divides over paths of each length, after training."""
    measured = {name: read(evidence, name, "path_share") for name in RESIDUAL}
    lengths = evidence["length"].values
    all_alike = poisson_binomial(np.full(len(lengths) - 1, 0.5))
    lines = {"if all paths counted alike": xr.DataArray(all_alike, {"length": lengths}, "length")}
    return profile(
        measured,
        "length",
        theory=lines,
        x_title="branches on the path",
        y_title="share of the gradient",
    )


def branches(evidence: xr.Dataset) -> go.Figure:
    """How much a block adds to what passes it by."""
    measured = {name: read(evidence, name, "branch_ratio") for name in RESIDUAL}
    return profile(
        measured, "layer", x_title="block", y_title="norm of branch over norm of shortcut"
    )


FIGURES: Mapping[str, Callable[[xr.Dataset], go.Figure]] = {
    "several": several,
    "one": one,
    "order": order,
    "paths": paths,
    "cuts": cuts,
    "branches": branches,
}

CAPTIONS: Mapping[str, str] = {
    "several": "Blocks are deleted at random from trained networks of 16, nothing is trained again. With batch norm a "
    "good part of the damage is that running statistics are those of the whole network: re-estimated ones mend it. "
    "The plain network is at chance after two. SkipInit's stem and head alone are a linear classifier, nearly as good.",
    "one": "One block is deleted. Of a residual network that costs little, and with batch norm most where it is early; "
    "of a plain one it costs everything.",
    "order": "Random pairs of blocks change places. Residual networks bear it in proportion, the plain network not at "
    "all.",
    "paths": "The norm of the gradient along single paths, summed over all paths of a length, as a share (Veit et al. "
    "2016, figure 6). Dashed: what the number of paths alone would give.",
    "cuts": "Either side of one skip is taken away. Without the branch little is lost, without the shortcut much.",
    "branches": "How much each block adds, relative to what passes it by, on test samples after training.",
}
