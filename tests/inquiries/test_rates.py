"""The inquiry `rates` through the real pipeline, small; its claims both ways; its readings by hand.

Truth: dense Hessians by plain autograd, ranks counted out, curves made up, and a parabola.
"""

import numpy as np
import pytest
import torch
from scipy import stats
from tests.inquiries.made_up import put, puts, shaped_like

from skipnorm.inquiries import load
from skipnorm.inquiries.rates.effects import (
    correlation,
    edge,
    of_fitted_runs,
    stable,
    steps_at,
    steps_at_best,
)
from skipnorm.inquiries.rates.readings import REACH, ending
from skipnorm.inquiries.rates.study import (
    DESCENT_RATES,
    FAMILIES,
    FULL,
    GRID,
    QUICK,
    FewDigits,
    Size,
    study_of,
)
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.run import run
from skipnorm.tasks import Digits
from skipnorm.verdicts import judge

INQUIRY = load("rates")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims}
TINY = Size(seeds=range(1), depth=1, updates=20, descent=504, samples=16)
SMALL, LARGE = DESCENT_RATES


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return run(study_of(TINY), tmp_path_factory.mktemp("study"), progress="off")


def runs(table, quantity):
    """A quantity of each family at each rate of the grid, at the end."""

    def change(evidence):
        for name, values in table.items():
            for rate, value in zip(GRID, values, strict=True):
                evidence = put(evidence, quantity, value, variant=name, rate=rate)
        return evidence

    return change


def curve(table):
    """Updates after which the loss curve of a family falls below the bar, at each rate of the grid."""

    def change(evidence):
        updates = evidence["update"].values
        for name, values in table.items():
            for rate, at in zip(GRID, values, strict=True):
                loss = np.where(updates < at, 2.0, 0.1)
                evidence = put(evidence, "loss_curve", loss, variant=name, rate=rate)
        return evidence

    return change


def diverged(name, *rates):
    def change(evidence):
        for rate in rates:
            where = {"variant": name, "rate": rate}
            evidence["diverged_at"].loc[where] = 5.0
            for loss in ("training_loss", "validation_loss", "test_loss", "test_accuracy"):
                evidence[loss].loc[where] = np.nan
        return evidence

    return change


def several(*changes):
    def change(evidence):
        for each in changes:
            evidence = each(evidence)
        return evidence

    return change


LOSSES = {
    "plain": (0.2, 2.0, 2.0, 2.0, 2.0),
    "plain BN": (0.3, 0.2, 0.1, 0.2, 0.4),
    "SkipInit": (0.3, 0.2, 0.1, 0.2, 2.0),
    "residual BN": (0.3, 0.2, 0.1, 0.2, 0.2),
}
FAST = {
    "plain": (60, 60, 60, 60, 60),
    "plain BN": (90, 40, 10, 10, 10),
    "SkipInit": (30, 20, 5, 5, 5),
    "residual BN": (30, 20, 5, 5, 5),
}
PERFECT = {name: tuple(4.0 + 2 * k for k in range(5)) for name in FAMILIES}
"""Sharpness by rate, rising with the gap that the gaps below have."""


def gaps(signs):
    """A gap that rises or falls with the place in the grid, through test losses; training fits everywhere."""

    def change(evidence):
        for name in FAMILIES:
            for k, rate in enumerate(GRID):
                evidence = put(evidence, "training_loss", 0.01, variant=name, rate=rate)
                gap = 0.1 + 0.02 * (k if signs > 0 else -k)
                evidence = put(evidence, "test_loss", 0.01 + gap, variant=name, rate=rate)
        return evidence

    return change


def scattered(evidence):
    """Gaps without order: rates up in two families, down in the other two."""
    evidence = gaps(1)(evidence)
    for name in FAMILIES[:2]:
        for k, rate in enumerate(GRID):
            evidence = put(evidence, "test_loss", 0.2 - 0.02 * k, variant=name, rate=rate)
    return evidence


@pytest.fixture
def world(real):
    evidence = shaped_like(real)
    for loss in ("training_loss", "validation_loss", "test_loss"):
        evidence = runs(LOSSES, loss)(evidence)
    evidence = runs({name: (0.9,) * 5 for name in FAMILIES}, "test_accuracy")(evidence)
    for quantity in ("sharpness", "relative_sharpness", "filter_sharpness"):
        evidence = runs(PERFECT, quantity)(evidence)
    evidence = curve(FAST)(evidence)
    for name in ("descent", "descent BN"):
        for rate in DESCENT_RATES:
            evidence = put(evidence, "sharpness", 2 / rate, variant=name, rate=rate)
            test = 0.1 if rate == SMALL else 0.05
            evidence = put(evidence, "test_loss", test, variant=name, rate=rate)
    return diverged("plain", 0.03, 0.1, 0.3, 1.0)(evidence)


def flat(norm):
    return several(
        *(
            lambda e, rate=rate: put(
                e, "sharpness", norm * 2 / rate, variant="descent BN", rate=rate
            )
            for rate in DESCENT_RATES
        )
    )


SUPPORTING = {
    "skips-leave-the-limit": diverged("SkipInit", 0.03, 0.1, 0.3, 1.0),
    "bn-avoids-sharp-minima": flat(0.2),
    "sharpness-tells-the-gap": gaps(1),
    "raw-sharpness-tells-nothing": scattered,
    "relative-sharpness-tells-the-gap": gaps(1),
}
"""Where rivals contradict the world in which the others hold."""

EVEN = {name: (0.3, 0.2, 0.1, 0.2, 0.2) for name in FAMILIES}
REFUTING = {
    "bn-allows-larger-rates": diverged("plain BN", 0.03, 0.1, 0.3, 1.0),
    "bn-wants-larger-rates": runs({"plain BN": (0.1, 0.2, 0.3, 0.4, 0.5)}, "validation_loss"),
    "bn-widens-the-interval": runs({"plain BN": (0.1, 2.0, 2.0, 2.0, 2.0)}, "validation_loss"),
    "skips-widen-the-interval": runs({"SkipInit": (0.1, 2.0, 2.0, 2.0, 2.0)}, "validation_loss"),
    "skips-leave-the-limit": lambda evidence: evidence,
    "bn-is-faster": curve({"plain BN": (90, 60, 60, 60, 60)}),
    "bn-is-far-faster": curve({"plain BN": (90, 40, 30, 30, 30)}),
    "skips-are-faster": curve({"SkipInit": (60, 60, 60, 60, 60)}),
    "skips-beat-the-norm": curve({"SkipInit": (60, 60, 60, 60, 60)}),
    "same-accuracy-at-small-rates": runs({"plain BN": (0.8,) * 5}, "test_accuracy"),
    "not-faster-at-small-rates": curve({"plain BN": (20, 20, 20, 20, 20)}),
    "rate-makes-the-gain": runs({"plain BN": (0.1,) * 5}, "test_loss"),
    "bn-generalises-better": runs({"plain BN": (0.4,) * 5}, "test_loss"),
    "bn-avoids-sharp-minima": lambda evidence: evidence,
    "bn-is-as-sharp": flat(0.5),
    "edge-of-stability": lambda e: put(e, "sharpness", 0.5, variant="descent", rate=SMALL),
    "edge-with-bn": flat(0.8),
    "the-rate-makes-it-flat": lambda e: put(e, "sharpness", 1.6, variant="descent", rate=LARGE),
    "flat-ends-generalise": lambda e: put(e, "test_loss", 0.2, variant="descent BN", rate=LARGE),
    "sharpness-tells-the-gap": gaps(-1),
    "raw-sharpness-tells-nothing": gaps(1),
    "relative-sharpness-tells-the-gap": gaps(-1),
}


def whole(evidence):
    """Nothing diverges: where ranks are asked of all runs."""
    evidence["diverged_at"][:] = np.nan
    return evidence


RANKED = (
    "sharpness-tells-the-gap",
    "raw-sharpness-tells-nothing",
    "relative-sharpness-tells-the-gap",
)


def test_the_whole_pipeline_from_study_to_figures(real):
    assert {judge(claim, real).ruling for claim in INQUIRY.claims} == {"undecided"}
    for name, draw in INQUIRY.figures.items():
        figure = draw(real)
        assert any(np.isfinite(np.asarray(trace.y, float)).any() for trace in figure.data), name


def test_every_run_that_did_not_diverge_has_its_sharpness(real):
    for name in FAMILIES:
        found = real["sharpness"].sel(variant=name, rate=list(GRID)).max("step")
        ended = ~np.isfinite(real["diverged_at"].sel(variant=name, rate=list(GRID)))
        assert found.notnull().where(ended, True).all()
    course = real["sharpness"].sel(variant="descent", rate=SMALL).dropna("step", how="all")
    assert course["step"].values.tolist() == [63 * k for k in range(9)]


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_supported_where_it_holds(name, world):
    start = whole(world) if name in RANKED else world
    verdict = judge(CLAIMS[name], SUPPORTING.get(name, lambda same: same)(start))
    assert verdict.ruling == "supported", verdict.reason


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_refuted_where_it_does_not(name, world):
    start = whole(world) if name in RANKED else world
    verdict = judge(CLAIMS[name], REFUTING[name](start))
    assert verdict.ruling == "refuted", verdict.reason


def test_no_world_is_made_for_a_claim_that_is_gone():
    assert set(SUPPORTING) <= set(CLAIMS)
    assert set(REFUTING) == set(CLAIMS)


def test_both_scales_compare_the_same_networks():
    assert list(study_of(QUICK).variants) == list(study_of(FULL).variants)


def test_what_never_diverged_is_stable_to_the_end_of_the_grid(world):
    assert (stable(world, "residual BN") == 1.0).all()
    assert (stable(world, "plain") == 0.01).all()


def test_updates_to_a_loss_are_read_off_the_curve(world):
    updates = world["update"].values
    expected = updates[updates >= 90].min()
    assert (steps_at(world, "plain BN", 0.01) == expected).all()
    best = updates[updates >= 10].min()
    assert (steps_at_best(world, "plain BN") == best).all()
    never = curve({"plain BN": (10**6,) * 5})(world)
    assert np.isinf(steps_at_best(never, "plain BN")).all()


def test_the_edge_is_a_median_over_the_last_half(world):
    steps = (
        world["sharpness"].sel(variant="descent", rate=SMALL, seed=0).dropna("step")["step"].values
    )
    for k, step in enumerate(steps):
        world["sharpness"].loc[{"variant": "descent", "rate": SMALL, "step": step}] = float(k)
    assert (edge(world, "descent", SMALL) == len(steps) - 3).all()


def test_ranks_are_counted_over_the_runs_that_found_a_minimum(world):
    world = whole(world)
    random = np.random.default_rng(0)
    for name in FAMILIES:
        for rate in GRID:
            value, gap = random.uniform(1, 9), random.uniform(0, 1)
            world = put(world, "sharpness", value, variant=name, rate=rate)
            world = put(world, "test_loss", 0.01 + gap, variant=name, rate=rate)
            world = put(world, "training_loss", 0.01, variant=name, rate=rate)
    world = put(world, "training_loss", 0.5, variant="plain", rate=0.1)
    found = correlation(world, "sharpness")
    table = of_fitted_runs(world, "sharpness").sel(seed=2, rate=list(GRID))
    x, y = (table[each].values.ravel() for each in ("sharpness", "gap"))
    kept = np.isfinite(x)
    assert kept.sum() == len(FAMILIES) * len(GRID) - 1
    ranks = [stats.rankdata(each[kept]) for each in (x, y)]
    assert float(found.sel(seed=2)) == pytest.approx(np.corrcoef(*ranks)[0, 1], rel=1e-12)
    world["recorded"].loc[{"variant": "plain", "rate": 0.1, "seed": 2}] = False
    again = correlation(world, "sharpness")
    assert again.isnull().values.tolist() == [seed == 2 for seed in world["seed"].values]


@pytest.fixture
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def test_sharpness_is_that_of_the_dense_hessian(double):
    network = Perceptron(inputs=3, outputs=2, depth=1, width=4, activation="tanh").build(seed=0)
    x, y = torch.randn(9, 3), torch.randn(9, 2)
    names, weights = zip(*network.named_parameters(), strict=True)
    sizes = [each.numel() for each in weights]

    def loss(flat):
        parts = torch.split(flat, sizes)
        own = {n: p.view(w.shape) for n, p, w in zip(names, parts, weights, strict=True)}
        return (torch.func.functional_call(network, own, (x,)) - y).square().mean()

    flat = torch.cat([each.detach().flatten() for each in weights])
    top = float(torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))[-1])
    norm = sum(float(each.detach().square().sum()) for each in weights if each.dim() == 2)
    found = ending(network, (x, y), "mse")
    assert float(found["sharpness"]) == pytest.approx(top, rel=1e-3)
    assert float(found["weight_norm"]) == pytest.approx(norm**0.5, rel=1e-12)
    assert float(found["relative_sharpness"]) == pytest.approx(top * norm, rel=1e-3)


def test_on_a_parabola_the_rise_is_half_the_curvature_times_the_way_squared(double):
    bowl = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(bowl.weight, 3.0)
    found = ending(bowl, (torch.tensor([[2.0]]), torch.tensor([[6.0]])), "mse")  # L = (2 w - 6)^2
    assert float(found["sharpness"]) == pytest.approx(8.0)
    assert float(found["filter_sharpness"]) == pytest.approx(0.5 * 8.0 * (REACH * 3.0) ** 2)


def test_what_is_not_finite_has_no_sharpness():
    network = Perceptron(depth=1, width=4).build(seed=0)
    with torch.no_grad():
        network.head.weight.weight.fill_(1e38)
    found = ending(network, Digits(flat=True).batch(8, 0), "cross_entropy")
    assert np.isnan(float(found["sharpness"]))


def test_few_digits_are_the_first_of_the_digits():
    task, whole = FewDigits(flat=True), Digits(flat=True)
    inputs, targets = task.full("train")
    assert (inputs.shape, targets.shape) == ((500, 64), (500, 10))
    assert (targets.sum(1) == 1).all()
    first = whole.arrays()["train_inputs"][:625].reshape(625, 64)
    labels = whole.arrays()["train_targets"][:625]
    rows = {row.tobytes(): int(label) for row, label in zip(first, labels, strict=True)}
    known = [rows[row.numpy().tobytes()] for row in inputs]
    assert known == targets.argmax(1).tolist()
    np.testing.assert_array_equal(task.full("test")[0], whole.full("test")[0])


def test_puts_leaves_other_variants_alone(world):
    changed = puts({("plain BN", "test_loss"): 9.0})(world)
    assert (
        changed["test_loss"]
        .sel(variant="SkipInit")
        .equals(world["test_loss"].sel(variant="SkipInit"))
    )
