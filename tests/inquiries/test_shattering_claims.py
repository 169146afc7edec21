"""Every claim of `shattering` can come out either way.

Truth: evidence made up from closed forms (`shattered_world`), and the same evidence with one thing wrong. A claim
that is not listed in REFUTING fails, as does one that theory contradicts and that is not listed in SUPPORTING.
"""

import numpy as np
import pytest
import xarray as xr
from tests.inquiries.shattered_world import LEARNERS, WITHOUT_MOMENTUM, world

from skipnorm.inquiries import load
from skipnorm.verdicts import judge

INQUIRY = load("shattering")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims}
SEGMENTS, LIKE = "segment_autocorrelation", "batch_gradient_cosine"
ACF, PAIRS, BOTH = "input_gradient_autocorrelation", "gradient_correlation", "co_activation"


def plus(quantity, amount, *variants):
    """The quantity more by an amount, in these variants."""

    def change(evidence):
        chosen = [name in variants for name in evidence["variant"].values]
        here = xr.DataArray(chosen, {"variant": evidence["variant"]}, "variant")
        evidence[quantity] = evidence[quantity] + xr.where(here, amount, 0.0)
        return evidence

    return change


def times(quantity, factor, *variants):
    """The quantity times a factor, in these variants."""

    def change(evidence):
        chosen = [name in variants for name in evidence["variant"].values]
        here = xr.DataArray(chosen, {"variant": evidence["variant"]}, "variant")
        evidence[quantity] = evidence[quantity] * xr.where(here, factor, 1.0)
        return evidence

    return change


def set_to(quantity, variant, law):
    """The quantity of one variant by a law of depth, with a little noise between seeds."""

    def change(evidence):
        noise = 1 + 1e-3 * np.random.default_rng(1).standard_normal(evidence.sizes["seed"])
        read = evidence[quantity].sel(variant=variant).dropna("layer", how="all")["layer"].values
        for depth in read.tolist():
            evidence[quantity].loc[{"variant": variant, "layer": depth}] = law(depth) * noise
        return evidence

    return change


def untouched(evidence):
    return evidence


def uneven(evidence):
    """The looks-linear network's gradient changes in its ninth digit."""
    at = {"variant": "line looks linear", "x": evidence["x"].values[7]}
    evidence["input_gradient"].loc[at] = evidence["input_gradient"].loc[at] * (1 + 1e-9)
    return evidence


def ending(loss, *variants):
    """These variants end with this training loss, at every rate."""

    def change(evidence):
        for variant in variants:
            known = evidence["training_loss"].sel(variant=variant).notnull()
            evidence["training_loss"].loc[{"variant": variant}] = xr.where(known, loss, np.nan)
        return evidence

    return change


def in_order_of_acf(evidence):
    """The higher the autocorrelation, the lower the training loss."""
    for rank, name in enumerate(sorted(LEARNERS, key=lambda name: LEARNERS[name][0])):
        evidence = ending(10.0**-rank, f"{name}, with momentum")(evidence)
    return evidence


SUPPORTING = {  # what theory contradicts: the world in which the claim would hold
    "plain-gradients-are-white": times(ACF, 0.05, "line plain"),
    "halved-by-plain-layers": set_to(PAIRS, "plain", lambda n: 0.5**n),
    "three-quarters-per-block": set_to(PAIRS, "residual", lambda n: 0.75**n),
    "inverse-square-root": set_to(PAIRS, "residual BN", lambda n: n**-0.5),
    "acf-predicts-performance": in_order_of_acf,
    "shattering-undermines-momentum": ending(
        0.06 * WITHOUT_MOMENTUM / 2, "plain BN, without momentum"
    ),
    "most-alike-ends-best": ending(0.0005, "residual LN, with momentum"),
}

REFUTING = {
    "plain-gradients-are-white": untouched,
    "halved-by-plain-layers": untouched,
    "three-quarters-per-block": untouched,
    "inverse-square-root": untouched,
    "skips-raise-acf": plus(ACF, 0.7, "line BN"),
    "little-to-raise-without-norm": plus(ACF, 0.1, "line residual"),
    "deep-gradients-are-white": plus(ACF, 0.2, "line BN"),
    "plain-gradients-remember": times(ACF, 0.8, "line plain"),
    "norm-shatters": plus(ACF, 0.6, "line centred"),
    "one-layer-is-brown": times(ACF, 0.95, "line plain"),
    "bn-resnets-lie-between": times(ACF, 0.5, "line residual BN"),
    "rescaling-raises-acf": times(ACF, 0.9, "line residual BN β=0.1"),
    "acf-ranks-plain-above-residual": plus(ACF, 0.2, "line residual BN"),
    "looks-linear-is-constant": uneven,
    "line-process": plus(ACF, 0.06, "line residual"),
    "assumption-is-strong": times(BOTH, 0.6, "plain"),
    "assumption-holds-with-norm": times(BOTH, 1.1, "residual BN"),
    "plain-correlation-lasts": set_to(PAIRS, "plain", lambda n: 0.5**n),
    "two-measures-disagree": times(PAIRS, 5.0, "plain"),
    "acf-predicts-performance": untouched,
    "acf-misleads": ending(0.001, "residual, with momentum"),
    "acf-misleads-without-skips": ending(0.001, "plain, with momentum"),
    "shattering-undermines-momentum": untouched,
    "momentum-gains-little": ending(0.3, "plain, without momentum"),
    "batch-norm-decorrelates": plus(LIKE, 0.3, "learner residual BN"),
    "least-alike-ends-best": ending(0.0005, "residual LN, with momentum"),
    "most-alike-ends-best": untouched,
    "halved-by-normed-layers": times(PAIRS, 1.1, "BN"),
    "plain-law": times(PAIRS, 1.15, "plain"),
    "plain-law-deep": times(PAIRS, 1.3, "plain"),
    "residual-law": times(PAIRS, 0.85, "residual"),
    "rescaled-law": times(PAIRS, 1.2, "residual BN β=0.1"),
    "co-activation-law": plus(BOTH, 0.03, "residual"),
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


def test_with_four_seeds_nothing_but_the_identity_is_ruled_on():
    evidence = world().isel(seed=slice(4))
    ruled = [name for name in CLAIMS if judge(CLAIMS[name], evidence).ruling != "undecided"]
    assert ruled == ["looks-linear-is-constant"]


def test_the_essay_and_its_critics_stand_side_by_side():
    assert {"essay", "paper", "counter", "derived"} == {claim.side for claim in INQUIRY.claims}


@pytest.mark.parametrize("name", INQUIRY.figures)
def test_every_figure_draws_theory_beside_the_measurement(name):
    figure = INQUIRY.figures[name](world())
    roles = {(trace.meta or {}).get("role") for trace in figure.data}
    beside = {
        "forest": {"band"},
        "gradients": set(),
        "performance": set(),
        "batches": set(),
    }.get(name, {"theory"})
    assert {"measured"} | beside <= roles


def test_every_variant_is_judged():
    """A network that nobody looks at is paid for in vain."""
    before = {name: claim.effect(world()) for name, claim in CLAIMS.items()}
    learned = ("performance", "momentum", "batches")
    for variant in world()["variant"].values:
        taught = "learner" in variant or "momentum" in variant
        if taught:
            changed = times("training_loss", 1000.0, variant)(world())
            worlds = [plus(SEGMENTS, by, variant)(changed.copy()) for by in (-2.0, -0.35, 2.0)]
        else:
            bent = xr.DataArray(np.arange(256.0), dims="x")
            changed = plus("input_gradient", bent, variant)(plus(ACF, 1.0, variant)(world()))
            worlds = [plus(PAIRS, 1.0, variant)(changed)]
        assert any(
            not claim.effect(each).equals(before[name])
            for name, claim in CLAIMS.items()
            for each in worlds
            if taught == (claim.figure in learned)
        ), variant
