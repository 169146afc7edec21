"""From evidence to effects of `placement`: one number per seed, and per case where a claim has several."""

from __future__ import annotations

from collections.abc import Callable

import xarray as xr

from skipnorm.formulas import theory
from skipnorm.inquiries.effects import best, cases, numbered, of
from skipnorm.inquiries.placement import laws
from skipnorm.inquiries.placement.study import DRAWN_BATCH, PLACEMENTS

__all__ = [
    "accuracy_by_affine",
    "accuracy_by_placement",
    "accuracy_lead",
    "along",
    "centred",
    "centred_law",
    "depth_of",
    "fit_ratio",
    "gradient_law",
    "gradient_ratios",
    "growth",
    "late_growth_ratio",
    "loss_of_accuracy",
    "moving_lead",
    "plain_growths",
    "preactivation_lead",
    "relu_growth",
    "risen_mean",
    "risen_mean_law",
    "stable_rate",
    "stable_ratio",
]

FIRST, LAST = 3, 5
"""Growth per layer leaves out the first layers, which still settle, and the last, which see the loss."""

SETTINGS = {
    "4 layers": ("before", "after"),
    "4 layers, no scale and shift": ("before bare", "after bare"),
    "16 layers": ("deep before", "deep after"),
    "convnet": ("convnet before", "convnet after"),
}
"""Networks that differ in whether the norm comes before the activation or after it."""


def accuracy_lead(*settings: str, of_after: bool) -> Callable[[xr.Dataset], xr.DataArray]:
    """By how much test accuracy is better with the norm after the activation, or before it."""

    def effect(evidence: xr.Dataset) -> xr.DataArray:
        found = {}
        for setting in settings:
            before, after = (best(evidence, name, "test_accuracy") for name in SETTINGS[setting])
            found[setting] = after - before if of_after else before - after
        return cases(found)

    return effect


def accuracy_by_affine(evidence: xr.Dataset) -> xr.DataArray:
    """What scale and shift add to test accuracy, by place of the norm."""
    return cases(
        {
            f"norm {place}": best(evidence, place, "test_accuracy")
            - best(evidence, f"{place} bare", "test_accuracy")
            for place in ("before", "after")
        }
    )


def stable_rate(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """The largest rate of a variant's grid up to which training does not diverge."""
    from skipnorm.evidence.rates import largest_stable_rate

    found = largest_stable_rate(evidence.sel(variant=[variant]))["largest_stable_rate"]
    return found.sel(variant=variant, drop=True)


def stable_ratio(evidence: xr.Dataset) -> xr.DataArray:
    """How much larger rates can be where frozen norms stand after the activation."""
    return stable_rate(evidence, "frozen after") / stable_rate(evidence, "frozen before")


def moving_lead(evidence: xr.Dataset) -> xr.DataArray:
    """How much larger rates can be where statistics are those of the batch."""
    return cases(
        {
            f"norm {place}": stable_rate(evidence, place) / stable_rate(evidence, f"frozen {place}")
            for place in ("before", "after")
        }
    )


def loss_of_accuracy(worse: str, better: str) -> Callable[[xr.Dataset], xr.DataArray]:
    """By how much the test accuracy of one placement is below that of another."""

    def effect(evidence: xr.Dataset) -> xr.DataArray:
        return best(evidence, better, "test_accuracy") - best(evidence, worse, "test_accuracy")

    return effect


def preactivation_lead(evidence: xr.Dataset) -> xr.DataArray:
    """By how much the test accuracy of full pre-activation is above that of the other placements."""
    full = PLACEMENTS[-1]
    return cases({order: loss_of_accuracy(order, full)(evidence) for order in PLACEMENTS[:-1]})


def accuracy_by_placement(evidence: xr.Dataset) -> xr.DataArray:
    """Test accuracy of the other placements minus the original's."""
    original = best(evidence, "original", "test_accuracy")
    return cases(
        {order: best(evidence, order, "test_accuracy") - original for order in PLACEMENTS[1:]}
    )


def fit_ratio(evidence: xr.Dataset) -> xr.DataArray:
    """The training loss with the norm after the addition over the original's."""
    losses = (best(evidence, name, "training_loss") for name in ("norm-after-addition", "original"))
    harder, usual = losses
    return harder / usual


def along(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """A quantity of a drawn network over seed and layer."""
    return of(evidence, f"{variant}, drawn", quantity, rate=0.0).dropna("layer", how="all")


def depth_of(evidence: xr.Dataset, variant: str) -> int:
    """How many blocks a drawn network has."""
    return int(along(evidence, variant, "gradient")["layer"].max())


def growth(evidence: xr.Dataset, variant: str, first: int, last: int) -> xr.DataArray:
    """Growth of the squared gradient per block, from behind block `last` to behind block `first`."""
    sizes = along(evidence, variant, "gradient")
    ends = (sizes.sel(layer=layer, drop=True) for layer in (first, last))
    near, far = ends
    return (near / far) ** (1 / (last - first))


def plain_growths(evidence: xr.Dataset) -> xr.DataArray:
    """Growth per layer in plain networks, by place of the norm."""
    found = {}
    for place in ("before", "after"):
        found[f"norm {place}"] = growth(evidence, place, FIRST, depth_of(evidence, place) - LAST)
    return cases(found)


def relu_growth(evidence: xr.Dataset) -> xr.DataArray:
    """What theory says of the norm before the activation, for both."""
    law = theory.relu_batchnorm_explosion_rate(DRAWN_BATCH)
    return numbered({str(case): law for case in plain_growths(evidence)["case"].values})


def centred(evidence: xr.Dataset) -> xr.DataArray:
    """Which share of the mean square of what enters the tenth matrix is common to all samples."""
    found = {}
    for place in ("before", "after"):
        mean = along(evidence, place, "squared_mean").sel(layer=9, drop=True)
        rest = along(evidence, place, "variance").sel(layer=9, drop=True)
        found[f"norm {place}"] = mean / (mean + rest)
    return cases(found)


def centred_law(_: xr.Dataset) -> xr.DataArray:
    """1/pi for a ReLU of a normalised Gaussian, nothing for a norm."""
    return numbered({"norm before": 1 - 2 * theory.RELU_VARIANCE, "norm after": 0.0})


def gradient_ratios(evidence: xr.Dataset) -> xr.DataArray:
    """The squared gradient in front of all blocks over the one behind them, where there is a law."""
    return cases({order: _whole(evidence, order) for order in laws.GROWTH})


def gradient_law(evidence: xr.Dataset) -> xr.DataArray:
    """The laws at the networks' depth."""
    return numbered({order: laws.ratio(order, depth_of(evidence, order)) for order in laws.GROWTH})


def late_growth_ratio(evidence: xr.Dataset) -> xr.DataArray:
    """Growth per block over the second half, with the norm after the addition over full pre-activation."""
    late = []
    for order in ("norm-after-addition", "full-preactivation"):
        depth = depth_of(evidence, order)
        late.append(growth(evidence, order, depth // 2, depth))
    return late[0] / late[1]


def risen_mean(evidence: xr.Dataset) -> xr.DataArray:
    """The squared channel mean behind the last block where the activation stands before the addition."""
    return along(evidence, "act-before-addition", "squared_mean").isel(layer=-1, drop=True)


def risen_mean_law(evidence: xr.Dataset) -> xr.DataArray:
    """The law at the network's depth."""
    return xr.DataArray(laws.squared_mean(depth_of(evidence, "act-before-addition")))


def _whole(evidence: xr.Dataset, order: str) -> xr.DataArray:
    sizes = along(evidence, order, "gradient")
    return sizes.isel(layer=0, drop=True) / sizes.isel(layer=-1, drop=True)
