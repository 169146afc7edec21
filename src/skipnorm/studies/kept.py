"""What was read of a trial's states before, with other probes or after other steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skipnorm.errors import EvidenceError
from skipnorm.studies.plan import Trial

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Readings", "kept_readings"]

Readings = dict[tuple[int, str], "xr.Dataset"]
"""Datasets by step and by the text that names the probe."""


def kept_readings(trial: Trial, folder: Path, texts: Sequence[str]) -> Readings:
    """The readings of a trial, by step and probe, that an earlier study left in this folder.

    Every trial has one file for all that was asked of it; each variable names its probe. A file that
    cannot be read is passed over.
    """
    from skipnorm.evidence import read

    found: Readings = {}
    for path in trial.related_files(folder):
        try:
            evidence = read(path)
        except EvidenceError:
            continue
        for at in sorted(_steps(evidence) & set(trial.at)):
            for text in texts:
                reading = None if (at, text) in found else _reading(evidence, at, text)
                if reading is not None:
                    found[at, text] = reading
    return found


def _steps(evidence: xr.Dataset) -> set[int]:
    return set(np.asarray(evidence["step"]).tolist()) if "step" in evidence.dims else {0}


def _reading(evidence: xr.Dataset, at: int, text: str) -> xr.Dataset | None:
    """The variables of a probe at a step, without the trial's own labels."""
    own = [name for name, array in evidence.data_vars.items() if array.attrs.get("probe") == text]
    if not own:
        return None
    places = {dim: 0 for dim in ("variant", "seed", "rate") if dim in evidence.dims}
    there = evidence[own].isel(places)
    if "step" in there.dims:
        there = there.sel(step=at)
    labels = [name for name in ("variant", "seed", "rate", "step") if name in there.coords]
    plain = there.drop_vars(labels)
    plain.attrs = {key: text for key, text in evidence.attrs.items() if key == "network"}
    return plain
