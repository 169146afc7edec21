"""The inquiry `placement`: through the real pipeline, small; what it reads, checked by hand; every claim both ways.

Truth: plain autograd, wide networks beside the laws, and evidence made up so that a claim holds or does not.
"""

import math

import numpy as np
import pytest
import torch
from tests.inquiries.made_up import put, puts, shaped_like

from skipnorm.formulas import theory
from skipnorm.inquiries import CATALOGUE, load
from skipnorm.inquiries.draws import Draws
from skipnorm.inquiries.placement import effects, laws
from skipnorm.inquiries.placement.networks import Frozen
from skipnorm.inquiries.placement.readings import stream
from skipnorm.inquiries.placement.study import (
    AFTER,
    DRAWN_BATCH,
    PLACEMENTS,
    Size,
    study,
    study_of,
)
from skipnorm.inquiries.subjects import TASK, learner, teaching
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.run import run
from skipnorm.tasks import Gaussian
from skipnorm.training.train import train
from skipnorm.verdicts import judge

INQUIRY = load("placement")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims}
TINY = Size(seeds=1, draws=1, width=12, layers=10, blocks=10, steps=2)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    return run(study_of(TINY), tmp_path_factory.mktemp("placement"), progress="off")


def test_the_whole_pipeline(evidence):
    for claim in INQUIRY.claims:
        verdict = judge(claim, evidence)
        assert verdict.ruling == "undecided", claim.name  # one seed decides nothing
        assert np.isfinite([case["effect"] for case in verdict.cases]).all(), claim.name
    for name, draw in INQUIRY.figures.items():
        assert any((trace.meta or {}).get("role") == "measured" for trace in draw(evidence).data), (
            name
        )


def test_the_catalogue_asks_what_the_inquiry_asks():
    (entry,) = [entry for entry in CATALOGUE if entry.name == "placement"]
    assert entry.question == INQUIRY.question


@pytest.mark.parametrize("scale", ["quick", "full"])
def test_initial_claims_have_twenty_draws_or_more(scale):
    asked = study(scale)
    counts = {v.network.count for name, v in asked.variants.items() if "drawn" in name}
    assert len(counts) == 1
    assert len(asked.seeds) * counts.pop() >= 20


def test_the_five_placements_are_compared_and_both_places():
    variants = study("quick").variants
    assert [variants[order].network.order for order in PLACEMENTS] == list(PLACEMENTS)
    assert variants["before"].network.order is None
    assert variants["after"].network.order == AFTER


# What is read


def bare(width=300, **fields):
    return Perceptron(
        stem=False, head=False, bias=False, affine=False, eps=0.0, norm="batch", width=width, **fields
    )  # fmt: skip


@pytest.mark.parametrize("order", PLACEMENTS)
def test_signal_and_gradient_are_those_of_plain_autograd(order):
    recipe = bare(width=6, depth=3, residual=True, order=order)
    inputs, covectors = Gaussian(6).batch(20, seed=1)
    network = recipe.build(seed=3).train()
    found = stream(recipe.build(seed=3), (inputs, covectors))
    for at in range(4):
        x = inputs
        for block in network.blocks[:at]:
            x = block(x)
        x = x.detach().requires_grad_()
        out = x
        for block in network.blocks[at:]:
            out = block(out)
        (gradient,) = torch.autograd.grad((out * covectors).sum(), x)
        here = found.sel(layer=at)
        assert here["gradient"].item() == pytest.approx(gradient.square().mean().item(), rel=1e-4)
        x = x.detach()
        assert here["squared_mean"].item() == pytest.approx(
            x.mean(0).square().mean().item(), rel=1e-4
        )
        assert here["variance"].item() == pytest.approx(
            x.var(0, unbiased=False).mean().item(), rel=1e-4
        )


def test_gradients_of_several_draws_are_averaged_as_ratios():
    recipe = bare(width=8, depth=4)
    batch = Gaussian(8).batch(20, seed=1)
    found = stream(Draws(recipe, 2).build(seed=1), batch)["gradient"].values
    first, second = (stream(recipe.build(seed), batch)["gradient"].values for seed in (2, 3))
    np.testing.assert_allclose(found, np.sqrt(first * second))


@pytest.mark.parametrize("order", laws.GROWTH)
def test_the_laws_hold_in_wide_networks(order):
    network = Draws(bare(depth=6, residual=True, order=order), 4).build(seed=7)
    sizes = stream(network, Gaussian(300).batch(300, seed=7))["gradient"].values
    assert sizes[0] / sizes[-1] == pytest.approx(laws.ratio(order, 6), rel=0.07)


def test_the_law_of_full_preactivation_written_out():
    block = math.pi / (math.pi - 1)  # one over what a ReLU leaves of the variance, twice
    by_hand = math.prod(1 + block / (1 + (1 - 1 / math.pi) * at) for at in range(8))
    assert laws.ratio("full-preactivation", 8) == pytest.approx(by_hand)


def test_frozen_norms_do_to_their_batch_what_norms_do_and_never_move():
    recipe = learner("plain BN", 2, order=AFTER)
    inputs, _ = TASK.batch(128, seed=5)
    frozen = Frozen(recipe, TASK).build(seed=5)
    moving = recipe.build(seed=5).train()
    torch.testing.assert_close(frozen(inputs), moving(inputs), rtol=1e-4, atol=1e-4)
    buffers = {name: value.clone() for name, value in frozen.named_buffers()}
    assert buffers
    (state,) = train(frozen.train(), TASK, teaching("quick", steps=3, rate=0.01), seed=0, at=(3,))
    for name, value in state.network.named_buffers():
        torch.testing.assert_close(value, buffers[name], rtol=0, atol=0)
    assert any("norm.weight" in name for name, _ in state.network.named_parameters())


# Every claim both ways


@pytest.fixture(scope="module")
def world(evidence):
    """Nothing diverged; every learner alike, every drawn network the same along its blocks."""
    made = shaped_like(evidence)
    for variant in made["variant"].values:
        if "drawn" in variant:
            for name in ("squared_mean", "variance", "gradient"):
                made = put(made, name, 1.0, variant=variant)
        else:
            for part in ("training", "validation", "test"):
                made = put(made, f"{part}_loss", 0.1, variant=variant)
                made = put(made, f"{part}_accuracy", 0.95, variant=variant)
    return made


def scored(**accuracies):
    """Test accuracies by variant; underscores stand for blanks."""
    return puts({(name.replace("_", " "), "test_accuracy"): v for name, v in accuracies.items()})


def lost(*losses, score):
    """A score of the five placements, in their order."""
    return puts({(order, score): loss for order, loss in zip(PLACEMENTS, losses, strict=True)})


def unstable(*variants):
    """Runs that diverge from a rate of 0.1 on."""

    def change(evidence):
        high = evidence["rate"].values[evidence["rate"].values > 0.1]
        for variant in variants:
            at = {"variant": variant, "rate": high}
            for part in ("training", "validation", "test"):
                values = evidence[f"{part}_loss"].copy()
                values.loc[at] = np.nan
                evidence = evidence.assign({f"{part}_loss": values})
            diverged = evidence["diverged_at"].copy()
            diverged.loc[at] = 7.0
            evidence = evidence.assign(diverged_at=diverged)
        return evidence

    return change


def along(variant, quantity, law):
    """A quantity of a drawn network by a law of its blocks."""
    return lambda evidence: put(
        evidence,
        quantity,
        [law(int(layer)) for layer in evidence["layer"].values],
        variant=f"{variant}, drawn",
    )


def together(*changes):
    def change(evidence):
        for each in changes:
            evidence = each(evidence)
        return evidence

    return change


def lawful(factor=1.0, power=1.0):
    """Gradients by the laws, one of them off by a factor or all by a power."""
    found = [
        along(order, "gradient", lambda n, order=order: laws.ratio(order, n) ** -power)
        for order in laws.GROWTH
    ]
    return together(*found, along("full-preactivation", "gradient", lambda n: (
        factor / laws.ratio("full-preactivation", n) if n else 1.0)))  # fmt: skip


def exploding(before, after):
    return together(
        along("before", "gradient", lambda n: before**-n),
        along("after", "gradient", lambda n: after**-n),
    )


RATE = theory.relu_batchnorm_explosion_rate(DRAWN_BATCH)
SHARED = 1 / math.pi

WORLDS = {
    "after-can-improve": (scored(convnet_after=0.97), scored(convnet_after=0.94)),
    "before-is-better": (
        scored(before=0.97, convnet_before=0.97),
        scored(after=0.97, convnet_before=0.97),
    ),
    "placement-is-equal": (scored(after=0.945), scored(after_bare=0.9)),
    "deep-plain-before": (scored(deep_after=0.93), scored(deep_after=0.949)),
    "affine-by-placement": (scored(before_bare=0.945), scored(after_bare=0.9)),
    "same-explosion": (exploding(RATE, RATE), exploding(RATE, 1.1)),
    "after-centres": (
        together(
            puts({("before, drawn", "squared_mean"): SHARED, ("after, drawn", "squared_mean"): 0}),
            puts({("before, drawn", "variance"): 1 - SHARED}),
        ),
        puts({("after, drawn", "squared_mean"): 0.4, ("after, drawn", "variance"): 0.6}),
    ),
    "frozen-after-is-stabler": (
        unstable("frozen before"),
        unstable("frozen before", "frozen after"),
    ),
    "moving-statistics-stabilise": (
        unstable("frozen before", "frozen after"),
        unstable("before", "after"),
    ),
    "full-preactivation-is-best": (
        lost(0.955, 0.94, 0.95, 0.957, 0.96, score="test_accuracy"),
        lost(0.955, 0.94, 0.97, 0.957, 0.96, score="test_accuracy"),
    ),
    "norm-after-addition-is-worse": (
        lost(0.95, 0.94, 0.95, 0.95, 0.95, score="test_accuracy"),
        lost(0.95, 0.948, 0.94, 0.94, 0.95, score="test_accuracy"),
    ),
    "act-before-addition-is-worse": (
        lost(0.95, 0.95, 0.94, 0.95, 0.95, score="test_accuracy"),
        lost(0.95, 0.94, 0.948, 0.94, 0.95, score="test_accuracy"),
    ),
    "norm-after-addition-fits-worse": (
        lost(0.1, 0.2, 0.1, 0.1, 0.1, score="training_loss"),
        lost(0.1, 0.12, 0.1, 0.1, 0.1, score="training_loss"),
    ),
    "no-order-when-shallow": (
        lost(0.95, 0.945, 0.955, 0.94, 0.96, score="test_accuracy"),
        lost(0.95, 0.91, 0.95, 0.95, 0.95, score="test_accuracy"),
    ),
    "gradient-laws": (lawful(), lawful(factor=0.8)),
    "norm-after-addition-impedes": (
        together(lawful(), along("norm-after-addition", "gradient", lambda n: 1.9**-n)),
        together(lawful(), along("norm-after-addition", "gradient", lambda n: 1.2**-n)),
    ),
    "signal-only-rises": (
        along("act-before-addition", "squared_mean", lambda n: n * n / (2 * math.pi)),
        along("act-before-addition", "squared_mean", lambda n: n / math.pi),
    ),
}


def test_every_claim_has_its_worlds():
    assert set(WORLDS) == set(CLAIMS)


@pytest.mark.parametrize("name", WORLDS)
def test_a_claim_can_come_out_either_way(name, world):
    for change, ruling in zip(WORLDS[name], ("supported", "refuted"), strict=True):
        verdict = judge(CLAIMS[name], change(world))
        assert verdict.ruling == ruling, verdict.reason


def test_the_largest_stable_rate_is_the_last_before_one_that_diverges(world):
    made = unstable("frozen after")(world)
    assert set(effects.stable_rate(made, "frozen after").values) == {0.1}
    assert set(effects.stable_rate(made, "frozen before").values) == {made["rate"].max().item()}
