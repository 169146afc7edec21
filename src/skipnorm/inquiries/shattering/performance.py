"""Does it matter for learning? Autocorrelation, momentum and likeness of batches, held against how networks end."""

from __future__ import annotations

import numpy as np
import xarray as xr

from skipnorm.inquiries.effects import cases, fitted
from skipnorm.inquiries.shattering import topics
from skipnorm.inquiries.shattering.effects import at_start
from skipnorm.inquiries.shattering.learners import NETWORKS
from skipnorm.verdicts import AtLeast, AtMost, Claim, Equivalent

__all__ = ["CLAIMS", "alike", "ended", "gain", "recalled"]

_ESSAY = "The essay, Gradient Correlation"
_RAO = "Rao & Sohl-Dickstein 2020"
_LOWEST = (
    "The plain network without norm is best at the lowest rate of its grid, with momentum and without: its factor may "
    "be one of the grid's."
)
_SIZE = "Perceptrons of 16 blocks on digits, 150 steps (quick) or 300, three learning rates."


def recalled(evidence: xr.Dataset, network: str) -> xr.DataArray:
    """A learner's autocorrelation along segments between samples, before it learns."""
    return at_start(evidence, "segment_autocorrelation", f"learner {network}")


def alike(evidence: xr.Dataset, network: str) -> xr.DataArray:
    """How alike a learner's gradients on parts of a batch are, before it learns."""
    return at_start(evidence, "batch_gradient_cosine", f"learner {network}")


def ended(evidence: xr.Dataset, network: str, momentum: str = "with") -> xr.DataArray:
    """A learner's training loss at the rate at which it is lowest."""
    return fitted(evidence, f"{network}, {momentum} momentum")


def gain(evidence: xr.Dataset, network: str) -> xr.DataArray:
    """By what factor momentum lowers a learner's training loss, each at its own best rate."""
    return ended(evidence, network, "without") / ended(evidence, network)


def agreement(evidence: xr.Dataset) -> xr.DataArray:
    """Rank correlation over the networks, seed by seed, between autocorrelation and how well they end."""
    remembered = xr.concat([recalled(evidence, name) for name in NETWORKS], "variant")
    remembered = remembered.dropna("seed", how="all")  # learners have fewer seeds than the rest
    losses = xr.concat([ended(evidence, name) for name in NETWORKS], "variant")
    losses = losses.sel(seed=remembered["seed"])
    ranks = [_ranks(each) for each in (remembered, -losses)]
    middle = (len(NETWORKS) + 1) / 2
    apart = [rank - middle for rank in ranks]
    spread = np.sqrt((apart[0] ** 2).sum("variant") * (apart[1] ** 2).sum("variant"))
    known = remembered.notnull().all("variant") & losses.notnull().all("variant")
    found: xr.DataArray = (apart[0] * apart[1]).sum("variant") / spread
    return found.where(known)


def _ranks(values: xr.DataArray) -> xr.DataArray:
    from scipy.stats import rankdata

    moved = values.transpose("variant", "seed")
    return moved.copy(data=rankdata(moved.values, axis=0))


def misled(evidence: xr.Dataset, bare: str) -> xr.DataArray:
    """Of a network without norm and a residual one with: how much worse does the one of higher ACF end?"""
    ratio = ended(evidence, bare) / ended(evidence, "residual BN")
    higher = recalled(evidence, bare) > recalled(evidence, "residual BN")
    return ratio.where(higher, 1 / ratio)


def misled_by_residual(evidence: xr.Dataset) -> xr.DataArray:
    """The training loss of the one with the higher autocorrelation over that of the other, both with skips."""
    return misled(evidence, "residual")


def misled_by_plain(evidence: xr.Dataset) -> xr.DataArray:
    """The same for a network without skips and norm."""
    return misled(evidence, "plain")


def kept_by_momentum(evidence: xr.Dataset) -> xr.DataArray:
    """How much larger the gain of momentum is where gradients are not shattered."""
    shattered = gain(evidence, "plain BN")
    return cases({name: gain(evidence, name) / shattered for name in ("residual BN", "plain")})


def gained_by_momentum(evidence: xr.Dataset) -> xr.DataArray:
    """The gain of momentum, network by network."""
    return cases({name: gain(evidence, name) for name in ("plain", "plain BN", "residual BN")})


def less_alike(evidence: xr.Dataset) -> xr.DataArray:
    """How much more alike the gradients of batches are without batch norm."""
    normed = alike(evidence, "residual BN")
    return cases(
        {
            "no norm": alike(evidence, "residual") - normed,
            "layer norm": alike(evidence, "residual LN") - normed,
        }
    )


def ended_least_alike(evidence: xr.Dataset) -> xr.DataArray:
    """The training loss with batch norm over that with layer norm and with none."""
    normed = ended(evidence, "residual BN")
    return cases(
        {
            "no norm": normed / ended(evidence, "residual"),
            "layer norm": normed / ended(evidence, "residual LN"),
        }
    )


def ended_most_alike(evidence: xr.Dataset) -> xr.DataArray:
    """The training loss with layer norm over that with batch norm."""
    return ended(evidence, "residual LN") / ended(evidence, "residual BN")


CLAIMS = (
    Claim(
        name="acf-predicts-performance",
        sentence="A higher autocorrelation leads to higher performance: over seven networks the rank correlation "
        "between ACF(1) at initialisation and how well they end is 0.5 or more.",
        source=_ESSAY,
        side="essay",
        effect=agreement,
        prediction=AtLeast(0.5),
        figure="performance",
        caveats=(
            _SIZE,
            "ACF along segments between samples; that of the looks-linear network is 1 by convention.",
        ),
        topic=topics.PERFORMANCE,
    ),
    Claim(
        name="acf-misleads",
        sentence="It does not follow: a residual network without norm has a higher ACF(1) than one with batch norm, "
        "and ends with twice its training loss or more.",
        source="After Zhang et al. 2019 (residual networks need a norm or a scale to train)",
        side="counter",
        effect=misled_by_residual,
        prediction=AtLeast(2.0),
        scale="log",
        figure="performance",
        caveats=(_SIZE,),
        topic=topics.PERFORMANCE,
    ),
    Claim(
        name="acf-misleads-without-skips",
        sentence="Nor in plain networks: without skips and norm ACF(1) is higher than in a residual network with batch "
        "norm, and so is the training loss, by a factor of 2 or more.",
        source="Derived: the plain network's ACF is that of the arc-cosine process; He et al. 2015",
        side="counter",
        effect=misled_by_plain,
        prediction=AtLeast(2.0),
        scale="log",
        figure="performance",
        caveats=(_SIZE,),
        topic=topics.PERFORMANCE,
    ),
    Claim(
        name="shattering-undermines-momentum",
        sentence="Shattered gradients undermine momentum: it lowers the training loss by a factor that is 1.5 times as "
        "large, or more, where they are not shattered as in a plain network with batch norm.",
        source=f"{_ESSAY}; Balduzzi et al. 2017, section 1",
        side="essay",
        effect=kept_by_momentum,
        prediction=AtLeast(1.5),
        scale="log",
        figure="momentum",
        caveats=(
            _SIZE,
            "With and without momentum, each network at its own best rate.",
            _LOWEST,
        ),
        topic=topics.MOMENTUM,
    ),
    Claim(
        name="momentum-gains-little",
        sentence="There is little to undermine: with small batches momentum is worth less than a factor of 2 in "
        "training loss in every network, if plain SGD has its own best rate.",
        source="After Kidambi et al. 2018",
        side="counter",
        effect=gained_by_momentum,
        prediction=Equivalent(factor=2.0),
        scale="log",
        figure="momentum",
        caveats=(_SIZE, _LOWEST),
        topic=topics.MOMENTUM,
    ),
    Claim(
        name="batch-norm-decorrelates",
        sentence="Batch norm makes the gradients of different batches less alike: their cosine is lower by 0.05 or "
        "more than with layer norm and than without norm, in residual networks.",
        source=_RAO,
        side="counter",
        effect=less_alike,
        prediction=AtLeast(0.05),
        figure="batches",
        caveats=("They compare similar batches of images in convolutional networks.",),
        topic=topics.WHICH,
    ),
    Claim(
        name="least-alike-ends-best",
        sentence="And it trains best: with the least alike gradients of the three a residual network with batch norm "
        "ends with 0.9 times the training loss of the others or less.",
        source=_RAO,
        side="counter",
        effect=ended_least_alike,
        prediction=AtMost(0.9),
        scale="log",
        figure="batches",
        caveats=(_SIZE,),
        topic=topics.WHICH,
    ),
    Claim(
        name="most-alike-ends-best",
        sentence="Gradients that are alike are what makes a network trainable: with layer norm, whose gradients are "
        "more alike, a residual network ends with 0.9 times the training loss or less of that with batch norm.",
        source="Balduzzi et al. 2017, taken at its word for norms",
        side="paper",
        effect=ended_most_alike,
        prediction=AtMost(0.9),
        scale="log",
        figure="batches",
        caveats=(_SIZE,),
        topic=topics.WHICH,
    ),
)
