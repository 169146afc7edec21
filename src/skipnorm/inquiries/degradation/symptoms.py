"""Are deeper plain networks worse, and where: in training or in test?"""

from __future__ import annotations

import xarray as xr

from skipnorm.inquiries.degradation.effects import PLAIN, ended, growth, ratio_to_shallow
from skipnorm.inquiries.degradation.study import DEEP, SHALLOW, name_of
from skipnorm.inquiries.effects import best, cases
from skipnorm.verdicts import AtLeast, Claim, Equivalent

__all__ = ["CLAIMS"]

_ESSAY = "The essay, Solving the Network Degradation Problem"
_HE = "He et al. 2015"
_WORSE = "Are deeper plain networks worse?"
_GRADIENT = "Are the gradients of a deep plain network with batch norm healthy?"


def lost_in_test(evidence: xr.Dataset) -> xr.DataArray:
    """How much accuracy the deep network loses on test data."""
    return cases(
        {
            family: ended(evidence, family, SHALLOW, "test_accuracy")
            - ended(evidence, family, DEEP, "test_accuracy")
            for family in PLAIN
        }
    )


def lost_in_training(evidence: xr.Dataset) -> xr.DataArray:
    """The training loss of plain networks over that of the shallow one."""
    return ratio_to_shallow(evidence, PLAIN)


def already_in_training(evidence: xr.Dataset) -> xr.DataArray:
    """The share of what is lost in test that is lost in training already, by the same networks."""

    def gap(family: str, score: str) -> xr.DataArray:
        deep, shallow = name_of(family, DEEP), name_of(family, SHALLOW)
        return best(evidence, deep, score) - best(evidence, shallow, score)

    return cases(
        {family: gap(family, "training_loss") / gap(family, "test_loss") for family in PLAIN}
    )


def growth_at_both_ends(evidence: xr.Dataset) -> xr.DataArray:
    """How much the gradient grows towards the first block, at initialisation and after training."""
    return cases(
        {
            "initialisation": growth(evidence, "plain BN"),
            "after training": growth(evidence, "plain BN", trained=True),
        }
    )


def growth_at_first(evidence: xr.Dataset) -> xr.DataArray:
    """How much the gradient grows towards the first block, at initialisation."""
    return growth(evidence, "plain BN")


CLAIMS = (
    Claim(
        name="deeper-tests-worse",
        sentence="A deeper plain network performs worse on the test set: with 32 blocks it loses 10 points of accuracy "
        "or more against 4, with and without norm.",
        source=_ESSAY,
        side="essay",
        effect=lost_in_test,
        prediction=AtLeast(0.1),
        figure="depth",
        topic=_WORSE,
    ),
    Claim(
        name="deeper-trains-worse",
        sentence="It performs worse in training: the training loss of 32 blocks or more is at least 20 times that "
        "of 4, with and without norm.",
        source=f"{_HE}, figure 1; the factor from a calibration",
        side="paper",
        effect=lost_in_training,
        prediction=AtLeast(20.0),
        scale="log",
        figure="depth",
        topic=_WORSE,
    ),
    Claim(
        name="not-overfitting",
        sentence="So it is no over-fitting: 80 % or more of what the deep network loses in test loss it has lost in "
        "training loss already.",
        source=f"{_HE}, section 1",
        side="paper",
        effect=already_in_training,
        prediction=AtLeast(0.8),
        figure="depth",
        topic=_WORSE,
    ),
    Claim(
        name="gradients-are-healthy",
        sentence="With batch norm the gradients of a plain network of 32 blocks have healthy norms: the first block's "
        "is within a factor of 10 of the last one's, at initialisation and after training.",
        source=f"{_HE}, section 4.1; the factor is ours",
        side="paper",
        effect=growth_at_both_ends,
        prediction=Equivalent(factor=10.0),
        scale="log",
        figure="gradients",
        caveats=(
            "He et al. give no number; that vanishing is unlikely does not exclude explosion.",
            "After training at the rate 0.1.",
        ),
        topic=_GRADIENT,
    ),
    Claim(
        name="batch-norm-explodes-gradients",
        sentence="Batch norm makes the gradients of a plain network explode: at initialisation the first block's is 50 "
        "times the last one's or more, over 32 blocks.",
        source="Yang et al. 2019: a factor of 1.21 a layer",
        side="counter",
        effect=growth_at_first,
        prediction=AtLeast(50.0),
        scale="log",
        figure="gradients",
        topic=_GRADIENT,
    ),
)
