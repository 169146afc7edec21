"""How every run ended: its final score, with a diverged run ranked worst instead of NaN."""

import numpy as np
import xarray as xr

from skipnorm.errors import EvidenceError, nearest
from skipnorm.evidence.gathering import RECORDED
from skipnorm.evidence.ranks import Better

DIVERGED_AT = "diverged_at"
"""The variable with the update, counted from 0, in which a run diverged; inf or NaN for never.

The state after so many updates is the last that was whole."""

LAST_STEP = "last_step"
"""The variable with the last step at which a run was asked for; variants may differ in it."""

_TRIAL = ("variant", "seed", "rate")


def outcomes(
    evidence: xr.Dataset, score: str, *, step: int | None = None, better: Better | None = None
) -> xr.DataArray:
    """The final score of every run, where a run that diverged has the worst: it keeps a rank.

    A run diverged if its score is not finite, or if `diverged_at` names an update before the step
    looked at. Its outcome is +inf where lower is better and -inf where higher is. A run that never
    ran stays NaN. Differences and ratios of outcomes are effects that `judge` can rank: `inf`
    where the first diverged, `-inf` or 0 where the second did, and NaN, which counts against
    either ruling, where both did.

    Args:
        evidence: holds the score over some of `variant`, `seed`, `rate` and `step`; if it holds
            `recorded`, this tells what never ran from what diverged.
        score: the name of a variable.
        step: the step at which it is read; if not given the last of each run, which `last_step`
            tells, else the last of the evidence.
        better: whether a `"lower"` or a `"higher"` score is better; by its name if not given
            (`..._loss` or `..._error`: lower; `..._accuracy`: higher).

    Returns:
        The score over those of `variant`, `seed` and `rate` that it has.

    Raises:
        EvidenceError: there is no such score or step, it has other dimensions, `recorded` does
            not tell its rates apart, or its name does not say what is better.

    >>> ended = {"test_loss": ("seed", [0.5, np.nan]), "diverged_at": ("seed", [np.inf, 70.0])}
    >>> outcomes(xr.Dataset(ended), "test_loss").values
    array([0.5, inf])
    """
    at = _steps(evidence, score, step)
    values = _scored(evidence, score)
    values = values.sel(step=at, drop=True) if "step" in values.dims else values
    worst = np.inf if direction(score, better) == "lower" else -np.inf
    ran = _ran(evidence, values)
    broken = ~np.isfinite(values) | _diverged_by(evidence, score, at)
    ended = values.where(~broken, worst).where(ran).transpose(*values.dims)
    return ended.rename(score).assign_attrs(evidence[score].attrs)


def direction(score: str, better: Better | None = None) -> Better:
    """Whether a lower or a higher score is better: as told, or by its name.

    Raises:
        EvidenceError: neither says so.

    >>> direction("test_loss"), direction("validation_accuracy")
    ('lower', 'higher')
    """
    if better in ("lower", "higher"):
        return better
    if better is not None:
        raise EvidenceError(f"better: {nearest(str(better), ('lower', 'higher'))}")
    endings: dict[str, Better] = {"loss": "lower", "error": "lower", "accuracy": "higher"}
    for ending, found in endings.items():
        if score.endswith(ending):
            return found
    raise EvidenceError(
        f"expected a score whose name ends in {', '.join(endings)}, found {score!r}; "
        "say better='lower' or better='higher'"
    )


def _scored(evidence: xr.Dataset, score: str) -> xr.DataArray:
    if score not in evidence:
        raise EvidenceError(f"score: {nearest(score, map(str, evidence.data_vars))}")
    values = evidence[score].astype(float)
    dims = set(map(str, values.dims))
    if not dims <= {*_TRIAL, "step"} or "seed" not in dims:
        raise EvidenceError(
            f"expected {score!r} over seed and, if need be, variant, rate and step, found "
            f"{tuple(map(str, values.dims))}; select or average the rest"
        )
    return values


def _steps(evidence: xr.Dataset, score: str, step: int | None) -> xr.DataArray:
    """At which step of the evidence each run is looked at."""
    values = _scored(evidence, score)
    if "step" not in values.dims:
        return xr.DataArray(0)
    steps = evidence["step"].values
    if step is not None and step not in steps.tolist():
        raise EvidenceError(f"expected one of the steps {steps.tolist()}, found {step}")
    if step is not None or LAST_STEP not in evidence:
        return xr.DataArray(int(steps.max()) if step is None else step)
    own = evidence[LAST_STEP].astype(float).fillna(steps.max())
    own = own.max([dim for dim in own.dims if dim not in values.dims])
    found = np.searchsorted(np.sort(steps), own.values, side="right") - 1
    return own.copy(data=np.asarray(np.sort(steps)[np.maximum(found, 0)]))


def _ran(evidence: xr.Dataset, values: xr.DataArray) -> xr.DataArray:
    if RECORDED not in evidence:
        return xr.ones_like(values, dtype=bool)
    ran = evidence[RECORDED]
    lacking = [str(dim) for dim in values.dims if dim not in ran.dims]
    if lacking:
        raise EvidenceError(
            f"expected {RECORDED!r} over {tuple(map(str, values.dims))}, found "
            f"{tuple(map(str, ran.dims))}: without {lacking[0]!r} a run that diverged looks like "
            f"one that never ran; record every {lacking[0]}, or select one"
        )
    return ran


def _diverged_by(evidence: xr.Dataset, score: str, step: xr.DataArray) -> xr.DataArray:
    """Whether `diverged_at` names an update before the step that is looked at."""
    if DIVERGED_AT not in evidence:
        return xr.DataArray(False)
    at = evidence[DIVERGED_AT].astype(float)
    if "step" not in evidence[score].dims:
        return xr.DataArray(np.isfinite(at))
    return xr.DataArray(np.isfinite(at)) & (at < step)
