"""What can be read of any network at initialisation in one pass: how scale spreads, and which units serve nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.evidence.schema import Quantity, label

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["spread_of_scale", "units_in_vain"]

_SPREADS = tuple(
    Quantity(
        f"{word}_spread",
        (),
        "decades",
        f"log10 of the largest over the smallest mean square of the {word} among the inputs of all sites",
        "definition",
    )
    for word in ("signal", "gradient")
)
_VAIN = (
    Quantity(
        "units_in_vain",
        (),
        "1",
        "share of units of rectifiers that are on for every sample or for none, mean over sites",
        "definition",
    ),
)


def spread_of_scale(network: Any, batch: Any) -> xr.Dataset:
    """Over how many decades the mean square spreads from site to site, of the signal and of its gradient."""
    from skipnorm.studies.measure import measure

    measured = measure(network, batch, probes=["moments", "gradient"])
    found = {"signal": "mean_square", "gradient": "gradient_mean_square"}
    values = {
        f"{word}_spread": _decades(measured[name].values.ravel()) for word, name in found.items()
    }
    return label(values, _SPREADS, {}, {})


def units_in_vain(network: Any, batch: Any) -> xr.Dataset:
    """How large a share of the rectified units is dead or always on."""
    from skipnorm.studies.measure import measure

    measured = measure(network, batch, probes="activation_summary")
    inputs = measured.sel(port="input")
    vain = (inputs["dead_fraction"] + inputs["always_on_fraction"]).values
    known = vain[np.isfinite(vain)]
    return label({"units_in_vain": known.mean() if known.size else np.nan}, _VAIN, {}, {})


def _decades(values: np.ndarray) -> float:
    """Of what is there; infinite where something vanishes or overflows, NaN where nothing was read."""
    there = values[~np.isnan(values)]
    if not there.size:
        return float("nan")
    with np.errstate(divide="ignore"):
        logs = np.log10(there)
    return float(logs.max() - logs.min()) if np.isfinite(logs).all() else float("inf")
