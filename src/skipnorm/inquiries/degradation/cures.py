"""What makes a deep network train: skips, norms, or beginning near the identity?"""

from __future__ import annotations

import xarray as xr

from skipnorm.inquiries.degradation.effects import ended, known
from skipnorm.inquiries.degradation.study import DEEP, name_of
from skipnorm.inquiries.effects import cases
from skipnorm.verdicts import AtLeast, AtMost, Claim

__all__ = ["CLAIMS"]

_TOPIC = "What cures it: skips, norms, or beginning near the identity?"


def over_plain(evidence: xr.Dataset) -> xr.DataArray:
    """The training loss with skips over that without, norm for norm."""
    pairs = {"without norm": ("residual", "plain"), "batch norm": ("residual BN", "plain BN")}
    return cases(
        {
            name: ended(evidence, with_skips, DEEP) / ended(evidence, without, DEEP)
            for name, (with_skips, without) in pairs.items()
        }
    )


def over_bare(evidence: xr.Dataset) -> xr.DataArray:
    """The training loss of plain networks with a norm over that without."""
    bare = ended(evidence, "plain", DEEP)
    return cases({name: ended(evidence, name, DEEP) / bare for name in ("plain BN", "plain LN")})


def spread(evidence: xr.Dataset) -> xr.DataArray:
    """The largest training loss of residual networks with batch norm over the smallest, over depths."""
    found = [ended(evidence, "residual BN", depth) for depth in known(evidence, "residual BN")]
    every = xr.concat(found, "case")
    return every.max("case", skipna=False) / every.min("case", skipna=False)


def bare_residual(evidence: xr.Dataset) -> xr.DataArray:
    """The training loss of a deep residual network without norm; infinite where it diverged."""
    return ended(evidence, "residual", DEEP)


def near_identity(evidence: xr.Dataset) -> xr.DataArray:
    """The training loss of deep residual networks that begin near the identity."""
    return cases(
        {
            name_of(family, depth): ended(evidence, family, depth)
            for family in ("SkipInit", "ReZero", "Fixup")
            for depth in known(evidence, family)
            if depth >= DEEP
        }
    )


def looks_linear(evidence: xr.Dataset) -> xr.DataArray:
    """The training loss of a deep plain network that begins as a linear one."""
    return ended(evidence, "looks linear", DEEP)


CLAIMS = (
    Claim(
        name="skips-cure",
        sentence="Skip connections solve the degradation problem: at 32 blocks they lower the training loss to a tenth "
        "or less, with and without batch norm.",
        source="The essay, Solving the Network Degradation Problem",
        side="essay",
        effect=over_plain,
        prediction=AtMost(0.1),
        scale="log",
        figure="families",
        caveats=(
            "The residual networks of He et al. all have batch norm; the essay names skips alone.",
        ),
        topic=_TOPIC,
    ),
    Claim(
        name="norms-cure",
        sentence="Normalisation mitigates the instability of deep plain networks: at 32 blocks batch norm or layer "
        "norm lowers the training loss to a tenth or less.",
        source="The essay, Improving Numerical Stability, taken at its word for deep plain networks",
        side="essay",
        effect=over_bare,
        prediction=AtMost(0.1),
        scale="log",
        figure="families",
        topic=_TOPIC,
    ),
    Claim(
        name="residual-bn-is-flat",
        sentence="Residual networks with batch norm do not degrade: over all depths the training loss stays within a "
        "factor of 5.",
        source="He et al. 2015, figure 6; the factor from a calibration",
        side="paper",
        effect=spread,
        prediction=AtMost(5.0),
        scale="log",
        figure="depth",
        topic=_TOPIC,
    ),
    Claim(
        name="skips-alone-fail",
        sentence="Skips alone do not cure: without norm and branch scale a residual network of 32 blocks diverges or "
        "ends with a training loss of 0.3 or more.",
        source="Zhang et al. 2019; De & Smith 2020; the number from a calibration",
        side="counter",
        effect=bare_residual,
        prediction=AtLeast(0.3),
        scale="log",
        figure="families",
        topic=_TOPIC,
    ),
    Claim(
        name="near-identity-suffices",
        sentence="Beginning near the identity suffices, without any norm: SkipInit, ReZero and Fixup of 32 blocks or "
        "more reach a training loss of 0.01 or less.",
        source="De & Smith 2020; Bachlechner et al. 2020; Zhang et al. 2019",
        side="counter",
        effect=near_identity,
        prediction=AtMost(0.01),
        scale="log",
        figure="families",
        topic=_TOPIC,
    ),
    Claim(
        name="looks-linear-suffices",
        sentence="Neither skip nor norm is needed: a plain network of 32 blocks that begins as a linear one, whose "
        "gradients are not shattered, reaches a training loss of 0.01 or less.",
        source="Balduzzi et al. 2017, section 4",
        side="counter",
        effect=looks_linear,
        prediction=AtMost(0.01),
        scale="log",
        figure="families",
        caveats=(
            "Concatenated ReLUs double the weights of a block.",
            "The number is that of the other initialisations, for comparison.",
        ),
        topic=_TOPIC,
    ),
)
