"""The pictures of the inquiry: the surfaces on one scale, and what was counted beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import profile, strip, surfaces
from skipnorm.inquiries.effects import of
from skipnorm.inquiries.landscape.effects import along, during, end, initial, untrained
from skipnorm.inquiries.landscape.study import RATE

__all__ = ["CAPTIONS", "FIGURES"]

_PANELS = ("deep plain", "deep plain BN", "deep SkipInit", "deep residual BN")
_TRAINED = ("deep plain", "deep plain BN", "deep plain LN", "deep SkipInit", "deep residual BN")
_READ = (*_PANELS, "shallow plain", "shallow plain BN")
_CEILING = 10.0


def surface_of_four(evidence: xr.Dataset) -> go.Figure:
    """The planes of one seed, trained."""
    seed = int(evidence["seed"].values[0])
    return _surfaces(evidence, seed, step=-1)


def surface_at_first(evidence: xr.Dataset) -> go.Figure:
    """The same before training."""
    return _surfaces(evidence, int(evidence["seed"].values[0]), step=0)


def _surfaces(evidence: xr.Dataset, seed: int, step: int) -> go.Figure:
    def planes(quantity: str) -> dict[str, xr.DataArray]:
        found = {n: of(evidence, n, quantity, rate=RATE, seed=seed) for n in _PANELS}
        return {n.removeprefix("deep "): array.isel(step=step) for n, array in found.items()}

    return surfaces(planes("loss"), errors=planes("loss_error"), log_z=True, ceiling=_CEILING)


def gradient(evidence: xr.Dataset) -> go.Figure:
    """The range of the loss along the gradient, along training."""
    return _along(evidence, "loss_range", "loss range along the gradient")


def predictiveness(evidence: xr.Dataset) -> go.Figure:
    """The change of the gradient along itself, along training."""
    return _along(evidence, "gradient_predictiveness", "largest change of the gradient")


def beta(evidence: xr.Dataset) -> go.Figure:
    """The effective beta-smoothness along training."""
    return _along(evidence, "effective_smoothness", "effective beta-smoothness")


def eigenvalues(evidence: xr.Dataset) -> go.Figure:
    """The largest eigenvalue along training."""
    return _along(evidence, "sharpness", "largest eigenvalue", names=_PANELS, case="active")


def frozen(evidence: xr.Dataset) -> go.Figure:
    """The largest eigenvalue along training, with the statistics active and frozen."""
    named = {
        "plain": ("deep plain", "active"),
        "plain BN, active": ("deep plain BN", "active"),
        "plain BN, frozen": ("deep plain BN", "frozen"),
        "residual BN, active": ("deep residual BN", "active"),
        "residual BN, frozen": ("deep residual BN", "frozen"),
    }
    found = {
        label: along(evidence, name, "sharpness", case=case)
        for label, (name, case) in named.items()
    }
    return profile(found, "step", log_y=True, x_title="update", y_title="largest eigenvalue")


def spectrum(evidence: xr.Dataset) -> go.Figure:
    """The ten largest eigenvalues of trained networks."""
    found = {_short(name): end(evidence, name, "top_eigenvalue") for name in _PANELS}
    return profile(
        found,
        "eigenvalue",
        log_y=True,
        x_title="eigenvalue, from the largest",
        y_title="curvature",
    )


def density(evidence: xr.Dataset) -> go.Figure:
    """How the eigenvalues of trained networks are spread, in units of the largest."""
    wanted = {
        "plain": ("deep plain", "active"),
        "plain BN": ("deep plain BN", "active"),
        "plain BN, frozen": ("deep plain BN", "frozen"),
        "residual BN": ("deep residual BN", "active"),
    }
    found = {}
    for label, (name, case) in wanted.items():
        spread = end(evidence, name, "density", case=case)
        logs = xr.DataArray(np.log(spread.clip(min=1e-6)))
        found[label] = xr.DataArray(np.exp(logs.mean("seed")))
    figure = profile(
        found,
        "curvature",
        log_y=True,
        x_title="curvature / largest eigenvalue",
        y_title="density of eigenvalues",
    )
    return figure.update_traces(mode="lines", selector={"mode": "lines+markers"})


def outliers(evidence: xr.Dataset) -> go.Figure:
    """How far the first eigenvalue stands above the tenth, by network, during training."""
    return _strip(evidence, lambda n: during(evidence, n, "outlier_ratio"), "first / tenth")


def first(evidence: xr.Dataset) -> go.Figure:
    """The largest eigenvalue at initialisation, by network and depth."""
    names = [
        str(name).split(" ", 1)[1]
        for name in evidence["variant"].values
        if str(name).startswith("initial ")
    ]
    found = {
        name.replace(" BN", "+BN").replace(" LN", "+LN"): initial(evidence, *_parted(name))
        for name in names
    }
    return strip(
        _together(found), log_y=True, x_title="family, blocks", y_title="largest eigenvalue"
    )


def rugged(evidence: xr.Dataset) -> go.Figure:
    """The ruggedness of trained planes, by network."""
    return _strip(evidence, lambda n: end(evidence, n, "ruggedness"), "ruggedness", log=False)


def rise(evidence: xr.Dataset) -> go.Figure:
    """How much higher the loss is half the weight norm away, by network."""
    return _strip(evidence, lambda n: end(evidence, n, "rise"), "rise of the loss")


def symmetric(evidence: xr.Dataset) -> go.Figure:
    """The raw eigenvalue over and the line's change after a rescaling that leaves the function as it is."""
    raw, line = (
        untrained(evidence, "symmetry", name)
        for name in ("sharpness_change", "filter_normalised_change")
    )
    found = {"largest eigenvalue": raw, "filter-normalised line": 1.0 + line}
    return strip(_together(found), log_y=True, x_title="measure", y_title="after / before")


def reach(evidence: xr.Dataset) -> go.Figure:
    """Finite differences over the Hessian along its top eigenvector, along training."""
    where = {"direction": "eigenvector_1"}
    found = {_short(n): along(evidence, n, "step_curvature_ratio", **where) for n in _PANELS}
    return profile(
        found,
        "step",
        x_title="update",
        y_title="curvature over a step / Hessian's",
    )


def _along(
    evidence: xr.Dataset,
    quantity: str,
    title: str,
    names: Sequence[str] = _TRAINED,
    **labels: object,
) -> go.Figure:
    found = {_short(name): along(evidence, name, quantity, **labels) for name in names}
    return profile(found, "step", log_y=True, x_title="update", y_title=title)


def _strip(
    evidence: xr.Dataset,
    effect: Callable[[str], xr.DataArray],
    title: str,
    *,
    log: bool = True,
) -> go.Figure:
    found = {name: effect(name) for name in _READ}
    return strip(_together(found), log_y=log, x_title="network", y_title=title)


def _together(found: Mapping[str, xr.DataArray]) -> xr.DataArray:
    rows = [array.assign_coords(variant=name) for name, array in found.items()]
    return xr.concat(rows, "variant", coords="different", compat="equals")


def _parted(name: str) -> tuple[str, int]:
    family, depth = name.rsplit(" ", 1)
    return family, int(depth)


def _short(name: str) -> str:
    return name.removeprefix("deep ")


FIGURES: Mapping[str, Callable[[xr.Dataset], go.Figure]] = {
    "surface": surface_of_four,
    "before": surface_at_first,
    "rugged": rugged,
    "rise": rise,
    "gradient": gradient,
    "predictiveness": predictiveness,
    "beta": beta,
    "eigenvalues": eigenvalues,
    "frozen": frozen,
    "initial": first,
    "spectrum": spectrum,
    "outliers": outliers,
    "density": density,
    "symmetry": symmetric,
    "reach": reach,
}

CAPTIONS: Mapping[str, str] = {
    "surface": "Four trained networks of 16 blocks, one seed (SkipInit: skips with scaled branches, no norm): the loss "
    "over filter-normalised planes, all on one scale of heights and colours, cut off at 10. Batch norm normalises by "
    "the batch. Behind ± is the standard error of the difference from the centre over two batches.",
    "before": "The same four before training. Heights and colours are again those of one scale, but not those of the "
    "figure above.",
    "rugged": "Ruggedness: the share of the ups and downs along rows and columns of the plane that a single valley in "
    "each would not need. Zero is one valley everywhere.",
    "rise": "How much higher the loss of a trained network is half the weight norm away, mean of four points.",
    "gradient": "Largest less smallest loss over steps of 0.05 to 0.4 along the gradient, as in Santurkar's figure 4a.",
    "predictiveness": "The largest change of the gradient over the same steps (figure 4b).",
    "beta": "The largest change of the gradient per distance over the same steps (figure 4c).",
    "eigenvalues": "The largest eigenvalue of the Hessian along training, statistics of batch norm active.",
    "frozen": "The same weights with the statistics of batch norm differentiated and held fixed.",
    "initial": "The largest eigenvalue at initialisation, a geometric mean of four draws a seed: whether batch norm "
    "makes networks flatter or sharper depends on their depth.",
    "spectrum": "The ten largest eigenvalues of trained networks with ten classes.",
    "outliers": "How far the first eigenvalue stands above the tenth, geometric mean during training.",
    "density": "Spectral density of trained networks by Lanczos quadrature, smoothed by a hundredth of the range; "
    "geometric mean over seeds, floor 1e-6.",
    "symmetry": "One layer times 10 and the next over 10 compute the same function: the raw eigenvalue changes, the "
    "filter-normalised line does not.",
    "reach": "Along the Hessian's top eigenvector: curvature by finite differences over a thousandth of the weight "
    "norm, over the Hessian's. Near 1 the Hessian reaches that far; near 0 what it sees is narrower than the step.",
}
