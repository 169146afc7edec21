"""The inquiry `flow`: through the real pipeline, small; its networks and readings checked by hand; claims both ways.

Truth: plain autograd on the same networks, closed forms, and evidence made up so that a claim holds or does not.
"""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.inquiries.made_up import put, puts, shaped_like

from skipnorm.formulas import theory
from skipnorm.inquiries import CATALOGUE, load
from skipnorm.inquiries.draws import Draws
from skipnorm.inquiries.flow import effects
from skipnorm.inquiries.flow.networks import Cancelling, Rerouted
from skipnorm.inquiries.flow.readings import lengths, shares, stream
from skipnorm.inquiries.flow.study import FULL, QUICK, Size, study, study_of
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.run import run
from skipnorm.tasks import Gaussian
from skipnorm.verdicts import judge

INQUIRY = load("flow")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims}
RATE = 0.03
TINY = Size(
    seeds=2,
    depth=10,
    shallow=2,
    steps=3,
    batch=16,
    rates=(RATE,),
    draws=2,
    width=8,
    path_blocks=3,
)
BARE = Perceptron(
    width=8, depth=5, residual=True, stem=False, head=False, bias=False, affine=False, eps=0.0
)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    return run(study_of(TINY), tmp_path_factory.mktemp("flow"), progress="off")


def test_the_whole_pipeline(evidence):
    verdicts = {claim.name: judge(claim, evidence) for claim in INQUIRY.claims}
    # Two seeds decide nothing; identities hold in any network, however small.
    decided = {name: v.ruling for name, v in verdicts.items() if v.ruling != "undecided"}
    assert decided == {"can-be-cancelled": "supported", "direct-term-is-the-gradient": "supported"}
    for name, verdict in verdicts.items():
        found = [case["effect"] for case in verdict.cases]
        assert not np.isnan(found).any(), name
    for name, draw in INQUIRY.figures.items():
        assert draw(evidence).data, name


def test_the_catalogue_asks_what_the_inquiry_asks():
    (entry,) = [entry for entry in CATALOGUE if entry.name == "flow"]
    assert entry.question == INQUIRY.question


@pytest.mark.parametrize("size", [QUICK, FULL])
def test_initial_claims_have_twenty_draws_or_more(size):
    assert size.seeds * size.draws >= 20
    assert size.depth >= 32


def test_both_scales_compare_the_same_variants():
    assert set(study("quick").variants) == set(study("full").variants)


# The networks


def _samples(width=8, count=6, seed=0):
    inputs, covectors = Gaussian(width).batch(count, seed)
    return inputs.double(), covectors.double()


def test_a_gate_that_is_open_and_a_dropout_in_evaluation_are_identities():
    x, _ = _samples()
    usual = BARE.build(0).double()(x)
    for recipe in (
        Rerouted(BARE, "shortcut gate", -60.0),
        Rerouted(BARE, "dropout"),
    ):
        torch.testing.assert_close(recipe.build(0).double().eval()(x), usual)


@pytest.mark.parametrize("kind", ["shortcut gate", "exclusive gate"])
def test_a_gate_weighs_shortcut_and_branch(kind):
    x, _ = _samples()
    block = Rerouted(BARE, kind, -1.0).build(3).double().blocks[0]
    opened = 1 / (1 + torch.exp(1.0 - x @ block.gate.weight.T))
    branch = torch.relu(x) @ block.inner.weight.weight.T
    expected = (1 - opened) * x + (opened * branch if kind == "exclusive gate" else branch)
    torch.testing.assert_close(block(x), expected)


def test_a_projection_is_drawn_with_variance_one_over_width():
    wide = replace(BARE, width=100, depth=2)
    weight = Rerouted(wide, "projection").build(0).blocks[1].shortcut.weight
    assert float(weight.detach().var()) == pytest.approx(1 / 100, rel=0.05)
    x, _ = _samples(100)
    block = Rerouted(wide, "projection").build(0).double().blocks[0]
    expected = x @ block.shortcut.weight.T + torch.relu(x) @ block.inner.weight.weight.T
    torch.testing.assert_close(block(x), expected)


def test_dropout_takes_half_of_the_shortcut_in_training():
    x = torch.ones(400, 8)
    recipe = Rerouted(replace(BARE, initializer="rezero"), "dropout")
    block = recipe.build(0).train().blocks[0]
    torch.manual_seed(0)
    assert sorted(set(block(x).detach().flatten().tolist())) == [0.0, 2.0]


def test_a_branch_can_be_minus_the_identity():
    network = Cancelling(width=8, depth=4, block=2).build(0)
    x, _ = _samples()
    assert float(network.double().blocks[2](x).detach().abs().max()) == 0.0
    assert float(network.blocks[1](x).detach().abs().max()) > 0


# The readings


def test_the_gradient_along_the_stream_is_that_of_autograd():
    network = replace(BARE, norm="batch").build(1)
    inputs, covectors = _samples()
    found = stream(network, (inputs.float(), covectors.float()), loss="inner_product")
    own, x = copy.deepcopy(network).double(), inputs.float().double()
    heads = []
    for layer in range(BARE.depth + 1):  # one gradient at a time, through what follows
        with torch.no_grad():
            y = x
            for block in own.blocks[:layer]:
                y = block(y)
        y.requires_grad_()
        out = y
        for block in own.blocks[layer:]:
            out = block(out)
        (gradient,) = torch.autograd.grad((out * covectors.float().double()).sum(), y)
        heads.append(gradient)
    size = [float(each.square().mean()) for each in heads]
    scale = found["gradient_size"].values[-1] / size[-1]  # the loss may be a mean over samples
    np.testing.assert_allclose(found["gradient_size"], np.array(size) * scale, rtol=1e-10)
    expected = [
        np.mean(
            [
                float(torch.dot(g - last, last)) <= -0.5 * float(torch.dot(last, last))
                for g, last in zip(each, heads[-1], strict=True)
            ]
        )
        for each in heads
    ]
    np.testing.assert_allclose(found["cancelled"], expected)


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_the_direct_term_is_lambda_to_the_depth(factor):
    network = replace(BARE, shortcut_scale=factor).build(0)
    found = stream(network, _samples(), loss="inner_product")
    assert float(found["direct_error"]) == pytest.approx(1 - factor**BARE.depth, abs=1e-12)
    assert float(found["direct_cosine"]) == pytest.approx(1.0, abs=1e-12)


def test_the_direct_term_goes_through_the_projections():
    network = Rerouted(BARE, "projection").build(0).double()
    batch = _samples()
    found = stream(network, batch, loss="inner_product")
    last = direct = batch[1]
    for block in reversed(network.blocks):
        direct = direct @ block.shortcut.weight.detach()
    cosine = (direct * last).sum() / (direct.norm() * last.norm())
    assert float(found["direct_cosine"]) == pytest.approx(float(cosine), rel=1e-10)


def test_a_reading_leaves_the_network_as_it_was():
    network = replace(BARE, norm="batch").build(0).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    stream(network, _samples(), loss="inner_product")
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network.blocks[0].branch(torch.ones(2, 8)).requires_grad
    assert torch.equal(state, torch.get_rng_state())


def test_of_several_draws_sizes_are_averaged_by_factors():
    batch = _samples()
    alone = [stream(BARE.build(seed), batch, loss="inner_product") for seed in (4, 5)]
    both = stream(Draws(BARE, 2).build(2), batch, loss="inner_product")
    expected = np.sqrt(alone[0]["gradient_size"] * alone[1]["gradient_size"])
    np.testing.assert_allclose(both["gradient_size"], expected, rtol=1e-10)


def test_shares_of_halved_branches():
    network = replace(BARE, initializer="rezero").build(0)
    found = shares(network, tuple(part.float() for part in _samples()), loss="inner_product")
    np.testing.assert_allclose(found["shortcut_share"], np.ones(BARE.depth))


def test_several_draws_walk_different_paths(monkeypatch):
    import skipnorm.probes.paths as room

    seen, real = [], room.paths
    monkeypatch.setattr(
        room, "paths", lambda *a, seed, **k: seen.append(seed) or real(*a, seed=seed, **k)
    )
    batch = tuple(part.float() for part in _samples())
    for trial in (0, 1):
        torch.manual_seed(trial)
        lengths(Draws(BARE, 3).build(trial), batch, loss="inner_product", walks=1)
    assert len(set(seen)) == 6


# Closed forms


def test_the_growth_with_a_scaled_shortcut_joins_what_is_known():
    assert effects.half_rate(0.0) == pytest.approx(theory.RELU_BATCHNORM_EXPLOSION_LIMIT)
    assert effects.half_rate(1.0) == 1.0
    variance, factor = 1.0, 0.7  # the recursion itself, run until it settles
    for _ in range(200):
        before, variance = variance, factor**2 * variance + 2 * theory.RELU_VARIANCE
    assert effects.half_rate(factor) == pytest.approx(factor**2 + 1 / before)


@pytest.mark.parametrize("network", effects.NETWORKS)
def test_path_laws_are_distributions_over_all_subsets(network):
    odds = effects.branch_odds(network, 4)
    expected = np.zeros(5)
    for mask in range(16):
        taken = [bool(mask >> place & 1) for place in range(4)]
        chance = [o / (1 + o) if t else 1 / (1 + o) for o, t in zip(odds, taken, strict=True)]
        expected[sum(taken)] += np.prod(chance)
    np.testing.assert_allclose(effects.path_law(network, 4), expected)


# The claims


TRAINED = {
    "identity": (0.01, 0.95),
    "no shortcut": (2.0, 0.3),
    "half": (1.0, 0.5),
    "projection": (0.1, 0.8),
    "dropout": (2.3, 0.1),
    "shortcut gate": (0.03, 0.94),
    "exclusive gate": (0.02, 0.94),
    "shallow identity": (0.01, 0.95),
    "shallow half": (0.01, 0.95),
    "shallow projection": (0.01, 0.95),
}


def world(evidence):
    """Evidence in which what the claims say is so."""
    made = shaped_like(evidence)
    for name, (loss, accuracy) in TRAINED.items():
        for score, value in (
            ("training_loss", loss),
            ("validation_loss", loss),
            ("test_loss", loss),
            ("test_accuracy", accuracy),
        ):
            made = put(made, score, value, variant=name, rate=RATE)
    depth = TINY.depth
    for quantity, value in (("gradient_size", 1.0), ("cancelled", 0.2), ("direct_error", 0.0)):
        made = put(made, quantity, value)
    rates = effects.half_rate() ** -np.arange(depth + 1.0)
    made = puts({("at start: half, BN", "gradient_size"): rates}, step=0)(made)
    made = front(1e-16, "at start: half, SkipInit")(made)
    made = front(0.0, "branch = -identity")(made)
    made = put(made, "direct_cosine", 0.1)
    blocks = len(made["block"])
    made = put(
        made, "shortcut_share", effects.share_law(blocks), variant="identity", rate=RATE, step=3
    )
    for name, length in zip(effects.NETWORKS, effects.path_lengths(made).values, strict=True):
        made = put(made, "path_length", length, variant=f"paths: {name}")
        made = put(made, "path_share", 0.5 ** np.arange(4), variant=f"paths: {name}")
    return made


def front(value, variant):
    """The gradient in front of the first block."""
    return lambda made: put(made, "gradient_size", value, variant=variant, layer=0)


def score(quantity, value, variant):
    """What a trained variant ends with."""
    return lambda made: put(made, quantity, value, variant=variant, rate=RATE)


def untouched(made):
    return made


SUPPORTING = {"never-vanishes": front(1.0, "branch = -identity")}
REFUTING = {
    "prevents-vanishing": front(1e-4, "identity"),
    "never-vanishes": untouched,
    "can-be-cancelled": front(1e-6, "branch = -identity"),
    "not-for-all-samples": puts({("identity", "cancelled"): 0.8}),
    "nor-without-skips": front(1e-4, "no shortcut"),
    "half-shortcuts-vanish": front(1e-3, "at start: half, SkipInit"),
    "half-shortcuts-explode-with-bn": puts({("at start: half, BN", "gradient_size"): 1.0}),
    "direct-term-is-the-gradient": puts({("identity", "direct_error"): 1e-3}),
    "relu-and-projection-break-it": puts({("projection", "direct_cosine"): 0.9}),
    "other-shortcuts-train-worse": score("training_loss", 0.01, "half"),
    "gates-train-worse": score("training_loss", 0.005, "exclusive gate"),
    "dropout-and-no-shortcut-fail": score("test_accuracy", 0.9, "dropout"),
    "an-open-gate-hardly-matters": score("test_accuracy", 0.8, "shortcut gate"),
    "no-order-in-shallow-networks": score("test_accuracy", 0.85, "shallow half"),
    "paths-are-a-geometric-series": puts(
        {("paths: SkipInit", "path_share"): effects.path_law("SkipInit", 3)}
    ),
    "path-lengths": puts({("paths: SkipInit", "path_length"): 1.5}),
    "training-keeps-the-shortcut-share": puts({("identity", "shortcut_share"): 0.5}),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_supported_where_it_holds(name, evidence):
    verdict = judge(CLAIMS[name], SUPPORTING.get(name, untouched)(world(evidence)))
    assert verdict.ruling == "supported", verdict.reason


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_refuted_where_it_does_not(name, evidence):
    verdict = judge(CLAIMS[name], REFUTING[name](world(evidence)))
    assert verdict.ruling == "refuted", verdict.reason


def test_every_claim_has_its_worlds():
    assert set(REFUTING) == set(CLAIMS)
    assert set(SUPPORTING) <= set(CLAIMS)
