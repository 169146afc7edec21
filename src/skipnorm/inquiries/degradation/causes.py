"""Is it for want of the identity? Handed over, begun with, and learned."""

from __future__ import annotations

import xarray as xr

from skipnorm.inquiries.degradation.effects import (
    ended,
    handed,
    identity_error,
    worst_change,
)
from skipnorm.inquiries.degradation.study import DEEP, SHALLOW
from skipnorm.inquiries.effects import best, cases, fitted
from skipnorm.verdicts import AtLeast, AtMost, Claim, Identity, Near

__all__ = ["CLAIMS"]

_HE = "He et al. 2015"
_WANT = "Is it for want of the identity?"
_LEARNED = "Can a plain block learn the identity?"


def changed_by_identities(evidence: xr.Dataset) -> xr.DataArray:
    """By how much 28 identities behind it change the loss of a shallow network."""
    families = ("plain", "plain BN", "residual", "residual BN")
    return cases({family: worst_change(evidence, family) for family in families})


def trained_on(evidence: xr.Dataset) -> xr.DataArray:
    """The training loss of the network that was made deeper by identities over that before."""
    return fitted(evidence, "identity, trained on") / handed(evidence)


def trained_on_at_random(evidence: xr.Dataset) -> xr.DataArray:
    """The same for extra blocks that were drawn at random."""
    return fitted(evidence, "random, trained on") / handed(evidence)


def begun_with(evidence: xr.Dataset) -> xr.DataArray:
    """The training loss of a network that begins with identities over that of the shallow one."""
    return fitted(evidence, "identity, from scratch") / ended(evidence, "plain", SHALLOW)


def begun_with_over_random(evidence: xr.Dataset) -> xr.DataArray:
    """The training loss of a network that begins with identities over that of the usual deep one."""
    return fitted(evidence, "identity, from scratch") / ended(evidence, "plain", DEEP)


def residual_over_plain(evidence: xr.Dataset) -> xr.DataArray:
    """The error of residual learners of the identity over that of plain ones with as many layers."""
    return cases(
        {
            part: identity_error(evidence, f"residual {part}")
            / identity_error(evidence, f"plain {part}")
            for part in ("layer", "block")
        }
    )


def plain_error(evidence: xr.Dataset) -> xr.DataArray:
    """The error of plain learners of the identity."""
    return cases({part: identity_error(evidence, f"plain {part}") for part in ("layer", "block")})


def signed_error(evidence: xr.Dataset) -> xr.DataArray:
    """The error of a plain layer that is to hand on negative values too."""
    return best(evidence, "plain layer learns, signed")


CLAIMS = (
    Claim(
        name="a-solution-exists",
        sentence="A deeper network that is no worse exists by construction: 28 extra blocks set to the identity leave "
        "the loss of a network of 4 as it is, to 0.000001.",
        source=f"{_HE}, section 1; the essay, Solving the Network Degradation Problem",
        side="paper",
        effect=changed_by_identities,
        prediction=Identity(1e-6),
        figure="handed",
        caveats=("In evaluation mode. No plain block with layer norm is the identity.",),
        topic=_WANT,
    ),
    Claim(
        name="handed-identity-holds",
        sentence="What fails is finding it: a trained plain network of 4 blocks that is made deeper by 28 identities "
        "and trained on ends no higher in training loss than it was.",
        source=f"{_HE}, section 1, the hypothesis put to the test",
        side="paper",
        effect=trained_on,
        prediction=AtMost(1.0),
        scale="log",
        figure="handed",
        caveats=(
            "It is trained on for as many updates again, which would lower the loss of the shallow network too: the "
            "claim is that nothing is lost, not that depth gains.",
        ),
        topic=_WANT,
    ),
    Claim(
        name="random-extra-blocks-fail",
        sentence="Extra blocks that begin at random do not find it: trained on, the same network made deeper by 28 of "
        "those ends at 20 times the training loss it had, or more.",
        source=f"{_HE}, section 1, the hypothesis put to the test",
        side="paper",
        effect=trained_on_at_random,
        prediction=AtLeast(20.0),
        scale="log",
        figure="handed",
        topic=_WANT,
    ),
    Claim(
        name="identity-start-does-not-degrade",
        sentence="The skip is not needed, beginning as the identity is: a plain network of 32 blocks, 28 of which "
        "begin as the identity, ends within 5 times the training loss of one of 4.",
        source="Zagoruyko & Komodakis 2017 (DiracNets)",
        side="counter",
        effect=begun_with,
        prediction=AtMost(5.0),
        scale="log",
        figure="handed",
        caveats=(
            "DiracNets keep the identity as a part of the weights; here it is the start only.",
        ),
        topic=_WANT,
    ),
    Claim(
        name="identity-start-helps",
        sentence="Beginning as the identity mends most: it lowers the training loss of a plain network of 32 blocks to "
        "a tenth or less.",
        source="After Zagoruyko & Komodakis 2017 (DiracNets)",
        side="counter",
        effect=begun_with_over_random,
        prediction=AtMost(0.1),
        scale="log",
        figure="handed",
        topic=_WANT,
    ),
    Claim(
        name="residual-learns-identity",
        sentence="It is easier to push a residual to zero than to fit the identity by non-linear layers: asked for the "
        "identity, a residual learner ends with a tenth of a plain one's error or less, with one layer and with two.",
        source=f"{_HE}, section 3.1",
        side="paper",
        effect=residual_over_plain,
        prediction=AtMost(0.1),
        scale="log",
        figure="learned",
        topic=_LEARNED,
    ),
    Claim(
        name="plain-learns-identity",
        sentence="Behind a ReLU a plain layer could be the identity, and finds it: its error ends at 5 % or less of "
        "the signal, with one layer and with two.",
        source="Derived: the unit matrix is a solution, and one layer has no bad scale to begin with",
        side="counter",
        effect=plain_error,
        prediction=AtMost(0.05),
        scale="log",
        figure="learned",
        topic=_LEARNED,
    ),
    Claim(
        name="no-identity-of-negatives",
        sentence="Of a signal with both signs a trained plain layer loses half: it hands on what is not negative, and "
        "can do no better.",
        source="Derived: E min(x, 0)² is half of E x², which a ReLU loses at best",
        side="derived",
        effect=signed_error,
        prediction=Near(0.5, 0.02),
        figure="learned",
        topic=_LEARNED,
    ),
)
