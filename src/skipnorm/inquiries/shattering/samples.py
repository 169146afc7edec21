"""How alike are the gradients of different samples? The theorems, and their assumption."""

from __future__ import annotations

import xarray as xr

from skipnorm.formulas import theory
from skipnorm.inquiries.effects import cases
from skipnorm.inquiries.shattering import topics
from skipnorm.inquiries.shattering.effects import co_active, remembered, together
from skipnorm.inquiries.shattering.laws import BALDUZZI, QUOTED, correlations_of, said_of
from skipnorm.verdicts import AtLeast, Claim, Near

__all__ = ["CLAIMS", "published_rescaled", "published_residual"]

_ESSAY = "The essay, Gradient Correlation"


def published_residual(depth: int) -> float:
    """Theorem 2: ``(3/4)^L``, for residual networks without norm.

    >>> published_residual(2)
    0.5625
    """
    return 0.75**depth


def published_rescaled(depth: int, branch_scale: float = 1.0) -> float:
    """Theorem 3: ``1 / (beta sqrt(L))``, for residual networks with batch norm.

    >>> published_rescaled(25, 0.5)
    0.4
    """
    return float(1 / (branch_scale * depth**0.5))


def over_halving(evidence: xr.Dataset) -> xr.DataArray:
    """The correlation behind 12 plain layers over 2^-12."""
    return together(evidence, "plain", 12) * 2.0**12


def both_on_when_normed(evidence: xr.Dataset) -> xr.DataArray:
    """Co-activation in networks with centring or batch norm."""
    places = {"centred": (1, 5), "BN": (1, 5), "residual BN": (1, 5, 12)}
    return cases(
        {
            f"{name}, {block}": co_active(evidence, name, block)
            for name, blocks in places.items()
            for block in blocks
        }
    )


def both_on_late(evidence: xr.Dataset) -> xr.DataArray:
    """Co-activation in the twelfth layer of a plain network."""
    return co_active(evidence, "plain", 12)


def disagreement(evidence: xr.Dataset) -> xr.DataArray:
    """By how much each measure prefers the network that the other one does not."""
    return cases(
        {
            "ACF(1), 24: plain - residual BN": remembered(evidence, "plain", 24)
            - remembered(evidence, "residual BN", 24),
            "samples, 5: residual BN - plain": together(evidence, "residual BN", 5)
            - together(evidence, "plain", 5),
        }
    )


CLAIMS = (
    Claim(
        name="assumption-is-strong",
        sentence="The proof relied on very strong assumptions: that two samples are both on in a quarter of cases "
        "fails without norm; in the twelfth layer it is 35 % or more.",
        source=_ESSAY,
        side="essay",
        effect=both_on_late,
        prediction=AtLeast(0.35),
        figure="coactivation",
        topic=topics.ASSUMPTION,
    ),
    Claim(
        name="assumption-holds-with-norm",
        sentence="Behind batch norm or centring the assumption holds: two samples are both on in 25 ± 1 % of cases, in "
        "every block.",
        source=f"{BALDUZZI}, section 3",
        side="paper",
        effect=both_on_when_normed,
        prediction=Near(0.25, 0.01),
        figure="coactivation",
        topic=topics.ASSUMPTION,
        caveats=("Looked at in the first twelve blocks.",),
    ),
    Claim(
        name="halved-by-plain-layers",
        sentence="Without norm, too, every layer halves the correlation: it is 2⁻ᴸ.",
        source=f"{BALDUZZI}, theorem 1, read without its assumption",
        side="paper",
        effect=correlations_of(("plain",), (3, 5, 8, 12)),
        prediction=Near(
            said_of({"plain": theory.mean_centred_gradient_correlation}, (3, 5, 8, 12)),
            0.07,
            relative=True,
        ),
        figure="correlation",
        topic=topics.FADING,
        caveats=(QUOTED,),
    ),
    Claim(
        name="plain-correlation-lasts",
        sentence="Without norm the correlation fades as a power of depth only: behind 12 layers it is 50 times 2⁻¹² or "
        "more.",
        source="Derived from the arc-cosine kernel (Cho & Saul 2009)",
        side="counter",
        effect=over_halving,
        prediction=AtLeast(50.0),
        figure="correlation",
        topic=topics.FADING,
    ),
    Claim(
        name="three-quarters-per-block",
        sentence="In a residual network without norm the correlation is (3/4)ᴸ.",
        source=f"{BALDUZZI}, theorem 2",
        side="paper",
        effect=correlations_of(("residual",), (3, 5, 8)),
        prediction=Near(said_of({"residual": published_residual}, (3, 5, 8)), 0.1, relative=True),
        figure="correlation",
        topic=topics.FADING_RESIDUAL,
        caveats=("True up to two blocks.", QUOTED),
    ),
    Claim(
        name="inverse-square-root",
        sentence="In a residual network with batch norm the correlation is 1 / (β √L).",
        source=f"{BALDUZZI}, theorem 3",
        side="paper",
        effect=correlations_of(("residual BN",), (10, 25, 50)),
        prediction=Near(
            said_of({"residual BN": published_rescaled}, (10, 25, 50)), 0.15, relative=True
        ),
        figure="rescaled",
        topic=topics.FADING_RESIDUAL_BN,
        caveats=("An asymptote, right in its order of magnitude where β²L is large.", QUOTED),
    ),
    Claim(
        name="two-measures-disagree",
        sentence="Likeness along a line and likeness between samples are different things: by ACF a plain network "
        "without norm is ahead of a residual one with batch norm, by correlation between samples it is behind.",
        source="After Rao & Sohl-Dickstein 2020",
        side="counter",
        effect=disagreement,
        prediction=AtLeast(0.05),
        figure="correlation",
        topic=topics.WHICH,
    ),
)
