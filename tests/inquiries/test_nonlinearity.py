"""The inquiry `nonlinearity`: through the real pipeline, small; what it reads, checked by hand; every claim both ways.

Truth: integrals over a Gaussian, the verb `activation`, plain autograd, and evidence made up so that a claim holds or
does not.
"""

import numpy as np
import pytest
import torch
from tests.inquiries.made_up import put, shaped_like

from skipnorm.formulas.quadrature import nonlinearity_index
from skipnorm.inquiries import CATALOGUE, load
from skipnorm.inquiries.draws import Draws
from skipnorm.inquiries.nonlinearity import effects
from skipnorm.inquiries.nonlinearity.networks import Gained, NormsOnly
from skipnorm.inquiries.nonlinearity.readings import (
    GRID,
    gradient_sizes,
    growth,
    indices,
    live,
    units,
)
from skipnorm.inquiries.nonlinearity.study import GAINS, SHIFTS, Size, study, study_of
from skipnorm.inquiries.subjects import TASK, learner, teaching
from skipnorm.networks.recipe import Perceptron
from skipnorm.probes.activation import activation
from skipnorm.studies.run import run
from skipnorm.tasks import Gaussian
from skipnorm.training.train import train
from skipnorm.verdicts import Identity, judge

INQUIRY = load("nonlinearity")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims}
EXACT = {name for name, claim in CLAIMS.items() if isinstance(claim.prediction, Identity)}
TINY = Size(
    seeds=1,
    draws=1,
    width=8,
    batch=32,
    growth_width=12,
    growth_depth=10,
    one_layer=256,
    steps=2,
)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    return run(study_of(TINY), tmp_path_factory.mktemp("nonlinearity"), progress="off")


def test_the_whole_pipeline(evidence):
    for claim in INQUIRY.claims:
        verdict = judge(claim, evidence)
        assert (verdict.ruling == "undecided") is (claim.name not in EXACT), claim.name
        assert np.isfinite([case["effect"] for case in verdict.cases]).all(), claim.name
    for name, draw in INQUIRY.figures.items():
        assert any((trace.meta or {}).get("role") == "measured" for trace in draw(evidence).data), (
            name
        )


def test_the_catalogue_asks_what_the_inquiry_asks():
    (entry,) = [entry for entry in CATALOGUE if entry.name == "nonlinearity"]
    assert entry.question == INQUIRY.question


@pytest.mark.parametrize("scale", ["quick", "full"])
def test_initial_claims_have_twenty_draws_or_more(scale):
    asked = study(scale)
    assert len(asked.seeds) * asked.variants["drawn"].network.count >= 20


# What is read


def test_units_are_those_of_the_verb_on_activations():
    network = learner("plain BN", 3).build(seed=4).train()
    batch = TASK.batch(64, seed=1)
    found = units(network, batch)
    verb = activation(network, batch).values
    for name, theirs in (
        ("dead", "dead_fraction"),
        ("always_on", "always_on_fraction"),
        ("co_activation", "co_activation"),
        ("nonlinearity", "nonlinearity"),
    ):
        expected = verb[theirs].numpy()
        np.testing.assert_allclose(found[name], expected[np.isfinite(expected)], atol=1e-6)


def test_chosen_layers_are_those_among_all_layers():
    network = Draws(Perceptron(width=8, depth=6, stem=False, head=False), 2).build(seed=0)
    batch = Gaussian(8).batch(16, seed=0)
    some, every = units(network, batch, layers=(2, 5)), units(network, batch)
    assert some["layer"].values.tolist() == [2, 5]
    np.testing.assert_array_equal(some["dead"], every["dead"].sel(layer=[2, 5]))


def test_several_draws_are_read_as_their_mean():
    recipe = Perceptron(width=8, depth=3, stem=False, head=False)
    batch = Gaussian(8).batch(16, seed=0)
    found = units(Draws(recipe, 3).build(seed=2), batch)
    alone = [units(recipe.build(seed), batch)["co_activation"].values for seed in (6, 7, 8)]
    np.testing.assert_allclose(found["co_activation"], np.mean(alone, axis=0))


def test_the_live_picture_is_the_sigmoid_and_a_density():
    network = learner("plain BN", 2, activation="sigmoid").build(seed=0)
    inputs, targets = TASK.batch(200, seed=0)
    found = live(network, (inputs, targets))
    np.testing.assert_allclose(found["curve"], 1 / (1 + np.exp(-GRID)), atol=1e-6)
    assert found["density"].sum().item() * 0.1 == pytest.approx(1, abs=0.01)
    inner = abs(found["x"]) < 1
    inside = units(network, (inputs, targets))["inside"].mean().item()
    assert found["density"].where(inner).sum().item() * 0.1 == pytest.approx(inside, abs=0.04)


@pytest.mark.parametrize(("name", "cases"), [("sigmoid", GAINS), ("tanh", GAINS), ("relu", SHIFTS)])
def test_the_index_of_a_layer_is_the_integral(name, cases):
    layer = Perceptron(
        width=16 * len(cases), depth=1, stem=False, head=False, bias=False, norm="batch",
        activation=name,
    )  # fmt: skip
    made = Gained(layer, shifts=cases) if name == "relu" else Gained(layer, gains=cases)
    found = indices(made.build(seed=0), Gaussian(layer.width).batch(4096, seed=0), cases=cases)
    by = "shift" if name == "relu" else "gain"
    expected = [nonlinearity_index(name, **{by: case}) for case in cases]
    np.testing.assert_allclose(found["index"], expected, atol=0.02)


@pytest.mark.parametrize(
    ("gain", "sigmoid", "tanh"),
    [
        (0.5, 0.0019, 0.0158),
        (1, 0.0158, 0.0695),
        (2, 0.0695, 0.1623),
        (4, 0.1623, 0.2478),
        (8, 0.2478, 0.3023),
    ],
)
def test_the_integrals_are_those_of_the_table(gain, sigmoid, tanh):
    law = effects.index_law(None)
    assert law.sel(case=f"sigmoid, gain {gain:g}").item() == pytest.approx(sigmoid, abs=1e-3)
    assert law.sel(case=f"tanh, gain {gain:g}").item() == pytest.approx(tanh, abs=1e-3)


def test_gradients_are_those_of_the_rest_of_the_network():
    recipe = Perceptron(width=6, depth=9, stem=False, head=False, norm="batch")
    network = recipe.build(0, dtype=torch.float64).train()
    inputs, covectors = (part.double() for part in Gaussian(6).batch(12, seed=0))
    sizes = gradient_sizes(network, (inputs, covectors))
    x = inputs
    for layer, block in enumerate(network.blocks):
        x = x.detach().requires_grad_()
        out = x
        for later in network.blocks[layer:]:
            out = later(out)
        (found,) = torch.autograd.grad((out * covectors).sum(), x)
        assert sizes[layer] == pytest.approx(found.square().mean().item())
        x = block(x)
    rate = growth(network, (inputs, covectors))["growth"].item()
    assert rate == pytest.approx((sizes[3] / sizes[4]) ** 1.0)


def test_gain_and_shift_are_those_of_the_signal():
    made = Gained(
        Perceptron(width=4, depth=1, stem=False, head=False, norm="batch"), (3.0,), (2.0,)
    )
    block = made.build(seed=0).blocks[0].train()
    z = block.norm(block.weight(torch.randn(500, 4)))
    np.testing.assert_allclose(z.mean(0).detach(), 2, atol=1e-4)
    np.testing.assert_allclose(z.std(0, unbiased=False).detach(), 3, rtol=1e-3)


def test_nothing_but_the_norms_is_trained():
    network = NormsOnly(learner("residual BN", 2)).build(seed=0)
    before = {name: value.clone() for name, value in network.named_parameters()}
    (state,) = train(network, TASK, teaching("quick", steps=2), seed=0, at=(2,))
    changed = {n for n, value in state.network.named_parameters() if not value.equal(before[n])}
    assert changed == {name for name in before if "norm" in name}


# Every claim both ways


@pytest.fixture(scope="module")
def world(evidence):
    """Nothing diverged; every learner alike, so that a claim can be moved either way by one thing."""
    made = shaped_like(evidence)
    for variant in made["variant"].values:
        if ", gain" in variant or ", shift" in variant:
            made = put(made, "growth", 1.2, variant=variant)
        elif "drawn" in variant:
            for name in ("dead", "always_on"):
                made = put(made, name, 0.0, variant=variant)
            made = put(made, "nonlinearity", 0.2666, variant=variant)
        elif not variant.endswith("layer"):
            for score, value in (("training", 0.01), ("validation", 0.1), ("test", 0.1)):
                made = put(made, f"{score}_loss", value, variant=variant)
                made = put(made, f"{score}_accuracy", 0.97, variant=variant)
            for name, value in (("dead", 0.0), ("always_on", 0.0), ("nonlinearity", 0.1)):
                made = put(made, name, value, variant=variant)
    return made


def setting(variant, quantity, value, **where):
    return lambda evidence: put(evidence, quantity, value, variant=variant, **where)


def together(*changes):
    def change(evidence):
        for each in changes:
            evidence = each(evidence)
        return evidence

    return change


def laid(variant, quantity, law, labels="layer"):
    """A quantity by a law of layer or case."""
    return lambda evidence: put(
        evidence, quantity, [law(label) for label in evidence[labels].values], variant=variant
    )


def curve(law):
    return lambda evidence: put(evidence, "curve", law(evidence["x"].values), variant="sigmoid BN")


def indexed(shift=0.0):
    """Single layers as the integrals say, and more by so much."""
    return together(
        laid("sigmoid layer", "index", lambda g: shift + _index("sigmoid", gain=g), "case"),
        laid("tanh layer", "index", lambda g: shift + _index("tanh", gain=g), "case"),
        laid("relu layer", "index", lambda s: shift + _index("relu", shift=s), "case"),
    )


def _index(name, **settings):
    return nonlinearity_index(name, **settings) if settings.get("gain", 1) > 0 else np.nan


def sided(*shares):
    """Dead and always-on units by layer: linear in the logarithm between layers 10, 20 and 50."""
    known = np.log([1, 10, 20, 50])
    dead, always = np.reshape(shares, (2, 4))
    return together(
        laid("drawn", "dead", lambda n: np.interp(np.log(n), known, dead)),
        laid("drawn", "always_on", lambda n: np.interp(np.log(n), known, always)),
    )


CALIBRATED = sided(0, 0.14, 0.24, 0.39, 0, 0.12, 0.24, 0.38)
ALIKE = {2: 0.3017, 4: 0.3533, 11: 0.4181, 21: 0.4489}

WORLDS = {
    "sigmoid-is-identity": (curve(lambda x: x + 0.05), curve(lambda x: 1 / (1 + np.exp(-x)))),
    "sigmoid-is-affine": (curve(lambda x: 0.5 + x / 4), curve(lambda x: 0.5 + x / 3)),
    "normalised-sigmoid-is-linear": (
        setting("sigmoid BN bare", "nonlinearity", 0.02),
        setting("sigmoid BN bare", "nonlinearity", 0.08),
    ),
    "normalised-relu-is-not": (
        setting("ReLU BN bare", "nonlinearity", 0.26),
        setting("ReLU BN bare", "nonlinearity", 0.12),
    ),
    "index-law": (indexed(), indexed(0.02)),
    "scale-and-shift-use-more": (
        setting("sigmoid BN", "nonlinearity", 0.2),
        setting("sigmoid BN", "nonlinearity", 0.12),
    ),
    "fitting-is-difficult": (
        setting("sigmoid BN bare", "training_loss", 0.02),
        setting("sigmoid BN bare", "training_loss", 0.012),
    ),
    "fitted-all-the-same": (
        setting("sigmoid BN bare", "training_accuracy", 0.96),
        setting("sigmoid BN bare", "training_accuracy", 0.9),
    ),
    "more-gain-explodes-sooner": (
        together(setting("tanh, gain 0.1", "growth", 1.02), setting("tanh, gain 4", "growth", 1.4)),
        setting("tanh, gain 4", "growth", 1.1),
    ),
    "small-gain-is-linear": (
        setting("tanh, gain 0.1", "growth", 14 / 13),
        setting("tanh, gain 0.1", "growth", 1.0),
    ),
    "shift-tames-relu": (
        setting("ReLU, shift 2", "growth", 1.03),
        setting("ReLU, shift 2", "growth", 1.15),
    ),
    "affine-adds-accuracy": (
        setting("ReLU BN bare", "test_accuracy", 0.958),
        setting("ReLU BN bare", "test_accuracy", 0.975),
    ),
    "affine-is-dispensable": (
        setting("ReLU BN bare", "test_accuracy", 0.975),
        setting("sigmoid BN bare", "test_accuracy", 0.93),
    ),
    "sigmoid-stays-at-chance": (
        setting("sigmoid", "training_accuracy", 0.1),
        setting("sigmoid", "training_accuracy", 0.5, rate=0.3),
    ),
    "norm-frees-the-sigmoid": (
        setting("sigmoid BN", "test_accuracy", 0.95),
        setting("sigmoid BN", "test_accuracy", 0.6),
    ),
    "norms-alone-learn": (
        setting("norms only, 16", "test_accuracy", 0.9),
        setting("norms only, 16", "test_accuracy", 0.7),
    ),
    "deeper-norms-learn-more": (
        setting("norms only, 4", "test_accuracy", 0.9),
        setting("norms only, 4", "test_accuracy", 0.96),
    ),
    "all-or-nothing": (CALIBRATED, sided(0, 0.05, 0.1, 0.2, 0, 0.05, 0.1, 0.2)),
    "shallow-units-are-two-sided": (
        setting("drawn", "dead", 0.01),
        setting("drawn", "dead", 0.2),
    ),
    "never-with-norm": (
        setting("drawn BN", "dead", 0.0),
        setting("drawn BN", "always_on", 0.01, layer=50),
    ),
    "one-sided-by-depth": (CALIBRATED, sided(0, 0.14, 0.24, 0.39, 0, 0.12, 0.35, 0.38)),
    "deep-layers-act-linearly": (
        setting("drawn", "nonlinearity", 0.1),
        setting("drawn", "nonlinearity", 0.2),
    ),
    "norm-keeps-units-in-use": (
        setting("deep ReLU BN", "dead", 0.01),
        setting("deep ReLU BN", "dead", 0.1),
    ),
    "training-mends-nothing": (
        setting("deep ReLU", "always_on", 0.2),
        setting("deep ReLU", "always_on", 0.05),
    ),
    "co-activation-law": (
        laid("drawn", "co_activation", lambda n: ALIKE.get(n, 0.4)),
        setting("drawn", "co_activation", 0.25),
    ),
    "co-activation-with-norm": (
        setting("drawn BN", "co_activation", 0.25),
        setting("drawn BN", "co_activation", 0.28, layer=21),
    ),
}


def test_every_claim_has_its_worlds():
    assert set(WORLDS) == set(CLAIMS)


@pytest.mark.parametrize("name", WORLDS)
def test_a_claim_can_come_out_either_way(name, world):
    for change, ruling in zip(WORLDS[name], ("supported", "refuted"), strict=True):
        verdict = judge(CLAIMS[name], change(world))
        assert verdict.ruling == ruling, verdict.reason


def test_a_network_is_read_at_the_rate_that_is_best_for_it(world):
    made = put(world, "validation_loss", 0.01, variant="sigmoid BN", rate=0.3)
    made = put(made, "nonlinearity", 0.5, variant="sigmoid BN", rate=0.3)
    np.testing.assert_allclose(effects.used(made, "sigmoid BN"), 0.5, rtol=0.01)
