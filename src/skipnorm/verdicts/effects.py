"""From evidence to the numbers that are ruled on: one series of effects for every case."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from skipnorm.errors import ClaimError
from skipnorm.evidence.gathering import RECORDED
from skipnorm.evidence.outcomes import DIVERGED_AT
from skipnorm.verdicts.claim import Claim
from skipnorm.verdicts.predictions import Band, Equivalent, Identity


@dataclass(frozen=True)
class Case:
    """One case of a claim: its effects over the seeds, and what was predicted for it."""

    name: str
    values: np.ndarray
    missing: int
    target: float
    band: Band
    vanished: int = 0
    """How many effects are 0 in a seed with a diverged run: a ratio to a loss that is infinite."""

    @property
    def diverged(self) -> int:
        """How many of the effects are not finite."""
        return int((~np.isfinite(self.values)).sum())

    @property
    def unordered(self) -> int:
        """How many of the effects have no rank either: NaN, as where both runs diverged."""
        return int(np.isnan(self.values).sum())


def cases(claim: Claim, evidence: xr.Dataset) -> list[Case]:
    """Every case of a claim with its effects; seeds whose trials never ran are left out.

    Raises:
        ClaimError: the evidence lacks what the claim measures, the effect has dimensions other
            than seed and case, or (on the log scale) a negative effect or target.
    """
    effect = _measure(claim, evidence)
    absent = _absent(claim, evidence, effect)
    found = []
    for index, name in enumerate(_names(effect)):
        row = effect.isel(case=index) if "case" in effect.dims else effect
        gone = absent.isel(case=index) if "case" in effect.dims else absent
        values = np.asarray(row.values, float).ravel()[~gone.values.ravel()]
        target = _target(claim, evidence, row)
        _check_scale(claim, values, target)
        band = claim.prediction.band(target)
        vanished = _vanished(evidence, row) if _may_be_ratio(claim, values) else 0
        found.append(Case(name, values, int(gone.sum()), target, band, vanished))
    return found


def _measure(claim: Claim, evidence: xr.Dataset) -> xr.DataArray:
    try:
        with np.errstate(all="ignore"):
            effect = claim.effect(evidence)
    except KeyError as cause:
        raise ClaimError(
            f"claim {claim.name!r} looks for {cause}, which this evidence has not; it holds "
            f"{sorted(map(str, evidence.variables))}"
        ) from cause
    if not isinstance(effect, xr.DataArray):
        raise ClaimError(
            f"claim {claim.name!r}: expected a DataArray as effect, found {type(effect).__name__}"
        )
    dims = set(map(str, effect.dims))
    needed = set() if isinstance(claim.prediction, Identity) else {"seed"}
    if not needed <= dims or (needed and not dims <= {"seed", "case"}):
        raise ClaimError(
            f"claim {claim.name!r}: expected an effect over seed and, if need be, case, "
            f"found {tuple(map(str, effect.dims))}; select or average the rest"
        )
    if effect.size == 0:
        raise ClaimError(f"claim {claim.name!r}: its effect is empty; no trial measured it")
    return effect


def _absent(claim: Claim, evidence: xr.Dataset, effect: xr.DataArray) -> xr.DataArray:
    """Where an effect is NaN only because a trial was never run.

    Such an effect becomes a number when the trials that never ran are filled with one, as if they
    had been recorded and had not diverged; the NaN of a trial that diverged stays.
    """
    nothing = xr.zeros_like(effect, dtype=bool)
    if (
        RECORDED not in evidence
        or bool(evidence[RECORDED].all())
        or not bool(effect.isnull().any())
    ):
        return nothing
    ran = evidence[RECORDED]
    filled = evidence.assign(
        {
            name: variable.where(ran, _harmless(str(name))).transpose(*variable.dims)
            for name, variable in evidence.data_vars.items()
            if variable.dtype.kind == "f" and set(ran.dims) <= set(variable.dims)
        }
    ).assign({RECORDED: xr.ones_like(ran, dtype=bool)})
    return nothing | (effect.isnull() & _measure(claim, filled).notnull())


def _may_be_ratio(claim: Claim, values: np.ndarray) -> bool:
    """A difference can be 0 as well, and says so: by a margin around 0, or by an effect below it."""
    margin = isinstance(claim.prediction, Equivalent) and claim.prediction.margin is not None
    return claim.scale == "log" or not (margin or bool((values < 0).any()))


def _vanished(evidence: xr.Dataset, row: xr.DataArray) -> int:
    """A finite loss over one that diverged is 0, which looks like a number as good as any.

    Where the seeds in which nothing diverged have 0 as well, it is one.
    """
    if DIVERGED_AT not in evidence or "seed" not in row.dims:
        return 0
    lost = xr.DataArray(np.isfinite(evidence[DIVERGED_AT].astype(float)))
    of_seed = lost.any([dim for dim in lost.dims if dim != "seed"])
    sound = row.where(~of_seed, drop=True)
    if sound.size and bool((sound == 0).all()):
        return 0
    return int(((row == 0) & of_seed).sum())


def _harmless(name: str) -> float:
    return np.inf if name == DIVERGED_AT else 1.0


def _names(effect: xr.DataArray) -> list[str]:
    if "case" not in effect.dims:
        return [""]
    return [str(name) for name in effect["case"].values]


def _target(claim: Claim, evidence: xr.Dataset, row: xr.DataArray) -> float:
    value = claim.prediction.value
    if not callable(value):
        return float(value)
    predicted = value(evidence)
    if "case" in predicted.dims:
        label = row["case"].item()
        if label not in predicted["case"].values:
            raise ClaimError(f"claim {claim.name!r} predicts nothing for the case {label!r}")
        predicted = predicted.sel(case=label)
    if predicted.size != 1 or not np.isfinite(predicted.item()):
        raise ClaimError(
            f"claim {claim.name!r}: expected one finite prediction for every case, "
            f"found {predicted.values}"
        )
    return float(predicted.item())


def _check_scale(claim: Claim, values: np.ndarray, target: float) -> None:
    if claim.scale == "log" and (target < 0 or bool((values < 0).any())):
        raise ClaimError(
            f"claim {claim.name!r} is on the log scale and has a negative effect or target; "
            "use scale='linear', or a ratio as the effect"
        )
