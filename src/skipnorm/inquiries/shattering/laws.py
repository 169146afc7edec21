"""How fast, exactly? The correlation between samples and the co-activation, law by law, with its tolerance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import xarray as xr

from skipnorm.formulas import theory
from skipnorm.inquiries.effects import Effect, cases, numbered
from skipnorm.inquiries.shattering import topics
from skipnorm.inquiries.shattering.effects import co_active, co_activity, together
from skipnorm.verdicts import Claim, Near

__all__ = ["BALDUZZI", "LAWS", "NORMED", "QUOTED", "Law", "correlations_of", "said_of"]

BALDUZZI = "Balduzzi et al. 2017"
QUOTED = "As quoted by third parties; the theorem's text was not at hand."
NORMED = ("centred", "BN")
_SHALLOW, _DEEP = (1, 2, 3, 5), (8, 12)

Law = Callable[[int], float]


def correlations_of(names: Sequence[str], depths: Sequence[int]) -> Effect:
    """The correlation of these networks at these depths, each a case."""

    def effect(evidence: xr.Dataset) -> xr.DataArray:
        return cases(
            {
                _case(name, depth): together(evidence, name, depth)
                for name in names
                for depth in depths
            }
        )

    return effect


def said_of(laws: Mapping[str, Law], depths: Sequence[int]) -> Effect:
    """What laws say of the same."""
    said = {_case(name, n): law(n) for name, law in laws.items() for n in depths}
    return lambda _: numbered(said)


def _case(name: str, depth: int) -> str:
    return f"{name}, {depth}"


def rescaled(evidence: xr.Dataset) -> xr.DataArray:
    """The correlation in residual networks with batch norm."""
    return cases(
        {
            **{_case("β = 1", n): together(evidence, "residual BN", n) for n in (5, 10, 25, 50)},
            _case("β = 0.1", 50): together(evidence, "residual BN β=0.1", 50),
        }
    )


def rescaled_law(evidence: xr.Dataset) -> xr.DataArray:
    """The refined product for the same."""
    law = theory.batchnorm_residual_gradient_correlation
    return numbered(
        {
            **{_case("β = 1", n): law(n) for n in (5, 10, 25, 50)},
            _case("β = 0.1", 50): law(50, 0.1),
        }
    )


_PLACES = {"plain": (1, 3, 5, 8, 12), "residual": (1, 3, 5, 8)}


def both_on_when_bare(evidence: xr.Dataset) -> xr.DataArray:
    """Co-activation in networks without norm."""
    return cases(
        {
            _case(name, block): co_active(evidence, name, block)
            for name, blocks in _PLACES.items()
            for block in blocks
        }
    )


def both_on_law(evidence: xr.Dataset) -> xr.DataArray:
    """What the arc-cosine kernel says of the same."""
    return numbered(
        {
            _case(name, block): co_activity(block, residual=name == "residual")
            for name, blocks in _PLACES.items()
            for block in blocks
        }
    )


_HALVED = dict.fromkeys(NORMED, theory.mean_centred_gradient_correlation)

LAWS = (
    Claim(
        name="halved-by-normed-layers",
        sentence="With centring or batch norm every layer halves the correlation between the gradients of two samples: "
        "it is 2⁻ᴸ.",
        source=f"{BALDUZZI}, theorem 1",
        side="paper",
        effect=correlations_of(NORMED, _SHALLOW),
        prediction=Near(said_of(_HALVED, _SHALLOW), 0.07, relative=True),
        figure="correlation",
        topic=topics.FADING,
        caveats=(
            "128 samples: their pre-activations add up to zero, which lowers it by 0.5 % a layer.",
            QUOTED,
        ),
    ),
    Claim(
        name="plain-law",
        sentence="Without norm the correlation is ∏ J'(c) over the layers, a power of depth.",
        source="Derived from the arc-cosine kernel (Cho & Saul 2009)",
        side="derived",
        effect=correlations_of(("plain",), _SHALLOW),
        prediction=Near(
            said_of({"plain": theory.plain_gradient_correlation}, _SHALLOW), 0.1, relative=True
        ),
        figure="correlation",
        topic=topics.FADING,
    ),
    Claim(
        name="plain-law-deep",
        sentence="The same holds behind 8 and 12 layers, within 20 %.",
        source="Derived from the arc-cosine kernel (Cho & Saul 2009)",
        side="derived",
        effect=correlations_of(("plain",), _DEEP),
        prediction=Near(
            said_of({"plain": theory.plain_gradient_correlation}, _DEEP), 0.2, relative=True
        ),
        figure="correlation",
        topic=topics.FADING,
        caveats=(
            "A law of infinite width that is slow to hold: behind 12 layers the mean over draws was 20 % above it at "
            "width 500 and 14 % at width 1500, and single draws differ by a third.",
        ),
    ),
    Claim(
        name="residual-law",
        sentence="In a residual network without norm it is ∏ (1 + J'(c)) / 2 over the blocks.",
        source="Derived from the arc-cosine kernel (Cho & Saul 2009)",
        side="derived",
        effect=correlations_of(("residual",), (*_SHALLOW, 8)),
        prediction=Near(
            said_of({"residual": theory.residual_gradient_correlation}, (*_SHALLOW, 8)),
            0.1,
            relative=True,
        ),
        figure="correlation",
        topic=topics.FADING_RESIDUAL,
    ),
    Claim(
        name="rescaled-law",
        sentence="In a residual network with batch norm it is a product in which every branch is divided by the "
        "channel variance of the stream, which grows by (1 - 1/π) β² per block.",
        source=f"Derived, refining {BALDUZZI}, theorem 3",
        side="derived",
        effect=rescaled,
        prediction=Near(rescaled_law, 0.15, relative=True),
        figure="rescaled",
        topic=topics.FADING_RESIDUAL_BN,
    ),
    Claim(
        name="co-activation-law",
        sentence="Without norm two samples are ever more often both on: J'(c) / 2.",
        source="Derived from the arc-cosine kernel (Cho & Saul 2009)",
        side="derived",
        effect=both_on_when_bare,
        prediction=Near(both_on_law, 0.02),
        figure="coactivation",
        topic=topics.ASSUMPTION,
    ),
)
