"""What is read of every state: along the gradient, from the Hessian, and over a plane; one small table a state.

BatchNorm normalises by the batch at hand wherever nothing else is said, as it does in training.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.evidence.schema import Quantity, label

if TYPE_CHECKING:
    import torch
    import xarray as xr

    from skipnorm.probes.problem import Statistics

__all__ = [
    "CURVATURES",
    "HALF",
    "STATISTICS",
    "STRETCH",
    "initial_sharpness",
    "ruggedness",
    "slopes",
    "stretched",
    "symmetry",
    "terrain",
]

STATISTICS: Mapping[str, Statistics] = {"active": "batch", "frozen": "recalibrated"}
"""BN differentiated through, or with the statistics of the same batch held fixed."""

CURVATURES = np.round(np.linspace(-0.5, 1.05, 156), 2)
"""Where the density is read: curvature as a fraction of the largest eigenvalue."""

HALF = 0.5
"""How far from the centre the rise of the loss is read, as a fraction of the weight norm."""

STRETCH = 10.0
"""By how much a layer is stretched, and the next one shrunk, where nothing should change."""

_TOP = 10
_LI, _SANTURKAR = "Li et al. 2018", "Santurkar et al. 2018, figure 4"
_RAO, _DINH = "Rao & Sohl-Dickstein 2020", "Dinh et al. 2017"
_CURVED = "loss/parameter^2"

QUANTITIES = (
    Quantity("loss_here", (), "loss", "the loss of the batch before any step", "definition"),
    Quantity("loss_range", (), "loss", "largest less smallest loss along the gradient", _SANTURKAR + "a"),
    Quantity("gradient_predictiveness", (), "loss/parameter", "largest change of the gradient", _SANTURKAR + "b"),
    Quantity("effective_smoothness", (), _CURVED, "largest change of the gradient per distance", _SANTURKAR + "c"),
    Quantity("top_eigenvalue", ("eigenvalue",), _CURVED, "the Hessian's largest eigenvalues, BN active", "definition"),
    Quantity("sharpness", ("case",), _CURVED, "the largest one, statistics of BN active or frozen", "definition"),
    Quantity("outlier_ratio", (), "1", "the first eigenvalue over the tenth, of ten classes", _RAO),
    Quantity("density", ("case", "curvature"), "1", "share of eigenvalues per top one", "Ghorbani et al. 2019"),
    Quantity("step_curvature_ratio", ("direction",), "1", "finite differences over the Hessian", "definition"),
    Quantity("loss", ("x", "y"), "loss", "the loss over a filter-normalised plane", _LI),
    Quantity("loss_error", ("x", "y"), "loss", "standard error over batches of its difference from the centre", _LI),
    Quantity("ruggedness", (), "1", "share of the ups and downs that one valley a row would not need", "definition"),
    Quantity("rise", (), "loss", "how much higher the loss is half the weight norm away", _LI),
)  # fmt: skip

_INITIAL = (
    Quantity("initial_sharpness", (), _CURVED, "largest eigenvalue, geometric mean of draws", "definition"),
)  # fmt: skip

_SYMMETRY = (
    Quantity("filter_normalised_change", (), "1", "largest relative change of the line by rescaling layers", _LI),
    Quantity("sharpness_change", (), "1", "largest eigenvalue after over before the same rescaling", _DINH),
)  # fmt: skip


def terrain(network: torch.nn.Module, batch: Any, loss: Any, *, points: int = 13) -> xr.Dataset:
    """Smoothness along the gradient, the Hessian's spectrum and a filter-normalised plane of the loss.

    Gradient and Hessian are those of the first half of the batch, the plane is that of both halves.
    """
    halves = _halves(batch)
    found = _steps(network, halves[0], loss) | _spectra(network, halves[0], loss)
    plane, axes = _plane(network, halves, loss, points)
    coords = {
        "case": list(STATISTICS),
        "eigenvalue": np.arange(1, _TOP + 1),
        "curvature": CURVATURES,
        "direction": ["gradient", "eigenvector_1"],
        **axes,
    }
    return label(found | plane, QUANTITIES, coords, {"statistics": "batch, unless a case says so"})


def slopes(network: torch.nn.Module, batch: Any, loss: Any) -> xr.Dataset:
    """Only what is read along the gradient, as `terrain` has it."""
    return label(_steps(network, _halves(batch)[0], loss), QUANTITIES[:4], {}, {})


def initial_sharpness(networks: Sequence[torch.nn.Module], batch: Any, loss: Any) -> xr.Dataset:
    """The largest eigenvalue of the Hessian, as a geometric mean over the draws."""
    from skipnorm.probes.curvature import leading_directions

    found = [
        leading_directions(each, batch, 1, loss=loss, statistics="batch", tolerance=0.03)[0][0]
        for each in networks
    ]
    mean = float(np.exp(np.mean(np.log(np.array([float(value) for value in found])))))
    return label({"initial_sharpness": mean}, _INITIAL, {}, {})


def symmetry(network: torch.nn.Module, batch: Any, loss: Any) -> xr.Dataset:
    """What a rescaling that leaves the function as it is changes: the line, and the raw eigenvalue."""
    from skipnorm.probes.curvature import leading_directions
    from skipnorm.probes.landscape import landscape

    both = (network, stretched(network, STRETCH))
    lines, tops = [], []
    for each in both:
        line = landscape(each, batch, loss=loss, along="line", points=9, seed=0).values["loss"]
        lines.append(np.asarray(line, dtype=float))
        tops.append(float(leading_directions(each, batch, 1, loss=loss, tolerance=1e-4)[0][0]))
    apart = float(np.max(np.abs(lines[1] / lines[0] - 1)))
    found = {"filter_normalised_change": apart, "sharpness_change": tops[1] / tops[0]}
    return label(found, _SYMMETRY, {}, {})


def stretched(network: Any, factor: float) -> Any:
    """A copy that computes the same: the first block's layer times a factor, the next one's weights over it."""
    import torch

    other = copy.deepcopy(network)
    with torch.no_grad():
        first, second = other.blocks[0].weight, other.blocks[1].weight
        first.weight *= factor
        first.bias *= factor
        second.weight /= factor
    return other


def ruggedness(plane: np.ndarray) -> float:
    """The share of all ups and downs along rows and columns that a single valley in each would not need.

    0 where every row and column falls to one lowest point and rises from there; near 1 where it goes up and down
    many times. Not finite where the plane is not.

    >>> ruggedness(np.add.outer(np.arange(-2.0, 3) ** 2, np.arange(-2.0, 3) ** 2))
    0.0
    >>> ruggedness(np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]))  # each row climbs to fall again
    1.0
    """
    shares = [_excess(row) for rows in (plane, plane.T) for row in rows]
    known = [share for share in shares if share is not None]
    return float(np.mean(known)) if known else 0.0


def _excess(row: np.ndarray) -> float | None:
    """Of one row; None where it is flat."""
    with np.errstate(invalid="ignore"):
        total = np.abs(np.diff(row)).sum()
        if total == 0:
            return None
        return float((total - (row[0] - row.min()) - (row[-1] - row.min())) / total)


def _halves(batch: Any) -> list[Any]:
    inputs, targets = batch
    middle = len(inputs) // 2
    return [(inputs[:middle], targets[:middle]), (inputs[middle:], targets[middle:])]


def _steps(network: Any, batch: Any, loss: Any) -> dict[str, Any]:
    from skipnorm.probes.smoothness import smoothness

    along = smoothness(network, batch, loss=loss, statistics="batch").values
    return {quantity.name: along[quantity.name] for quantity in QUANTITIES[:4]}


def _spectra(network: Any, batch: Any, loss: Any) -> dict[str, Any]:
    """With the statistics of BN active and frozen; without BN both are one."""
    import torch

    from skipnorm.probes.curvature import curvature

    normed = any(isinstance(each, torch.nn.BatchNorm1d) for each in network.modules())
    how: dict[str, Any] = {"loss": loss, "tolerance": 0.05, "samples": 2}
    active = curvature(network, batch, statistics=STATISTICS["active"], top=_TOP, **how)
    runs = [active, active]
    if normed:
        few: dict[str, Any] = {"top": 1, "vectors": 1, "lengths": ()}
        runs[1] = curvature(network, batch, statistics=STATISTICS["frozen"], **few, **how)
    values = [run.values for run in runs]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.asarray(values[0]["finite_difference_curvature"])[:2, 0] / np.asarray(
            values[0]["curvature_along"][:2]
        )
    return {
        "top_eigenvalue": np.asarray(values[0]["top_eigenvalue"]),
        "sharpness": [float(each["top_eigenvalue"][0]) for each in values],
        "outlier_ratio": float(values[0]["outlier_ratio"][-1]),
        "density": [_density(each) for each in values],
        "step_curvature_ratio": ratio,
    }


def _density(found: Any) -> np.ndarray:
    """The density over curvatures in units of the largest eigenvalue; its integral stays what it was."""
    top = float(found["top_eigenvalue"][0])
    if not (np.isfinite(top) and top > 0):
        return np.full(len(CURVATURES), np.nan)
    grid, density = (np.asarray(found[name], dtype=float) for name in ("density_grid", "density"))
    return np.interp(CURVATURES, grid / top, density * top, left=0.0, right=0.0)


def _plane(network: Any, halves: list[Any], loss: Any, points: int) -> tuple[dict[str, Any], Any]:
    from skipnorm.probes.landscape import landscape

    found = landscape(network, halves, loss=loss, statistics="batch", points=points)
    plane = np.asarray(found.values["loss"], dtype=float)
    x, y = (np.round(np.asarray(found.coords[axis], dtype=float), 9) for axis in "xy")
    middle, far = (len(x) // 2, [int(np.abs(x - at).argmin()) for at in (-HALF, HALF)])
    around = [plane[at, middle] for at in far] + [plane[middle, at] for at in far]
    values = {
        "loss": plane,
        "loss_error": np.asarray(found.values["difference_error"], dtype=float),
        "ruggedness": ruggedness(plane),
        "rise": float(np.mean(around)) - float(plane[middle, middle]),
    }
    return values, {"x": x, "y": y}
