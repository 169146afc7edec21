"""From evidence to effects: one number per seed, and per case where a claim has several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from skipnorm.formulas import theory
from skipnorm.formulas.binomial import poisson_binomial
from skipnorm.inquiries.effects import at_best_rate, best, cases, numbered

__all__ = [
    "NETWORKS",
    "accuracy",
    "behind",
    "bend_of_shares",
    "branch_odds",
    "broken",
    "half_rate",
    "measured_lengths",
    "path_law",
    "path_lengths",
    "rate_per_block",
    "ratio",
    "share_law",
    "start",
    "training_loss",
    "vanishing",
    "worse",
]

#: A rate is taken over the bulk, as in `stability`: the first layers still settle, the last see the loss.
FIRST, LAST = 3, 5

NETWORKS = ("residual", "residual BN", "SkipInit")


def start(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """A quantity of a variant before any training, as deep as the variant is."""
    whole = evidence[quantity].sel(variant=variant, drop=True)
    whole = whole.sel(step=0, drop=True) if "step" in whole.dims else whole
    return whole.max("rate")  # the same at every rate


def ratio(size: xr.DataArray) -> xr.DataArray:
    """The gradient in front of the first block over the one behind the last, in root mean square."""
    kept = size.dropna("layer", how="all")
    return (kept.isel(layer=0, drop=True) / kept.isel(layer=-1, drop=True)) ** 0.5


def rate_per_block(size: xr.DataArray) -> xr.DataArray:
    """By what the squared gradient grows per block in the bulk: the geometric mean."""
    kept = size.dropna("layer", how="all")
    last = int(kept["layer"][-1]) - LAST
    early, late = (kept.sel(layer=layer, drop=True) for layer in (FIRST, last))
    return (early / late) ** (1 / (last - FIRST))


def half_rate(shortcut: float = 0.5) -> float:
    """Growth of the squared gradient per block where the shortcut is scaled and the branch has batch norm.

    The stream's variance s settles where ``s = lambda^2 s + 1 - 1/pi``; a block lets lambda^2 through its shortcut and
    ``1 / s`` through its branch. At 0 it is the plain network's rate, at 1 there is no growth left.

    >>> [round(half_rate(shortcut), 3) for shortcut in (0.0, 0.5, 1.0)]
    [1.467, 1.35, 1.0]
    """
    return shortcut**2 + (1 - shortcut**2) / (2 * theory.RELU_VARIANCE)


def training_loss(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """The final loss on training data, at the rate chosen on validation data."""
    return best(evidence, variant, "training_loss")


def accuracy(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """The final accuracy on test data, at the rate chosen on validation data."""
    return best(evidence, variant, "test_accuracy")


def branch_odds(network: str, blocks: int) -> np.ndarray:
    """The squared gradient through each branch over that through its shortcut, in wide networks.

    >>> branch_odds("residual", 2), branch_odds("SkipInit", 4)
    (array([1., 1.]), array([0.25, 0.25, 0.25, 0.25]))
    """
    if network == "residual":
        return np.ones(blocks)
    if network == "SkipInit":
        return np.full(blocks, 1 / blocks)
    return np.asarray(1 / (1 + 2 * theory.RELU_VARIANCE * np.arange(blocks)))


def path_law(network: str, blocks: int) -> np.ndarray:
    """The share of the squared gradient by length of path, if branches act independently."""
    odds = branch_odds(network, blocks)
    return poisson_binomial(odds / (1 + odds))


def path_lengths(evidence: xr.Dataset) -> xr.DataArray:
    """The expected length of each network's paths."""
    lengths = {}
    for network in NETWORKS:
        law = path_law(network, evidence.sizes["length"] - 1)
        lengths[network] = float(law @ np.arange(len(law)))
    return numbered(lengths)


def measured_lengths(evidence: xr.Dataset) -> xr.DataArray:
    """The measured length of each network's paths."""
    return cases({name: start(evidence, f"paths: {name}", "path_length") for name in NETWORKS})


def bend_of_shares(evidence: xr.Dataset) -> xr.DataArray:
    """By what the share grows from paths of 0 branches to paths of 1, over the same from 1 to 2."""
    found = {}
    for name in NETWORKS[1:]:  # without norm the shortest paths are too rare to be met
        share = start(evidence, f"paths: {name}", "path_share")
        none, one, two = (share.sel(length=length, drop=True) for length in range(3))
        found[name] = one**2 / (none * two)
    return cases(found)


def broken(evidence: xr.Dataset) -> xr.DataArray:
    """The direction of what comes back through shortcuts that are no identities, or with a ReLU behind them."""
    return cases(
        {
            "ReLU after": start(evidence, "at start: ReLU after", "direct_cosine"),
            "projection": start(evidence, "projection", "direct_cosine"),
        }
    )


def share_law(blocks: int) -> np.ndarray:
    """The shortcut's share of the gradient, block by block, with batch norm in the branch."""
    return np.asarray(1 / (1 + branch_odds("residual BN", blocks)))


def vanishing(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    """The gradient at the input over the one at the output, before and after training."""
    return cases(
        {
            "at the start": ratio(start(evidence, variant, "gradient_size")),
            "after training": ratio(at_best_rate(evidence, variant, "gradient_size")),
        }
    )


def worse(evidence: xr.Dataset, variants: Sequence[str]) -> xr.DataArray:
    """How many times the identity's final training loss these shortcuts end with."""
    least = training_loss(evidence, "identity")
    return cases({name: training_loss(evidence, name) / least for name in variants})


def behind(evidence: xr.Dataset, variants: Sequence[str], identity: str) -> xr.DataArray:
    """Test accuracy of these shortcuts minus that of the identity."""
    usual = accuracy(evidence, identity)
    return cases({name: accuracy(evidence, name) - usual for name in variants})
