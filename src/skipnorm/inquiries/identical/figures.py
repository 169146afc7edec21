"""Every picture of the inquiry with its caption."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import profile, strip
from skipnorm.inquiries.effects import cases
from skipnorm.inquiries.identical.effects import (
    MEASURES,
    beyond_chance,
    correlation,
    generalised,
    initial,
    moved,
    read,
    shared_rank,
)
from skipnorm.inquiries.identical.readings import READINGS
from skipnorm.inquiries.identical.shape import shared_rank_without
from skipnorm.inquiries.identical.study import CONTROL, LEARNERS, NOISY

__all__ = ["CAPTIONS", "FIGURES"]

_INITIAL = {
    "ReLU": "initial relu",
    "ReLU, batch norm": "initial relu BN",
    "ReLU, layer norm": "initial relu LN",
    "tanh": "initial tanh",
    "tanh, batch norm": "initial tanh BN",
}


def generalisation(evidence: xr.Dataset) -> go.Figure:
    """Rank correlation with the test loss at the bar, of every sense and of all four together."""
    rows = {name: correlation(evidence, name) for name in (*MEASURES, "gaussian")}
    rows["mean rank"] = shared_rank(evidence)
    rows["same, no BN"] = shared_rank_without(evidence)
    return strip(
        cases(rows), "case", x_title="distance", y_title="rank correlation with the test loss"
    )


def bar(evidence: xr.Dataset) -> go.Figure:
    """The test loss of every learner at equal training loss."""
    rows = {
        name.removeprefix("plain "): generalised(evidence, name)
        for name in (*LEARNERS, CONTROL, NOISY)
    }
    return strip(
        cases(rows), "case", log_y=True, x_title="learner", y_title="test loss, training at 0.05"
    )


def senses(evidence: xr.Dataset) -> go.Figure:
    """Every distance beyond chance, at the end of training, without norm, with batch norm, and with noise behind."""
    names = {"none": "plain", "BN": "plain BN", "noise": NOISY}
    rows = {
        f"{'shape' if sense == 'gaussian' else sense}, {label}": beyond_chance(
            evidence, name, sense
        )
        for sense in READINGS
        for label, name in names.items()
    }
    return strip(cases(rows), "case", x_title="distance", y_title="distance beyond chance, sd")


def time(evidence: xr.Dataset) -> go.Figure:
    """How far percentiles have moved from where they were at first."""
    names = ("plain", "plain BN", "residual", "residual BN")
    return profile(
        {name: moved(evidence, name) for name in names},
        "step",
        x_title="update",
        y_title="distance from the start / half spread",
    )


def depth_gaussian(evidence: xr.Dataset) -> go.Figure:
    """Distance to the Gaussian along depth, at initialisation."""
    series = {label: initial(evidence, name, "depth_gaussian") for label, name in _INITIAL.items()}
    return profile(
        series, "layer", log_y=True, x_title="layer", y_title="distance to the Gaussian, sd"
    )


def depth_units(evidence: xr.Dataset) -> go.Figure:
    """How much the units of a layer differ along depth, at initialisation."""
    series = {label: initial(evidence, name, "depth_units") for label, name in _INITIAL.items()}
    return profile(
        series, "layer", log_y=True, x_title="layer", y_title="one unit to all of the layer, sd"
    )


def gaussian(evidence: xr.Dataset) -> go.Figure:
    """Distance to the Gaussian along training, beside chance."""
    names = ("plain", "plain BN", "plain LN", "residual", "residual BN")
    series = {name: read(evidence, name, "apart_gaussian").mean("block") for name in names}
    chance = read(evidence, "plain", "chance_gaussian").mean(["block", "seed"])
    return profile(
        series,
        "step",
        theory={"chance alone": chance},
        x_title="update",
        y_title="distance to the Gaussian, sd",
    )


def coupling(evidence: xr.Dataset) -> go.Figure:
    """How far other samples' outputs move, and how far training is from use."""
    series = {
        f"{label}, {name}": read(evidence, name, quantity)
        for quantity, label in (("coupled", "one of 32 replaced"), ("use_gap", "training and use"))
        for name in ("plain", "plain LN", "plain BN")
    }
    return profile(series, "step", x_title="update", y_title="move of outputs / their spread")


FIGURES: Mapping[str, Callable[[xr.Dataset], go.Figure]] = {
    "generalisation": generalisation,
    "bar": bar,
    "senses": senses,
    "time": time,
    "depth_units": depth_units,
    "depth_gaussian": depth_gaussian,
    "gaussian": gaussian,
    "coupling": coupling,
}

CAPTIONS: Mapping[str, str] = {
    "generalisation": "Rank correlation, over twelve learners of a seed at equal training loss, of the distance from "
    "identical with the test loss. Above 0: the more identical, the better, as the essay hopes. The mean rank is over "
    "the first four; then the same over the nine learners without batch statistics. Every seed is a dot.",
    "bar": "The test loss of every learner where its training loss comes down to 0.05.",
    "senses": "After training, how far distributions lie apart in four senses, less what chance makes of as many "
    "samples: without norm, with batch norm, with noise behind it. Below 0 they are more alike than independent "
    "samples can be. Shape: to the Gaussian.",
    "time": "How far the 15th, 50th and 85th percentile of what enters an activation have moved since initialisation, "
    "over half of their spread.",
    "depth_units": "At initialisation, how far one unit's distribution is from that of all units of its layer.",
    "depth_gaussian": "At initialisation, how far a unit's standardised distribution over 512 digits is from the "
    "Gaussian. A norm does not change a shape itself; what it does to the layers above can.",
    "gaussian": "The same through training, for 256 samples, mean over three places. Dashed: Gaussian samples.",
    "coupling": "What batch norm alone does: one sample's output depends on the others in its batch, and training "
    "differs from use. Without it both are 0, exactly.",
}
