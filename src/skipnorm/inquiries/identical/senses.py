"""Does batch norm make activations identically distributed: over time, units, batches, and from training to test?"""

from __future__ import annotations

import numpy as np
import xarray as xr

from skipnorm.inquiries.effects import cases
from skipnorm.inquiries.identical.effects import beyond_chance, ended, initial, moved, read
from skipnorm.verdicts import AtLeast, AtMost, Claim, Identity, Near

__all__ = ["CLAIMS"]

_ESSAY = "The essay, (Perhaps Not) Alleviating Internal Covariate Shift"
_COUNTER = "Derived, against the essay: fixed weights map iid inputs to iid activations"
_RAO = "Rao & Sohl-Dickstein 2020"
_TIME, _UNITS, _BATCHES = "Identical over time?", "Identical between units?", "Between batches?"
_USE, _FIRST_I = "From training to test data?", "And the other i: independent?"
_MATTERS = 0.1
_SMALL = "Four layers of 64 units, 150 to 300 updates on 8 x 8 digits."


def over_time(evidence: xr.Dataset) -> xr.DataArray:
    """How far distributions are at the end from where they were at first, with batch norm."""
    return moved(evidence, "plain BN").isel(step=-1, drop=True)


def over_time_ratio(evidence: xr.Dataset) -> xr.DataArray:
    """The same over that of a network without a norm."""
    return cases(
        {
            name: moved(evidence, f"{name} BN").isel(step=-1, drop=True)
            / moved(evidence, name).isel(step=-1, drop=True)
            for name in ("plain", "residual")
        }
    )


def between_units(evidence: xr.Dataset) -> xr.DataArray:
    """How far a unit is from all units together, beyond chance, with batch norm after training."""
    return beyond_chance(evidence, "plain BN", "units")


def units_at_first(evidence: xr.Dataset) -> xr.DataArray:
    """How much units of the last layer differ at initialisation with batch norm, over the same without."""
    return cases(
        {
            name: _last(evidence, f"initial {name} BN") / _last(evidence, f"initial {name}")
            for name in ("relu", "tanh")
        }
    )


def between_batches(evidence: xr.Dataset) -> xr.DataArray:
    """How far batches lie apart beyond chance, with batch norm."""
    return beyond_chance(evidence, "plain BN", "batches")


def between_batches_without(evidence: xr.Dataset) -> xr.DataArray:
    """The same without batch norm."""
    return cases(
        {
            name: beyond_chance(evidence, name, "batches")
            for name in ("plain", "plain LN", "residual")
        }
    )


def batches_over_chance(evidence: xr.Dataset) -> xr.DataArray:
    """How far batches lie apart with batch norm, over what chance makes of independent samples."""
    found = ended(evidence, "plain BN", "apart_batches")
    return found / ended(evidence, "plain BN", "chance_batches")


def to_test(evidence: xr.Dataset) -> xr.DataArray:
    """How far test data in use lie from training data in training, beyond chance, with batch norm."""
    return beyond_chance(evidence, "plain BN", "test")


def to_test_more(evidence: xr.Dataset) -> xr.DataArray:
    """The same less that of a network without a norm."""
    return to_test(evidence) - beyond_chance(evidence, "plain", "test")


def coupled_without(evidence: xr.Dataset) -> xr.DataArray:
    """The largest effect of one sample on the answers to others, without batch norm."""
    return cases(
        {name: read(evidence, name, "coupled").max("step") for name in ("plain", "plain LN")}
    )


def coupled(evidence: xr.Dataset) -> xr.DataArray:
    """The same with batch norm, the geometric mean over training."""
    logs = xr.DataArray(np.log(read(evidence, "plain BN", "coupled"))).mean("step")
    return xr.DataArray(np.exp(logs))


def use_gap_without(evidence: xr.Dataset) -> xr.DataArray:
    """The largest difference between training and use, without batch norm."""
    return cases(
        {name: read(evidence, name, "use_gap").max("step") for name in ("plain", "plain LN")}
    )


def use_gap(evidence: xr.Dataset) -> xr.DataArray:
    """The same with batch norm, at the end of training."""
    return read(evidence, "plain BN", "use_gap").isel(step=-1, drop=True)


def _last(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    return initial(evidence, variant, "depth_units").isel(layer=-1, drop=True)


CLAIMS = (
    Claim(
        name="identical-over-time",
        sentence="With batch norm activations are identically distributed over time: after training the percentiles of "
        "their inputs lie within 0.1 of their spread of where they were at first.",
        source=_ESSAY,
        side="essay",
        topic=_TIME,
        effect=over_time,
        prediction=AtMost(_MATTERS),
        figure="time",
        caveats=(_SMALL, "Behind scale and shift, as the activation meets it."),
    ),
    Claim(
        name="steadier-over-time",
        sentence="Batch norm does not make them identical over time but steadier: they move a quarter less than "
        "without it.",
        source="Derived: two moments of each unit follow scale and shift alone",
        side="derived",
        topic=_TIME,
        effect=over_time_ratio,
        prediction=AtMost(0.75),
        scale="log",
        figure="time",
        caveats=(_SMALL,),
    ),
    Claim(
        name="identical-units",
        sentence="With batch norm the units of a layer are identically distributed: after training each is within 0.1 "
        "standard deviations of all together, beyond what chance makes.",
        source=_ESSAY,
        side="essay",
        topic=_UNITS,
        effect=between_units,
        prediction=AtMost(_MATTERS),
        figure="senses",
        unit="standard deviations",
    ),
    Claim(
        name="units-alike-at-first",
        sentence="At initialisation batch norm halves how much the units of the sixteenth layer differ, or better.",
        source="Derived: it gives all units one mean and one variance",
        side="derived",
        topic=_UNITS,
        effect=units_at_first,
        prediction=AtMost(0.5),
        scale="log",
        figure="depth_units",
        caveats=("Each seed is a mean of four draws.",),
    ),
    Claim(
        name="identical-batches",
        sentence="With batch norm batches are identically distributed: a unit's distribution in one of them is within "
        "0.1 standard deviations of that in the others, beyond chance.",
        source=_ESSAY,
        side="essay",
        topic=_BATCHES,
        effect=between_batches,
        prediction=AtMost(_MATTERS),
        figure="senses",
        unit="standard deviations",
    ),
    Claim(
        name="identical-without-norm",
        sentence="So they are without: batches drawn from one data set differ by chance alone, within 0.1 standard "
        "deviations, with layer norm or no norm.",
        source=_COUNTER,
        side="counter",
        topic=_BATCHES,
        effect=between_batches_without,
        prediction=Near(0.0, _MATTERS),
        figure="senses",
        unit="standard deviations",
    ),
    Claim(
        name="batches-too-alike",
        sentence="With batch norm batches are more alike than independent samples can be: their distance is 0.9 times "
        "what chance makes, or less.",
        source="Derived: every batch is given the same two moments",
        side="derived",
        topic=_BATCHES,
        effect=batches_over_chance,
        prediction=AtMost(0.9),
        scale="log",
        figure="senses",
        caveats=("Batches of 64.",),
    ),
    Claim(
        name="identical-in-use",
        sentence="With batch norm test data in use are distributed as training data in training: within 0.1 standard "
        "deviations, beyond chance.",
        source=_ESSAY,
        side="essay",
        topic=_USE,
        effect=to_test,
        prediction=AtMost(_MATTERS),
        figure="senses",
        unit="standard deviations",
    ),
    Claim(
        name="less-identical-in-use",
        sentence="From training to use batch norm makes them less identical: by 0.02 standard deviations or more than "
        "without norm, since two kinds of statistics are used.",
        source=f"{_RAO}: train/test inconsistency",
        side="counter",
        topic=_USE,
        effect=to_test_more,
        prediction=AtLeast(0.02),
        figure="senses",
        unit="standard deviations",
    ),
    Claim(
        name="differs-in-use",
        sentence="With batch norm the same samples are answered differently in training and in use: outputs differ by "
        "1 % of their spread or more.",
        source=f"{_RAO}; Ioffe & Szegedy 2015, section 3.1",
        side="counter",
        topic=_USE,
        effect=use_gap,
        prediction=AtLeast(0.01),
        scale="log",
        figure="coupling",
        caveats=("32 samples at a time.",),
    ),
    Claim(
        name="same-in-use-without",
        sentence="Without batch norm training and use do not differ at all.",
        source="Derived",
        side="derived",
        topic=_USE,
        effect=use_gap_without,
        prediction=Identity(1e-12),
        figure="coupling",
    ),
    Claim(
        name="independent-without-norm",
        sentence="Without batch norm samples are answered independently: replacing one changes no other's output.",
        source="Derived",
        side="derived",
        topic=_FIRST_I,
        effect=coupled_without,
        prediction=Identity(1e-12),
        figure="coupling",
    ),
    Claim(
        name="bn-couples-samples",
        sentence="Batch norm takes the first i of iid away: in training, replacing one sample of 32 moves the outputs "
        "of the others by 1 % of their spread or more.",
        source=f"{_RAO}: batch dependence",
        side="counter",
        topic=_FIRST_I,
        effect=coupled,
        prediction=AtLeast(0.01),
        scale="log",
        figure="coupling",
    ),
)
