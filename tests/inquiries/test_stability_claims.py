"""Every claim of `stability` can come out either way.

Truth: evidence made up from closed forms (`theoretical_world`), and the same evidence with one thing
wrong. A claim that is not listed in REFUTING fails, as does one that theory contradicts and that is
not listed in SUPPORTING.
"""

import numpy as np
import pytest
import xarray as xr
from tests.inquiries.theoretical_world import LAYERS, linear_rate, relu_rate, world

from skipnorm.inquiries import load
from skipnorm.verdicts import Identity, judge

INQUIRY = load("stability")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims}
GRADIENT, SIZE, VARIANCE = "gradient_mean_square", "mean_square", "channel_variance"


def times(quantity, factor, *variants):
    """The quantity times a factor, in these variants or in all."""

    def change(evidence):
        chosen = xr.zeros_like(evidence["variant"], dtype=bool)
        chosen[:] = [not variants or name in variants for name in evidence["variant"].values]
        evidence[quantity] = evidence[quantity] * xr.where(chosen, factor, 1.0)
        return evidence

    return change


def growing(quantity, factor, *variants):
    """The quantity times a factor per layer, on top of what it is."""
    power = xr.DataArray(np.arange(LAYERS), {"layer": np.arange(LAYERS)}, "layer")
    return times(quantity, factor**power, *variants)


def steady(quantity, *variants):
    """The quantity the same at every layer, in these variants."""

    def change(evidence):
        for variant in variants or evidence["variant"].values:
            at = evidence[quantity].sel(variant=variant)
            evidence[quantity].loc[{"variant": variant}] = xr.where(at.notnull(), 1.0, np.nan)
        return evidence

    return change


def untouched(evidence):
    return evidence


def risen(evidence):
    """The squared mean rises by 0.01 per block where it should not."""
    layers = xr.DataArray(np.arange(LAYERS), {"layer": np.arange(LAYERS)}, "layer")
    mean = evidence["channel_squared_mean"]
    here = xr.where(evidence["variant"] == "act-norm-weight", 0.01 * layers, 0.0)
    evidence["channel_squared_mean"] = mean + here
    return evidence


def steeper(evidence):
    """The variance of one order rises by a tenth more than it should."""
    values = evidence[VARIANCE]
    here = evidence["variant"] == "act-norm-weight"
    evidence[VARIANCE] = values + xr.where(here, 0.1 * (values - 1), 0.0)
    return evidence


RELU_BN = [f"relu BN B={batch}" for batch in (8, 32, 128)]
LOSS, SLOPE, NEAR, SQUARE = "training_loss", "mean_derivative", "near_one", "mean_squared_value"
NORMED_J = ("J linear BN", "J ReLU BN")


def flat(quantity, value, *variants):
    """The quantity the same wherever it was measured, in these variants; a thousandth of noise stays."""

    def change(evidence):
        for variant in variants:
            at = evidence[quantity].sel(variant=variant)
            noise = at / at.mean("seed")
            evidence[quantity].loc[{"variant": variant}] = value * noise
        return evidence

    return change


def learned(evidence):
    """The tanh network without batch norm keeps its mean derivative."""
    at = evidence[SLOPE].sel(variant="tanh learner", step=0)
    there = {"variant": "tanh learner", "step": evidence["step"].values[-1]}
    evidence[SLOPE].loc[there] = 0.999 * at.values
    return evidence


SUPPORTING = {  # what theory contradicts: the world in which the claim would hold
    "bn-helps-gradients-in-chaos": steady(GRADIENT, "large tanh BN"),
    "bn-keeps-the-gradient": steady(GRADIENT, *RELU_BN),
    "one-layer-without-target": times("printed_error", 1e-16, "one layer"),
    "chain-as-printed": times("printed_error", 1e-16, "four units in a row"),
    "bn-trains-at-any-depth": flat(LOSS, 0.1, "plain BN, 64 blocks"),
    "bn-layers-are-isometric": flat(NEAR, 0.95, *NORMED_J),
}

REFUTING = {
    "bn-helps-gradients-in-chaos": untouched,
    "bn-keeps-the-gradient": untouched,
    "norm-before-weights-centres": risen,
    "one-layer-gradient": times("gradient_error", 1e10, "one layer"),
    "one-layer-without-target": untouched,
    "chain-as-printed": untouched,
    "chain-corrected": times("gradient_error", 1e10, "four layers"),
    "off-critical-products": growing(GRADIENT, 0.9, "tanh σ²=1.3"),
    "critical-products-stay": growing(GRADIENT, 1.05, "relu"),
    "tanh-mean-field": growing(GRADIENT, 1.05, "tanh σ²=4"),
    "bn-steadies-derivatives": flat(SLOPE, 0.6, "tanh slopes"),
    "derivative-of-a-gaussian": times(SLOPE, 1.05, "sigmoid BN slopes"),
    "bn-steadies-derivatives-in-training": learned,
    "bn-mends-training": times(LOSS, 2.0, "plain BN, 32 blocks"),
    "bn-trains-at-any-depth": untouched,
    "bn-stops-beyond-sixteen-xi": flat(LOSS, 0.1, "plain BN, 64 blocks"),
    "bn-harms-beyond-it": times(LOSS, 2.0, "plain, 64 blocks"),
    "orthogonal-linear-is-isometric": times("unit_error", 1e8, "J linear orthogonal"),
    "gaussian-linear-is-not": flat(NEAR, 0.5, "J linear"),
    "fuss-catalan-edge": times("largest_square", 0.9, "J edge"),
    "relu-is-never-isometric": flat(NEAR, 0.9, "J ReLU orthogonal"),
    "bn-layers-are-isometric": untouched,
    "bn-leaves-isometry": flat(SQUARE, 1.0, "J linear BN"),
    "variance-slopes": steeper,
    "product-leaves-scale": times("log_size_mean", 0.2, "He draws"),
    "mean-gain-is-one": times(SIZE, 0.8, "He draws"),
    "bn-keeps-the-signal": growing(SIZE, 0.5, "small relu BN"),
    "bn-helps-gradients-off-scale": growing(GRADIENT, 0.5, "small relu BN"),
    "bn-causes-explosion": steady(GRADIENT, "relu BN B=32"),
    "bn-explodes-for-every-activation": growing(GRADIENT, linear_rate(32), "linear BN B=32"),
    "bn-explodes-most": growing(GRADIENT, 1 / relu_rate(32), "relu LN"),
    "skips-end-the-explosion": growing(GRADIENT, 1 / 1.2, "residual BN"),
    "skips-keep-the-gradient": growing(GRADIENT, 1.2, "NF"),
    "bn-relu-rate": growing(GRADIENT, 1.03, "relu BN B=32"),
    "bn-linear-rate": growing(GRADIENT, 1.05, "linear BN B=8"),
    "bn-tanh-between": growing(GRADIENT, 1 / relu_rate(32), "tanh BN B=32"),
    "bare-rates": growing(GRADIENT, 1.05, "large tanh"),
    "residual-bn-polynomial": growing(GRADIENT, 1 / 1.01, "residual BN"),
    "log-gain-mean": times("log_size_mean", 1.2, "He draws"),
    "log-gain-variance": times("log_size_variance", 0.8, "He draws"),
    "channel-variance-decays": growing(VARIANCE, 0.98, "He panel B=32"),
    "bn-keeps-samples-apart": growing(VARIANCE, 0.98, "relu BN B=128"),
    "squared-mean-slopes": times("branch_squared_mean", 1.05, "residual BN"),
    "branch-variances": times("branch_variance", 1.05, "weight-norm-act"),
    "nf-variance": growing(VARIANCE, 1.005, "NF"),
    "doubling-without-norm": growing(SIZE, 1.05, "residual"),
    "scaled-shortcuts": times("direct", 1.001, "0.9 shortcut, BN branch"),
    "shortcut-plus-branch": times("elsewhere", 1e10, "small residual"),
    "shortcut-share": times("shortcut_share", 0.9, "residual"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_supported_where_it_holds(name):
    verdict = judge(CLAIMS[name], SUPPORTING.get(name, untouched)(world()))
    assert verdict.ruling == "supported", verdict.reason


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_refuted_where_it_does_not(name):
    verdict = judge(CLAIMS[name], REFUTING[name](world()))
    assert verdict.ruling == "refuted", verdict.reason


def test_no_world_is_made_for_a_claim_that_is_gone():
    assert set(SUPPORTING) <= set(CLAIMS)
    assert set(REFUTING) == set(CLAIMS)


def test_with_four_seeds_nothing_but_identities_is_ruled_on():
    evidence = world().isel(seed=slice(4))
    ruled = [name for name in CLAIMS if judge(CLAIMS[name], evidence).ruling != "undecided"]
    exact = [name for name in CLAIMS if isinstance(CLAIMS[name].prediction, Identity)]
    assert ruled == exact


def test_the_essay_and_its_critics_stand_side_by_side():
    sides = [claim.side for claim in INQUIRY.claims]
    assert {"essay", "paper", "counter", "derived"} == set(sides)


def test_every_figure_draws_theory_beside_the_measurement():
    evidence = world()
    for name, draw in INQUIRY.figures.items():
        roles = {(trace.meta or {}).get("role") for trace in draw(evidence).data}
        beside = "band" if name == "forest" else "theory"
        assert {"measured", beside} <= roles, name
