"""What is read of the published networks: the loss over a plane, and how rugged it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skipnorm.evidence.schema import Quantity, label

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["plane"]

_LI = "Li et al. 2018"
_READ = (
    Quantity("loss", ("x", "y"), "loss", "the loss over a filter-normalised plane", _LI),
    Quantity("ruggedness", (), "1", "share of ups and downs that one valley a row would not need", "definition"),
)  # fmt: skip


def plane(network: Any, batch: Any, loss: Any, *, points: int = 51) -> xr.Dataset:
    """The loss over a plane in filter-normalised directions, by the running statistics of batch norm."""
    from skipnorm.inquiries.landscape.readings import ruggedness
    from skipnorm.studies.verbs import landscape

    found = landscape(network, batch, loss=loss, points=points, statistics="running")
    values = {"loss": found["loss"].values, "ruggedness": ruggedness(found["loss"].values)}
    return label(values, _READ, {name: found[name].values for name in ("x", "y")}, {})
