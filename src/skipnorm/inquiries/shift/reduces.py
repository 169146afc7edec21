"""Does batch norm reduce shift? In the sense of distributions and in that of gradients, both sides of each."""

from __future__ import annotations

import xarray as xr

from skipnorm.inquiries.effects import cases
from skipnorm.inquiries.shift.effects import NETWORKS, by_rate, drift, ended, read
from skipnorm.inquiries.shift.study import LINEAR
from skipnorm.verdicts import AtLeast, AtMost, Claim, Equivalent, Identity

__all__ = ["CLAIMS"]

_IOFFE = "Ioffe & Szegedy 2015"
_SANTURKAR = "Santurkar et al. 2018"
_ESSAY = "The essay, (Perhaps Not) Alleviating Internal Covariate Shift"
_DISTRIBUTIONS = "Does batch norm steady the distributions?"
_GRADIENTS = "Does batch norm reduce the shift of gradients?"
_LATE = 500
_HIGH = (17, 24)
_PUBLISHED = (9, 17, 24)
_DIGITS = "Perceptrons on 8 x 8 digits; the papers use MNIST and CIFAR-10."
_ONE_MAP = "One random map for all seeds; seeds tell initial weights apart."


def drift_ratio(evidence: xr.Dataset) -> xr.DataArray:
    """How much the distributions move in training with batch norm, over the same without."""
    return cases(
        {
            name: drift(evidence, normed) / drift(evidence, plain)
            for name, (plain, normed) in NETWORKS.items()
        }
    )


def step_ratio(evidence: xr.Dataset) -> xr.DataArray:
    """How far one update moves the means with batch norm, over the same without."""
    return by_rate(evidence, "step_mean", "BN", "plain")


def gradient_ratio(evidence: xr.Dataset) -> xr.DataArray:
    """Relative shift of the gradient with batch norm over the same without, at equal rates."""
    return by_rate(evidence, "gradient_shift_relative", "BN", "plain")


def linear_cosines(evidence: xr.Dataset) -> xr.DataArray:
    """The lowest cosine of G and G' in training, without norm, by layer."""
    found = read(evidence, "linear", "gradient_shift_cosine").min("step", skipna=False)
    return cases({f"layer {layer}": found.sel(layer=layer, drop=True) for layer in _PUBLISHED})


def linear_cosines_with_norm(evidence: xr.Dataset) -> xr.DataArray:
    """The mean cosine of G and G' from step 500 on, with batch norm, by layer."""
    found = read(evidence, "linear BN", "gradient_shift_cosine")
    steps = found["step"].values
    late = found.isel(step=steps >= min(_LATE, steps.max())).mean("step", skipna=False)
    return cases({f"layer {layer}": late.sel(layer=layer, drop=True) for layer in _HIGH})


def linear_losses(evidence: xr.Dataset) -> xr.DataArray:
    """The loss of the linear network with batch norm over that without, at the end."""
    return ended(evidence, "linear BN", LINEAR) / ended(evidence, "linear", LINEAR)


def below_the_first(evidence: xr.Dataset) -> xr.DataArray:
    """The largest shift of the first layer's gradient, below which nothing moves."""
    names = ("plain, rate 0.1", "BN, rate 0.1", "linear", "linear BN")
    return cases(
        {
            name: read(evidence, name, "gradient_shift").sel(layer=1, drop=True).max("step")
            for name in names
        }
    )


CLAIMS = (
    Claim(
        name="steadier-distributions",
        sentence="With batch norm what enters an activation moves less in training: percentiles 15, 50 and 85 go by a "
        "quarter less of their own spread from reading to reading.",
        source=f"{_IOFFE}, section 4.1 and figure 1",
        side="paper",
        topic=_DISTRIBUTIONS,
        effect=drift_ratio,
        prediction=AtMost(0.75),
        scale="log",
        figure="percentiles",
        caveats=(_DIGITS, "Relative to the spread; the paper's figure has raw values."),
    ),
    Claim(
        name="steadiness-is-marginal",
        sentence="The difference is marginal: with batch norm distributions move as much as without, within a factor "
        "of 1.5.",
        source=f"{_SANTURKAR}, section 2.1 and figure 1",
        side="counter",
        topic=_DISTRIBUTIONS,
        effect=drift_ratio,
        prediction=Equivalent(factor=1.5),
        scale="log",
        figure="percentiles",
        caveats=(_DIGITS,),
    ),
    Claim(
        name="an-update-moves-means-less",
        sentence="With batch norm one update of a ReLU network moves the mean of what enters an activation by a "
        "quarter less, in standard deviations, than without at the same rate.",
        source=f"{_IOFFE}, section 2, for the moments of {_SANTURKAR}, figure 8",
        side="paper",
        topic=_DISTRIBUTIONS,
        effect=step_ratio,
        prediction=AtMost(0.75),
        scale="log",
        figure="steps",
        caveats=(
            "What enters the activation has passed the norm's scale and shift, which learn too.",
        ),
    ),
    Claim(
        name="gradients-shift-no-less",
        sentence="Batch norm does not reduce internal covariate shift: at the same rate ||G - G'|| / ||G|| is with it "
        "at least 0.8 times that without, on average over layers and training.",
        source=f"{_ESSAY}; {_SANTURKAR}, section 2.2 and figure 2",
        side="essay",
        topic=_GRADIENTS,
        effect=gradient_ratio,
        prediction=AtLeast(0.8),
        scale="log",
        figure="gradients",
        caveats=(
            "Ten-layer perceptrons; the paper's networks are a VGG and a linear one.",
            "The authors say that batch norm might not reduce it; the essay says that it does not.",
        ),
    ),
    Claim(
        name="gradients-shift-less",
        sentence="Batch norm reduces internal covariate shift also in this sense: ||G - G'|| / ||G|| is with it at "
        "most 0.8 times that without.",
        source=f"{_IOFFE}, title, read by {_SANTURKAR}, definition 2.1",
        side="paper",
        topic=_GRADIENTS,
        effect=gradient_ratio,
        prediction=AtMost(0.8),
        scale="log",
        figure="gradients",
    ),
    Claim(
        name="linear-keeps-its-gradients",
        sentence="In a linear network of 25 layers without norm the layers below do not matter to a gradient: the "
        "cosine of G and G' is 0.99 or more in layers 9, 17 and 24 throughout.",
        source=f"{_SANTURKAR}, figure 3",
        side="paper",
        topic=_GRADIENTS,
        effect=linear_cosines,
        prediction=AtLeast(0.99),
        figure="linear",
        caveats=(_ONE_MAP, "The lowest of all readings, rate 1e-7."),
    ),
    Claim(
        name="linear-norm-loses-its-gradients",
        sentence="With batch norm the same network's gradients are hardly related: from step 500 on the cosine of G "
        "and G' is 0.5 or less in layers 17 and 24.",
        source=f"{_SANTURKAR}, figure 3",
        side="paper",
        topic=_GRADIENTS,
        effect=linear_cosines_with_norm,
        prediction=AtMost(0.5),
        figure="linear",
        caveats=(_ONE_MAP, "Fewer steps than the paper's 10 000."),
    ),
    Claim(
        name="linear-norm-learns-faster",
        sentence="And yet it learns faster: after the same steps its loss is lower by a tenth or more.",
        source=f"{_SANTURKAR}, figure 3",
        side="paper",
        topic=_GRADIENTS,
        effect=linear_losses,
        prediction=AtMost(0.9),
        scale="log",
        figure="linear",
        caveats=(
            "At the one published rate, 1e-7; each at its own best rate is another question.",
        ),
    ),
    Claim(
        name="nothing-shifts-the-first",
        sentence="The first layer's gradient does not shift at all: nothing lies below it.",
        source=f"Derived from {_SANTURKAR}, definition 2.1",
        side="derived",
        effect=below_the_first,
        prediction=Identity(1e-12),
        figure="gradients",
    ),
)
