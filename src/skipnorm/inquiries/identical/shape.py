"""How near is each unit to a Gaussian, and does any of it go with generalisation?"""

from __future__ import annotations

import xarray as xr

from skipnorm.inquiries.effects import cases
from skipnorm.inquiries.identical.effects import (
    ended,
    generalised,
    initial,
    read,
    shared_rank,
)
from skipnorm.inquiries.identical.study import BY_BATCH, CONTROL, LEARNERS, NOISY
from skipnorm.inquiries.shift.readings import PLACES
from skipnorm.verdicts import AtLeast, AtMost, Claim, Identity, Near

__all__ = ["CLAIMS"]

_STABILITY = "The essay, Improving Numerical Stability (batch norm restricts x to any Gaussian)"
_ESSAY = "The essay, (Perhaps Not) Alleviating Internal Covariate Shift"
_GAUSSIAN, _GENERALISES = "Is each unit Gaussian?", "Does identity go with generalisation?"
_BAR = (
    "All learners where their training loss comes down to 0.05, interpolated between two readings in training; one "
    "that misses it with a seed, or is there before the first of them, is left out there."
)


def distance_to_gaussian(evidence: xr.Dataset) -> xr.DataArray:
    """How far a standardised unit is from the Gaussian, beyond chance, with batch norm after training."""
    apart, chance = (
        read(evidence, "plain BN", f"{kind}_gaussian").isel(step=-1, drop=True)
        for kind in ("apart", "chance")
    )
    return cases({place: (apart - chance).sel(block=place, drop=True) for place in PLACES})


def nearer_to_gaussian(evidence: xr.Dataset) -> xr.DataArray:
    """Distance to the Gaussian with batch norm over that without: in the last of sixteen layers, and after training."""
    first, plain = (
        initial(evidence, name, "depth_gaussian").isel(layer=-1, drop=True)
        for name in ("initial relu BN", "initial relu")
    )
    trained = ended(evidence, "plain BN", "apart_gaussian")
    return cases(
        {
            "initial, layer 16": first / plain,
            "trained, 4 layers": trained / ended(evidence, "plain", "apart_gaussian"),
        }
    )


def tails(evidence: xr.Dataset) -> xr.DataArray:
    """Mean size of the excess kurtosis with batch norm, after training."""
    return ended(evidence, "plain BN", "kurtosis_size")


def moments(evidence: xr.Dataset) -> xr.DataArray:
    """By how much the two moments differ from what batch norm should make them, at worst."""
    return cases(
        {
            name: read(evidence, "plain BN", f"{name}_error").max("step")
            for name in ("mean", "variance")
        }
    )


def shape(evidence: xr.Dataset) -> xr.DataArray:
    """By how much a norm changes the distance of a unit to its Gaussian, at worst."""
    return read(evidence, "plain BN", "shape_error").max("step")


def shared_rank_without(evidence: xr.Dataset) -> xr.DataArray:
    """The rank correlation over learners whose samples do not see each other."""
    return shared_rank(evidence, [name for name in LEARNERS if name not in BY_BATCH])


def loss_ratio_at_the_bar(evidence: xr.Dataset) -> xr.DataArray:
    """The test loss with batch norm over that without, at equal training loss."""
    return cases(
        {
            name: generalised(evidence, f"{name} BN") / generalised(evidence, name)
            for name in ("plain", "residual")
        }
    )


def noise_is_apart(evidence: xr.Dataset) -> xr.DataArray:
    """How much farther batches lie apart with noise behind batch norm."""
    noisy = ended(evidence, NOISY, "apart_batches")
    return noisy / ended(evidence, "plain BN", "apart_batches")


def noisy_test_loss(evidence: xr.Dataset) -> xr.DataArray:
    """The test loss with that noise over that without, at equal training loss."""
    return generalised(evidence, NOISY) / generalised(evidence, CONTROL)


CLAIMS = (
    Claim(
        name="identity-generalises",
        sentence="The more identically distributed the activations of a network, the better it generalises: over "
        "twelve learners at equal training loss, distance from identical and test loss have a rank correlation of 0.3 "
        "or more.",
        source=_ESSAY,
        side="essay",
        topic=_GENERALISES,
        effect=shared_rank,
        prediction=AtLeast(0.3),
        figure="generalisation",
        caveats=(
            _BAR,
            "A correlation over architectures, which differ in more than this.",
            "Distance: mean rank over batches, units, time, and training to test.",
        ),
    ),
    Claim(
        name="identity-does-not-tell",
        sentence="How identically distributed activations are says little about generalisation: the same rank "
        "correlation is within 0.3 of 0.",
        source="No source supports the essay's link; derived as its rival",
        side="counter",
        topic=_GENERALISES,
        effect=shared_rank,
        prediction=Near(0.0, 0.3),
        figure="generalisation",
        caveats=(_BAR,),
    ),
    Claim(
        name="identity-generalises-without-bn",
        sentence="The link is no matter of batch norm alone: over the nine learners without batch statistics the rank "
        "correlation is 0.3 or more as well.",
        source=_ESSAY,
        side="essay",
        topic=_GENERALISES,
        effect=shared_rank_without,
        prediction=AtLeast(0.3),
        figure="generalisation",
        caveats=(_BAR, "What batch norm does besides cannot make this one."),
    ),
    Claim(
        name="bn-generalises-better",
        sentence="With batch norm a network generalises better at equal training loss: its test loss is lower by a "
        "tenth or more, plain and residual.",
        source=_ESSAY,
        side="essay",
        topic=_GENERALISES,
        effect=loss_ratio_at_the_bar,
        prediction=AtMost(0.9),
        scale="log",
        figure="bar",
        caveats=(_BAR,),
    ),
    Claim(
        name="noise-makes-batches-differ",
        sentence="Noise behind batch norm undoes identity: batches lie twice as far apart as with batch norm alone, or "
        "more.",
        source="Derived from Santurkar et al. 2018, algorithm 1",
        side="derived",
        topic=_GENERALISES,
        effect=noise_is_apart,
        prediction=AtLeast(2.0),
        scale="log",
        figure="senses",
    ),
    Claim(
        name="less-identical-generalises-no-worse",
        sentence="Identity can be taken away without harm: with that noise the test loss at equal training loss is at "
        "most a tenth higher than with batch norm alone.",
        source="Derived, after Santurkar et al. 2018 and Ioffe & Szegedy 2015, section 3.4 (noise regularises)",
        side="counter",
        topic=_GENERALISES,
        effect=noisy_test_loss,
        prediction=AtMost(1.1),
        scale="log",
        figure="bar",
        caveats=(_BAR, "Both at a rate of 0.1, with which the noisy one comes below the bar."),
    ),
    Claim(
        name="gaussian-units",
        sentence="Batch norm makes each unit Gaussian: after training its standardised distribution is within 0.1 of "
        "the Gaussian, beyond chance, in the first, the middle and the last layer.",
        source=_STABILITY,
        side="essay",
        topic=_GAUSSIAN,
        effect=distance_to_gaussian,
        prediction=AtMost(0.1),
        figure="gaussian",
        unit="standard deviations",
    ),
    Claim(
        name="nearer-to-gaussian",
        sentence="Units are nearer to the Gaussian with batch norm than without, by a fifth or more.",
        source=_STABILITY,
        side="essay",
        topic=_GAUSSIAN,
        effect=nearer_to_gaussian,
        prediction=AtMost(0.8),
        scale="log",
        figure="depth_gaussian",
    ),
    Claim(
        name="no-heavy-tails",
        sentence="With batch norm tails are those of a Gaussian: after training the excess kurtosis has a mean size of "
        "0.75 or less.",
        source=_STABILITY,
        side="essay",
        topic=_GAUSSIAN,
        effect=tails,
        prediction=AtMost(0.75),
        figure="gaussian",
        caveats=("Chance alone makes about 0.24 of 256 Gaussian samples.",),
    ),
    Claim(
        name="shape-untouched",
        sentence="A norm cannot make a unit Gaussian: it leaves the distance to the Gaussian as it was, exactly.",
        source="Derived: it shifts and scales each unit, which does not change a shape",
        side="derived",
        topic=_GAUSSIAN,
        effect=shape,
        prediction=Identity(1e-9),
        figure="gaussian",
    ),
    Claim(
        name="two-moments",
        sentence="What batch norm fixes are two moments, exactly: the batch's mean is its shift, and the variance is "
        "scale^2 var / (var + eps), at every moment of training.",
        source="Ioffe & Szegedy 2015, algorithm 1",
        side="paper",
        topic=_GAUSSIAN,
        effect=moments,
        prediction=Identity(1e-9),
        figure="gaussian",
    ),
)
