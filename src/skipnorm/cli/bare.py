"""A study that belongs to no inquiry, as a page all the same: what was measured, claims none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from skipnorm.errors import EvidenceError
from skipnorm.inquiries import Inquiry

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import xarray as xr

    from skipnorm.studies.study import Study

__all__ = ["bare_inquiry"]

_MOST = 12
"""Figures on one page."""


def bare_inquiry(name: str, evidence: xr.Dataset) -> Inquiry:
    """An inquiry without claims that draws every quantity of the evidence that has one value a state.

    Quantities of sites are left to figures of one's own.
    """
    drawn = {str(key): _drawing(evidence[key]) for key in evidence.data_vars}
    figures = {key: draw for key, draw in drawn.items() if draw is not None}
    first = dict(list(figures.items())[:_MOST])
    left = f" {len(figures) - _MOST} more are in the evidence." if len(figures) > _MOST else ""
    sizes = ", ".join(f"{size} {dim}s" for dim, size in evidence.sizes.items() if dim in _TOLD)
    return Inquiry(
        name=name,
        question=f"What did the study {name!r} measure?",
        method=f"Measured: {sizes}. No claim is judged; give an Inquiry to judge some.{left}",
        claims=(),
        figures={key: partial(_draw, draw, key) for key, draw in first.items()},
        study=_no_study,
        captions={key: str(evidence[key].attrs.get("meaning", key)) for key in first},
    )


_TOLD = ("variant", "seed", "rate", "step")
_Drawing = Callable[["xr.DataArray"], "go.Figure"]


def _drawing(values: xr.DataArray) -> _Drawing | None:
    """How to draw a quantity over variants and seeds, and perhaps rates or steps."""
    dims = set(map(str, values.dims))
    if values.dtype.kind not in "fiu" or not {"variant", "seed"} <= dims <= set(_TOLD):
        return None
    over = dims - {"variant", "seed"}
    if not over:
        return _strip
    return _over_rates if "rate" in over else _over_steps


def _draw(drawing: _Drawing, name: str, evidence: xr.Dataset) -> go.Figure:
    return drawing(evidence[name])


def _titled(values: xr.DataArray) -> str:
    return f"{values.name} [{values.attrs.get('unit', '1')}]"


def _strip(values: xr.DataArray) -> go.Figure:
    from skipnorm.figures import strip

    return strip(values, y_title=_titled(values))


def _over_rates(values: xr.DataArray) -> go.Figure:
    from skipnorm.figures import profile

    last = values.isel(step=-1, drop=True) if "step" in values.dims else values
    return profile(last, "rate", by="variant", log_x=True, absent=True, y_title=_titled(values))


def _over_steps(values: xr.DataArray) -> go.Figure:
    from skipnorm.figures import profile

    return profile(values, "step", by="variant", absent=True, y_title=_titled(values))


def _no_study(scale: str) -> Study:
    raise EvidenceError("This page was made from evidence alone, which knows no study.")
