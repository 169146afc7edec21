"""The section of an audit's page about a trained checkpoint."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from skipnorm.audit.advice import shown
from skipnorm.figures.intervals import intervals
from skipnorm.report import Section

if TYPE_CHECKING:
    from skipnorm.audit.audit import Audit

__all__ = ["checkpoint_section"]

_PRICES = "The rise of the loss where a site is taken out of the trained network, with 95 % intervals over batches."


def checkpoint_section(audit: Audit) -> Section:
    """What each group is worth in the trained network, and what folds."""
    lesions = audit.lesions
    assert lesions is not None
    rows = [price for price in lesions.prices if math.isfinite(price.loss[0])]
    figures = {}
    if rows:
        ends = np.array([price.loss for price in rows])
        zero = np.zeros(len(rows))
        forest = xr.Dataset(
            {
                **{
                    name: ("case", ends[:, at]) for at, name in enumerate(("effect", "low", "high"))
                },
                "predicted_low": ("case", zero),
                "predicted_high": ("case", zero),
                "ruling": ("case", np.array(["price"] * len(rows))),
            },
            {"case": [price.group for price in rows]},
        )
        figures["prices"] = intervals(forest, x_title="rise of the loss")
    lines = [
        f"The checkpoint has a validation loss of {lesions.loss:.4g}, accuracy {lesions.accuracy:.3f}."
    ]
    if lesions.idle:
        listed = ", ".join(f"{name} ({ratio:.2g})" for name, ratio in lesions.idle)
        lines.append(f"Blocks whose branch is less than 0.01 of the shortcut: {listed}.")
    if lesions.faded:
        listed = ", ".join(f"{name} ({share:.0%})" for name, share in lesions.faded)
        lines.append(f"Norms with gains near zero, and the share of such: {listed}.")
    if lesions.folded and lesions.before and lesions.after:
        saved = ", ".join(
            f"{k} {shown(v)}" for k, v in lesions.before.saving(lesions.after).items()
        )
        lines.append(
            f"{len(lesions.folded)} batch norms fold into the layer before them, exactly: {saved}."
        )
    lines += list(lesions.notes)
    return Section(
        "checkpoint",
        "What is each worth in the trained network?",
        "\n\n".join(lines),
        audit.command or "sn.audit(...)",
        figures=figures,
        captions=dict.fromkeys(figures, _PRICES),
    )
