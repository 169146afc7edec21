"""The inquiry `landscape` through the real pipeline, small; its claims both ways; its readings by hand.

Truth: dense Hessians by plain autograd with batch norm written out, loops for what runs along a gradient or a row,
and functions that compute the same.
"""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.inquiries.made_up import put, puts, shaped_like

from skipnorm.inquiries import load
from skipnorm.inquiries.draws import Draws
from skipnorm.inquiries.landscape.readings import (
    CURVATURES,
    STRETCH,
    initial_sharpness,
    ruggedness,
    slopes,
    stretched,
    terrain,
)
from skipnorm.inquiries.landscape.study import FULL, QUICK, RATE, Size, study_of
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.run import run
from skipnorm.verdicts import judge

INQUIRY = load("landscape")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims}
TINY = Size(
    seeds=range(1),
    at=(0, 1, 2),
    points=5,
    shallow=1,
    deep=2,
    width=6,
    draws=2,
    initial_depths=(1, 2),
    batch=32,
)
NETS = ("deep plain", "deep plain BN", "deep plain LN", "deep SkipInit", "deep residual BN")
NETS += ("shallow plain", "shallow plain BN")

WORLD = {
    ("deep plain", "loss_range"): 10.0,
    ("deep plain LN", "loss_range"): 2.0,
    ("deep plain", "gradient_predictiveness"): 10.0,
    ("deep plain", "effective_smoothness"): 10.0,
    ("deep plain", "ruggedness"): 0.2,
    ("deep plain BN", "ruggedness"): 0.1,
    ("deep residual BN", "ruggedness"): 0.0,
    ("deep SkipInit", "ruggedness"): 0.0,
    ("shallow plain", "ruggedness"): 0.0,
    ("shallow plain BN", "ruggedness"): 0.0,
    ("deep plain", "rise"): 10.0,
    ("deep plain BN", "rise"): 2.0,
    ("initial plain 8", "initial_sharpness"): 4.0,
    ("initial plain BN 26", "initial_sharpness"): 10.0,
    ("initial residual 26", "initial_sharpness"): 100.0,
    ("symmetry", "filter_normalised_change"): 1e-12,
    ("symmetry", "sharpness_change"): 5.0,
}
"""Where all claims hold, also those of rivals; what is not said is 1."""

REFUTING = {
    "bn-smooths-the-step": puts({("deep plain", "loss_range"): 1.0}),
    "loss-range": puts({("deep plain", "loss_range"): 2.0}),
    "predictiveness": puts({("deep plain", "gradient_predictiveness"): 1.0}),
    "effective-beta": puts({("deep plain", "effective_smoothness"): 1.0}),
    "other-norms-smooth-too": puts({("deep plain LN", "loss_range"): 10.0}),
    "skips-smooth-the-step": puts({("deep SkipInit", "loss_range"): 10.0}),
    "bn-lowers-curvature": puts({("deep plain", "sharpness"): 2.0}),
    "deep-nets-are-smoothed": puts({("deep plain", "sharpness"): 1.0}),
    "shallow-nets-are-not": puts({("shallow plain", "sharpness"): 9.0}),
    "frozen-is-far-sharper": puts({("deep plain BN", "sharpness"): 4.0}, case="frozen"),
    "frozen-is-sharper": puts({("shallow plain BN", "sharpness"): 1.0}, case="frozen"),
    "frozen-is-like-none": puts({("deep plain BN", "sharpness"): 20.0}, case="frozen"),
    "bn-is-sharpest-at-first": puts({("initial plain LN 26", "initial_sharpness"): 20.0}),
    "bn-is-flattest-at-first": puts({("initial plain 8", "initial_sharpness"): 1.0}),
    "not-with-skips": puts({("initial residual BN 26", "initial_sharpness"): 200.0}),
    "sharpness-drops-early": puts({("deep plain BN", "sharpness"): 9.0}, step=1),
    "bn-suppresses-outliers": puts({("deep plain", "outlier_ratio"): 1.0}),
    "outliers-go-anyway": puts({("deep plain", "outlier_ratio"): 4.0}),
    "hessian-tells-the-step": puts({("deep plain BN", "step_curvature_ratio"): 0.01}),
    "bn-smooths-the-surface": puts({("deep plain", "ruggedness"): 0.0}),
    "skips-smooth-the-surface": puts({("deep residual BN", "ruggedness"): 0.1}),
    "shallow-surfaces-are-smooth": puts({("shallow plain BN", "ruggedness"): 0.1}),
    "bn-widens-the-valley": puts({("deep plain", "rise"): 2.0}),
    "skips-widen-the-valley": puts({("deep SkipInit", "rise"): 10.0}),
    "same-function-same-line": puts({("symmetry", "filter_normalised_change"): 1e-6}),
    "raw-sharpness-is-arbitrary": puts({("symmetry", "sharpness_change"): 1.0}),
}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return run(study_of(TINY), tmp_path_factory.mktemp("study"), progress="off")


@pytest.fixture
def world(real):
    evidence = shaped_like(real)
    measured = ("loss_range", "gradient_predictiveness", "effective_smoothness", "sharpness")
    measured += ("outlier_ratio", "ruggedness", "rise", "step_curvature_ratio")
    for quantity in (*measured, "initial_sharpness"):
        evidence = put(evidence, quantity, 1.0)
    evidence = puts(WORLD)(evidence)
    normed = ("deep plain BN", "shallow plain BN", "deep residual BN")
    evidence = puts({(name, "sharpness"): 6.0 for name in normed}, case="frozen")(evidence)
    evidence = puts({("deep plain", "sharpness"): 5.0})(evidence)
    evidence = puts({("deep plain BN", "sharpness"): 10.0}, step=0, case="active")(evidence)
    return puts({("deep plain", "outlier_ratio"): 4.0}, step=1)(evidence)


@pytest.fixture
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def test_the_whole_pipeline_from_study_to_figures(real):
    verdicts = [judge(claim, real) for claim in INQUIRY.claims]
    ruled = {v.claim.name: v.ruling for v in verdicts if v.ruling != "undecided"}
    # One seed decides nothing; the identity holds in any network, however small.
    assert ruled == {"same-function-same-line": "supported"}
    for name, draw in INQUIRY.figures.items():
        figure = draw(real)
        numbers = [
            trace.z if trace.type in ("surface", "contour") else trace.y for trace in figure.data
        ]
        assert any(np.isfinite(np.asarray(each, float)).any() for each in numbers), name


def test_nothing_that_is_read_of_a_trained_network_is_missing(real):
    quantities = (
        "loss_range",
        "sharpness",
        "top_eigenvalue",
        "density",
        "loss",
        "loss_error",
        "rise",
    )
    for name in NETS:
        light = name == "deep plain LN"
        for quantity in quantities[:1] if light else quantities:
            assert real[quantity].sel(variant=name, rate=RATE).notnull().all(), (name, quantity)


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_supported_where_it_holds(name, world):
    verdict = judge(CLAIMS[name], world)
    assert verdict.ruling == "supported", verdict.reason


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_refuted_where_it_does_not(name, world):
    verdict = judge(CLAIMS[name], REFUTING[name](world))
    assert verdict.ruling == "refuted", verdict.reason


def test_no_world_is_made_for_a_claim_that_is_gone():
    assert set(REFUTING) == set(CLAIMS)


def test_a_run_that_diverged_is_as_rough_as_can_be(world):
    lost = {"variant": "deep plain", "step": [1, 2]}
    world["loss_range"].loc[lost] = np.nan
    effect = CLAIMS["bn-smooths-the-step"].effect(world)
    assert np.isinf(effect).all()
    world["recorded"].loc[{"variant": "deep plain", "seed": 3}] = False
    effect = CLAIMS["bn-smooths-the-step"].effect(world)
    assert effect.isnull().sum() == 1
    assert effect.sel(seed=3).isnull()


def test_rivals_share_a_topic():
    sides = {}
    for claim in INQUIRY.claims:
        sides.setdefault(claim.topic, set()).add(claim.side)
    assert {"essay", "paper", "counter"} <= sides["Along the gradient"]
    assert {"paper", "counter"} <= sides["Curvature"] & sides["Outliers of the spectrum"]


def test_both_scales_compare_the_same_networks():
    assert list(study_of(QUICK).variants) == list(study_of(FULL).variants)
    assert len(QUICK.seeds) * QUICK.draws >= 20


def functional(network, batch, frozen=False):
    """Loss as a function of one flat vector of parameters, with batch norm written out.

    Frozen: with mean and unbiased variance of each layer as they are at the network's own parameters.
    """
    names = [name for name, _ in network.named_parameters()]
    shapes = [weights.shape for weights in network.parameters()]
    inputs, targets = batch
    flat = torch.cat([weights.detach().flatten() for weights in network.parameters()])

    def passed(flat, fixed):
        parts = torch.split(flat, [shape.numel() for shape in shapes])
        w = {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        x, seen = F.linear(inputs, w["stem.weight"], w["stem.bias"]), []
        for block in range(sum(name.endswith("norm.bias") for name in names)):
            at = f"blocks.{block}"
            h = F.linear(x, w[f"{at}.weight.weight"], w[f"{at}.weight.bias"])
            seen.append((h.mean(0).detach(), h.var(0).detach()))
            mean, variance = fixed[block] if fixed else (h.mean(0), h.var(0, correction=0))
            h = (h - mean) / torch.sqrt(variance + 1e-5)
            x = F.relu(h * w[f"{at}.norm.weight"] + w[f"{at}.norm.bias"])
        outputs = F.linear(x, w["head.weight.weight"], w["head.weight.bias"])
        return F.cross_entropy(outputs, targets), seen

    fixed = passed(flat, None)[1] if frozen else None
    return lambda at: passed(at, fixed)[0], flat


def data(samples=16, inputs=4):
    generator = torch.Generator().manual_seed(3)
    drawn = torch.randn(samples, inputs, generator=generator)
    return drawn, torch.randint(0, 3, (samples,), generator=generator)


def small(**fields):
    return Perceptron(inputs=4, outputs=3, depth=2, width=5, norm="batch", **fields).build(seed=0)


def test_eigenvalues_are_those_of_the_dense_hessian_active_and_frozen(double):
    network, batch = small(), data()
    half = (batch[0][:8], batch[1][:8])
    found = terrain(network, batch, "cross_entropy", points=5)
    for case in ("active", "frozen"):
        loss, flat = functional(network, half, frozen=case == "frozen")
        values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat)).flip(0)
        assert float(found["sharpness"].sel(case=case)) == pytest.approx(float(values[0]), rel=2e-3)
        if case == "active":
            assert loss(flat).item() == pytest.approx(float(found["loss_here"]), rel=1e-9)
            np.testing.assert_allclose(found["top_eigenvalue"][:3], values[:3], rtol=0.05)
            assert float(found["outlier_ratio"]) == pytest.approx(
                float(values[0] / values[9]), rel=0.1
            )


def test_along_the_gradient_it_is_what_a_loop_finds(double):
    network, batch = small(), data()
    loss, flat = functional(network, (batch[0][:8], batch[1][:8]))

    def gradient(at):
        at = at.clone().requires_grad_()
        return torch.autograd.grad(loss(at), at)[0]

    g = gradient(flat)
    steps = [0.1 * length for length in (0.5, 1.0, 2.0, 4.0)]
    losses = [float(loss(flat - step * g)) for step in steps]
    changes = [float((gradient(flat - step * g) - g).norm()) for step in steps]
    found = slopes(network, batch, "cross_entropy")
    assert float(found["loss_range"]) == pytest.approx(max(losses) - min(losses), rel=1e-8)
    assert float(found["gradient_predictiveness"]) == pytest.approx(max(changes), rel=1e-8)
    ratios = [
        change / (step * float(g.norm())) for change, step in zip(changes, steps, strict=True)
    ]
    assert float(found["effective_smoothness"]) == pytest.approx(max(ratios), rel=1e-8)


def test_the_plane_is_centred_on_the_network_and_its_rise_is_of_four_points(double):
    network, (inputs, targets) = small(), data()
    before = copy.deepcopy(network.state_dict())
    found = terrain(network, (inputs, targets), "cross_entropy", points=5)
    halves = [
        F.cross_entropy(network(inputs[at]), targets[at]).item() for at in (slice(8), slice(8, 16))
    ]
    centre = float(found["loss"].sel(x=0.0, y=0.0))
    assert centre == pytest.approx(np.mean(halves), rel=1e-12)
    around = [
        float(found["loss"].sel(x=x, y=y)) for x, y in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))
    ]
    assert float(found["rise"]) == pytest.approx(np.mean(around) - centre, rel=1e-12)
    assert float(found["loss_error"].sel(x=0.0, y=0.0)) == 0.0
    network.load_state_dict(before)


def test_the_density_is_that_of_all_eigenvalues(double):
    found = terrain(small(), data(), "cross_entropy", points=5)
    cells = CURVATURES[1] - CURVATURES[0]
    for case in ("active", "frozen"):
        assert float(found["density"].sel(case=case).sum()) * cells == pytest.approx(1.0, abs=0.1)


def test_ruggedness_counts_the_climbs_that_lead_nowhere():
    plane = np.random.default_rng(0).standard_normal((6, 7))
    shares = []
    for row in (*plane, *plane.T):
        low = int(row.argmin())
        wasted = sum(max(row[k + 1] - row[k], 0) for k in range(low))
        wasted += sum(max(row[k] - row[k + 1], 0) for k in range(low, len(row) - 1))
        shares.append(2 * wasted / sum(abs(row[k + 1] - row[k]) for k in range(len(row) - 1)))
    assert ruggedness(plane) == pytest.approx(np.mean(shares), rel=1e-12)
    assert ruggedness(np.ones((3, 3))) == 0.0
    assert ruggedness(plane * 7 + 3) == pytest.approx(ruggedness(plane))


def test_a_stretched_network_computes_the_same(double):
    network, (inputs, _) = Perceptron(inputs=4, depth=3, width=5).build(seed=0), data()
    other = stretched(network, STRETCH)
    torch.testing.assert_close(other(inputs), network(inputs), rtol=1e-12, atol=1e-12)
    apart = [
        name
        for (name, one), two in zip(network.named_parameters(), other.parameters(), strict=True)
        if not torch.equal(one, two)
    ]
    assert set(apart) <= {
        "blocks.0.weight.weight",
        "blocks.0.weight.bias",
        "blocks.1.weight.weight",
    }
    assert len(apart) >= 2


def test_initial_sharpness_is_a_geometric_mean_over_draws(double):
    batch = data()
    recipe = Perceptron(inputs=4, outputs=3, depth=2, width=5, norm="batch")
    tops = []
    for seed in (6, 7):
        loss, flat = functional(recipe.build(seed), batch)
        tops.append(float(torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))[-1]))
    found = initial_sharpness(Draws(recipe, 2).build(3), batch, "cross_entropy")
    assert float(found["initial_sharpness"]) == pytest.approx(np.sqrt(np.prod(tops)), rel=1e-2)
