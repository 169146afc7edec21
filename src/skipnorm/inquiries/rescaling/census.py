"""How many architecture families have norms and skips: counted once, kept in a table, read here.

`benchmarks/census.py` builds every family and has it looked at by `skipnorm.anatomy`; a slow test counts again.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.evidence.schema import Quantity, label

if TYPE_CHECKING:
    import xarray as xr
    from torch import nn

__all__ = ["COUNTS", "FAMILIES_FILE", "Families", "census", "families"]

FAMILIES_FILE = "census.csv"

COUNTS = {
    "norms": "normalisations in one forward pass",
    "batch": "batch norms among them",
    "layer": "layer norms among them",
    "group": "group norms among them",
    "rms": "RMS norms among them",
    "other": "norms of another kind among them",
    "identity": "sums with an identity shortcut",
    "projection": "sums with a projected shortcut",
    "concat": "concatenations with an own ancestor",
    "activations": "pointwise non-linearities",
}
"""What was counted of every family, in one forward pass of a small configuration."""

_QUANTITIES = tuple(
    Quantity(f"census_{name}", ("case",), "1", meaning, "counted by skipnorm.anatomy")
    for name, meaning in COUNTS.items()
)


@dataclass(frozen=True)
class Families:
    """Stands where a study expects a network: the families were built when the table was made."""

    def build(self, seed: int) -> nn.Module:
        """Nothing that could be counted."""
        from torch import nn

        return nn.Identity()


@cache
def families() -> tuple[dict[str, str], ...]:
    """The rows of the table, a family each: counts, versions and date as text.

    >>> [row["layer"] for row in families() if row["family"] == "vit"]
    ['7']
    """
    text = files("skipnorm.inquiries").joinpath(FAMILIES_FILE).read_text("utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def census(network: Any, batch: Any) -> xr.Dataset:
    """The table as evidence, the same whatever the network."""
    rows = families()
    values = {f"census_{name}": np.array([int(row[name]) for row in rows]) for name in COUNTS}
    made = {key: rows[0][key] for key in ("transformers", "torch", "date")}
    return label(values, _QUANTITIES, {"case": [row["family"] for row in rows]}, made)
