"""What is claimed of the Hessian: its largest eigenvalue, frozen statistics, outliers, and how far it reaches."""

from __future__ import annotations

import xarray as xr

from skipnorm.inquiries.effects import cases
from skipnorm.inquiries.landscape.effects import PAIR, along, during, end, initial, ratio
from skipnorm.verdicts import AtLeast, AtMost, Claim, Equivalent

__all__ = ["CLAIMS"]

_RAO = "Rao & Sohl-Dickstein 2020"
_YAO = "Yao et al. 2020 (PyHessian)"
_CURVED, _FROZEN = "Curvature", "Statistics active or frozen"
_FIRST, _OUTLIERS = "At initialisation", "Outliers of the spectrum"
_REACH = "Of ReLU networks: how far their Hessian reaches is a claim of its own below."
_SMALL = (
    "The smaller the loss, the smaller its curvature: networks that learn faster look smoother for that alone.",
    _REACH,
)


def top(evidence: xr.Dataset, variant: str, case: str = "active") -> xr.DataArray:
    """The largest eigenvalue during training."""
    return during(evidence, variant, "sharpness", case=case)


def top_deep(evidence: xr.Dataset) -> xr.DataArray:
    """The largest eigenvalue at 16 blocks, without BN over with."""
    return top(evidence, "deep plain") / top(evidence, "deep plain BN")


def top_shallow(evidence: xr.Dataset) -> xr.DataArray:
    """The largest eigenvalue at 4 blocks, without BN over with."""
    return top(evidence, "shallow plain") / top(evidence, "shallow plain BN")


def frozen_over_active(evidence: xr.Dataset) -> xr.DataArray:
    """The largest eigenvalue with the statistics frozen over with them active, same weights."""
    names = ("deep plain BN", "shallow plain BN", "deep residual BN")
    return cases({name: top(evidence, name, "frozen") / top(evidence, name) for name in names})


def frozen_over_none(evidence: xr.Dataset) -> xr.DataArray:
    """The largest eigenvalue of the BN network with frozen statistics over the network without."""
    return top(evidence, "deep plain BN", "frozen") / top(evidence, "deep plain")


def first_deep(evidence: xr.Dataset) -> xr.DataArray:
    """At initialisation, 26 blocks: with BN over without norm, and over layer norm."""
    normed = initial(evidence, "plain BN", 26)
    names = {"over no norm": "plain", "over layer norm": "plain LN"}
    return cases({case: normed / initial(evidence, name, 26) for case, name in names.items()})


def first_shallow(evidence: xr.Dataset) -> xr.DataArray:
    """At initialisation, 8 blocks: without norm over with BN."""
    return initial(evidence, "plain", 8) / initial(evidence, "plain BN", 8)


def first_residual(evidence: xr.Dataset) -> xr.DataArray:
    """At initialisation, 26 blocks with skips: with BN over without norm."""
    return initial(evidence, "residual BN", 26) / initial(evidence, "residual", 26)


def early_drop(evidence: xr.Dataset) -> xr.DataArray:
    """The largest eigenvalue of the deep BN network after 20 steps over that at initialisation."""
    found = along(evidence, "deep plain BN", "sharpness", case="active")
    return found.isel(step=1, drop=True) / found.isel(step=0, drop=True)


def outliers_bn(evidence: xr.Dataset) -> xr.DataArray:
    """How far the first eigenvalue stands above the tenth, without BN over with."""
    return ratio(evidence, "outlier_ratio", *PAIR)


def outliers_last(evidence: xr.Dataset) -> xr.DataArray:
    """The same at the end of training."""
    one, other = (end(evidence, name, "outlier_ratio") for name in PAIR)
    return one / other


def step_curvature(evidence: xr.Dataset) -> xr.DataArray:
    """Finite-difference curvature along the top eigenvector over the Hessian's, early in training."""
    names = ("deep plain", "deep plain BN", "deep residual BN")
    where = {"direction": "eigenvector_1"}
    found = {name: along(evidence, name, "step_curvature_ratio", **where) for name in names}
    return cases({name: array.isel(step=1, drop=True) for name, array in found.items()})


CLAIMS = (
    Claim(
        "bn-lowers-curvature",
        "Batch norm lowers the largest eigenvalue of the Hessian of a deep plain network, by a factor of 3 or more.",
        "Page 2019: 3486 without, 128 with; the essay's sharp minima",
        "paper",
        top_deep,
        AtLeast(3.0),
        "log",
        "eigenvalues",
        caveats=_SMALL,
        topic=_CURVED,
    ),
    Claim(
        "deep-nets-are-smoothed",
        "Where batch norm smooths, it is in deep networks: the largest eigenvalue is lower by a third or more.",
        _YAO,
        "counter",
        top_deep,
        AtLeast(1.5),
        "log",
        "eigenvalues",
        caveats=_SMALL,
        topic=_CURVED,
    ),
    Claim(
        "shallow-nets-are-not",
        "In shallow networks batch norm does not smooth: the largest eigenvalue is lower by less than a third.",
        _YAO,
        "counter",
        top_shallow,
        AtMost(1.5),
        "log",
        "eigenvalues",
        caveats=_SMALL,
        topic=_CURVED,
    ),
    Claim(
        "frozen-is-far-sharper",
        "At the same weights freezing the statistics of batch norm raises the largest eigenvalue fivefold or more.",
        "Page 2019: 128 active, 2246 frozen",
        "paper",
        frozen_over_active,
        AtLeast(5.0),
        "log",
        "frozen",
        caveats=(_REACH,),
        topic=_FROZEN,
    ),
    Claim(
        "frozen-is-sharper",
        "At the same weights freezing the statistics of batch norm raises the largest eigenvalue by a quarter or more.",
        "derived: a constant statistic does not resist the step",
        "derived",
        frozen_over_active,
        AtLeast(1.25),
        "log",
        "frozen",
        topic=_FROZEN,
    ),
    Claim(
        "frozen-is-like-none",
        "With its statistics frozen the batch norm network is about as sharp as the one without, within a factor of 3.",
        "Page 2019: 2246 frozen, 3486 without",
        "paper",
        frozen_over_none,
        Equivalent(factor=3.0),
        "log",
        "frozen",
        caveats=(_REACH,),
        topic=_FROZEN,
    ),
    Claim(
        "bn-is-sharpest-at-first",
        "At initialisation, deep and without skips, batch norm has the largest top eigenvalue of all: 1.5 times that "
        "of no norm and of layer norm, or more.",
        f"{_RAO}, 26 layers",
        "counter",
        first_deep,
        AtLeast(1.5),
        "log",
        "initial",
        caveats=(_REACH,),
        topic=_FIRST,
    ),
    Claim(
        "bn-is-flattest-at-first",
        "At initialisation batch norm makes a plain network of 8 blocks flatter: by a factor of 2 or more.",
        "derived, from a calibration: 64 without, 2.6 with",
        "derived",
        first_shallow,
        AtLeast(2.0),
        "log",
        "initial",
        caveats=(_REACH,),
        topic=_FIRST,
    ),
    Claim(
        "not-with-skips",
        "With skips the sharpness that batch norm brings at initialisation is gone: no larger than without norm.",
        _RAO,
        "counter",
        first_residual,
        AtMost(1.0),
        "log",
        "initial",
        caveats=(_REACH,),
        topic=_FIRST,
    ),
    Claim(
        "sharpness-drops-early",
        "The sharpness of the deep batch norm network at initialisation is gone after 20 steps: halved or less.",
        f"{_RAO}: within 50 steps",
        "counter",
        early_drop,
        AtMost(0.5),
        "log",
        "eigenvalues",
        topic=_FIRST,
    ),
    Claim(
        "bn-suppresses-outliers",
        "Without batch norm large isolated eigenvalues appear: the first stands 1.5 times as far above the tenth.",
        "Ghorbani et al. 2019",
        "paper",
        outliers_bn,
        AtLeast(1.5),
        "log",
        "outliers",
        topic=_OUTLIERS,
    ),
    Claim(
        "outliers-go-anyway",
        "Later in training outliers are suppressed with any normaliser but layer norm, and without one: at the end "
        "the first eigenvalue stands as far above the tenth without batch norm as with it, within a factor of 1.5.",
        _RAO,
        "counter",
        outliers_last,
        Equivalent(factor=1.5),
        "log",
        "outliers",
        topic=_OUTLIERS,
    ),
    Claim(
        "hessian-tells-the-step",
        "The Hessian tells how the loss curves over a thousandth of the weight norm: finite differences along its top "
        "eigenvector agree within a factor of 2, kinks of ReLU notwithstanding.",
        "derived: a Hessian is only of use as far as it reaches",
        "derived",
        step_curvature,
        Equivalent(factor=2.0),
        figure="reach",
        topic="How far the Hessian reaches",
    ),
)
