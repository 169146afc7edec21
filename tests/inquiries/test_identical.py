"""The inquiry `identical`: every claim can come out either way, and its readings are what their definitions say.

Truth: scipy, the verb `sn.identical`, networks written out by hand, and closed forms.
"""

import numpy as np
import pytest
import scipy.stats
import torch
import xarray as xr
from tests.inquiries.made_up import put, puts, shaped_like

import skipnorm as sn
from skipnorm.inquiries import CATALOGUE, load
from skipnorm.inquiries.draws import Draws
from skipnorm.inquiries.identical.effects import MEASURES, at_bar, correlation, generalised, moved
from skipnorm.inquiries.identical.readings import READINGS, alike, by_depth, coupling, two_moments
from skipnorm.inquiries.identical.study import (
    BAR,
    BY_BATCH,
    CONTROL,
    LEARNERS,
    NOISY,
    Size,
    study_of,
    within,
)
from skipnorm.inquiries.subjects import TASK
from skipnorm.networks.recipe import Perceptron
from skipnorm.verdicts import judge

INQUIRY = load("identical")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims}
TINY = Size(seeds=range(1), steps=10, depth=3, initial_depth=3, draws=2, samples=64)
EXACT = {"same-in-use-without", "independent-without-norm", "shape-untouched", "two-moments"}
ALL = (*LEARNERS, NOISY, CONTROL)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return sn.run(study_of(TINY), tmp_path_factory.mktemp("identical") / "study", progress="off")


@pytest.fixture(scope="module")
def made(tiny):
    return world(tiny)


@pytest.fixture
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def each(quantity, value, *variants):
    return puts({(variant, quantity): value for variant in variants})


def ranked(evidence, better=+1):
    """Test losses and distances of the learners in one order, or against it."""
    for place, name in enumerate(LEARNERS):
        evidence = put(evidence, "test_loss", 0.1 * 1.05**place, variant=name)
        for sense in ("batches", "units", "test"):
            apart = 0.1 + 0.01 * (place if better > 0 else len(LEARNERS) - place)
            evidence = put(evidence, f"apart_{sense}", apart, variant=name)
        evidence = drifting(0.1 + 0.01 * place * better)(evidence, name)
    return evidence


def mixed(evidence):
    """Learners in an order of distances that tells nothing of their test losses."""
    order = [6, 5, 0, 11, 9, 1, 3, 10, 8, 2, 4, 7]
    for place, name in zip(order, LEARNERS, strict=True):
        evidence = put(evidence, "test_loss", 0.1 + 0.01 * LEARNERS.index(name), variant=name)
        for sense in ("batches", "units", "test"):
            evidence = put(evidence, f"apart_{sense}", 0.1 + 0.01 * place, variant=name)
        evidence = drifting(0.1 + 0.01 * place)(evidence, name)
    return evidence


def drifting(amount):
    """Percentiles that are off by this share of half their spread, from the second reading on."""

    def change(evidence, variant):
        steps = evidence.sizes["step"]
        later = np.arange(steps)[:, None, None, None] > 0
        whole = np.broadcast_to(later * amount + np.array([-1.0, 0.0, 1.0]), (steps, 3, 8, 3))
        return put(evidence, "percentile", whole, variant=variant)

    return change


def world(tiny):
    """Evidence in which the essay is right as far as it can be: distances are chance's, units Gaussian."""
    evidence = shaped_like(tiny)
    falling = np.geomspace(2.0, 0.01, evidence.sizes["step"])
    for name in ALL:
        along = np.broadcast_to(falling, (evidence.sizes["rate"], len(falling)))
        evidence = put(evidence, "training_loss", along, variant=name)
        for sense in READINGS:
            evidence = put(evidence, f"chance_{sense}", 0.1, variant=name)
            evidence = put(evidence, f"apart_{sense}", 0.12, variant=name)
    evidence = ranked(evidence)
    normed = {
        "plain BN": 0.1,
        "residual BN": 0.1,
        "plain": 0.2,
        "residual": 0.2,
        NOISY: 0.1,
        CONTROL: 0.1,
    }
    for name, value in normed.items():
        evidence = put(evidence, "test_loss", value, variant=name)
    for name, value in {"plain BN": 0.03, "residual BN": 0.04}.items():
        evidence = drifting(value)(evidence, name)
    return puts(
        {
            ("plain BN", "apart_batches"): 0.06,
            ("plain BN", "apart_units"): 0.11,
            (NOISY, "apart_batches"): 0.3,
            ("plain BN", "apart_test"): 0.15,
            ("plain", "apart_gaussian"): 0.2,
            ("plain BN", "kurtosis_size"): 0.3,
            ("plain BN", "use_gap"): 0.1,
            ("plain BN", "coupled"): 0.1,
            ("initial relu", "depth_units"): 1.0,
            ("initial relu BN", "depth_units"): 0.2,
            ("initial tanh", "depth_units"): 1.0,
            ("initial tanh BN", "depth_units"): 0.2,
            ("initial relu", "depth_gaussian"): 0.4,
            ("initial relu BN", "depth_gaussian"): 0.1,
        }
    )(evidence)


def untouched(evidence):
    return evidence


def slowly(evidence):
    return drifting(0.5)(drifting(0.5)(evidence, "plain BN"), "residual BN")


SUPPORTING = {
    "identity-generalises": ranked,
    "identity-generalises-without-bn": ranked,
    "identity-does-not-tell": mixed,
}
REFUTING = {
    "identical-over-time": slowly,
    "steadier-over-time": slowly,
    "identical-units": each("apart_units", 0.3, "plain BN"),
    "units-alike-at-first": each("depth_units", 0.9, "initial tanh BN"),
    "identical-batches": each("apart_batches", 0.3, "plain BN"),
    "identical-without-norm": each("apart_batches", 0.3, "plain LN"),
    "batches-too-alike": each("apart_batches", 0.1, "plain BN"),
    "identical-in-use": each("apart_test", 0.3, "plain BN"),
    "less-identical-in-use": each("apart_test", 0.1, "plain BN"),
    "differs-in-use": each("use_gap", 1e-3, "plain BN"),
    "same-in-use-without": each("use_gap", 1e-6, "plain LN"),
    "independent-without-norm": each("coupled", 1e-6, "plain"),
    "bn-couples-samples": each("coupled", 1e-3, "plain BN"),
    "identity-generalises": lambda evidence: ranked(evidence, better=-1),
    "identity-does-not-tell": ranked,
    "identity-generalises-without-bn": lambda evidence: ranked(evidence, better=-1),
    "bn-generalises-better": each("test_loss", 0.2, "residual BN"),
    "noise-makes-batches-differ": each("apart_batches", 0.07, NOISY),
    "less-identical-generalises-no-worse": each("test_loss", 0.2, NOISY),
    "gaussian-units": each("apart_gaussian", 0.3, "plain BN"),
    "nearer-to-gaussian": each("depth_gaussian", 0.5, "initial relu BN"),
    "no-heavy-tails": each("kurtosis_size", 1.5, "plain BN"),
    "shape-untouched": each("shape_error", 1e-3, "plain BN"),
    "two-moments": each("mean_error", 1e-3, "plain BN"),
}


def test_the_whole_pipeline_runs_and_one_seed_decides_nothing(tiny):
    verdicts = {name: judge(claim, tiny) for name, claim in CLAIMS.items()}
    ruled = {name for name, verdict in verdicts.items() if verdict.ruling != "undecided"}
    assert ruled == EXACT
    assert all(verdicts[name].ruling == "supported" for name in EXACT)
    assert tiny.nbytes < 5e6


@pytest.mark.parametrize("name", INQUIRY.figures)
def test_every_figure_draws_evidence(tiny, made, name):
    assert INQUIRY.figures[name](tiny).data
    roles = {(trace.meta or {}).get("role") for trace in INQUIRY.figures[name](made).data}
    assert "measured" in roles


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_supported_where_it_holds(made, name):
    verdict = judge(CLAIMS[name], SUPPORTING.get(name, untouched)(made))
    assert verdict.ruling == "supported", verdict.reason


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_refuted_where_it_does_not(made, name):
    verdict = judge(CLAIMS[name], REFUTING[name](made))
    assert verdict.ruling == "refuted", verdict.reason


def test_the_catalogue_asks_what_the_inquiry_asks():
    (entry,) = [entry for entry in CATALOGUE if entry.name == "identical"]
    assert entry.question == INQUIRY.question
    assert set(REFUTING) == set(CLAIMS)
    assert set(BY_BATCH) < set(LEARNERS)
    assert len(LEARNERS) == 12


def test_what_is_read_at_the_bar_is_interpolated_in_the_logarithm_of_the_training_loss(made):
    evidence = made
    steps = evidence["step"].values
    assert list(steps) == list(within(TINY.steps))
    losses = np.array([2.0, 0.5, 0.1, 0.025, 0.01, 0.005])
    evidence = evidence.isel(seed=[0]).copy(deep=True)
    evidence["training_loss"].loc[{"variant": "plain"}] = losses
    values = xr.DataArray(
        [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]], {"seed": [0], "step": steps}, ("seed", "step")
    )
    assert BAR == 0.05  # half-way from 0.1 to 0.025, in logarithms
    assert float(at_bar(evidence, "plain", values)[0]) == pytest.approx(2.5)
    evidence["training_loss"].loc[{"variant": "plain"}] = 0.2
    assert np.isnan(at_bar(evidence, "plain", values)).all()


def test_nothing_is_interpolated_from_a_network_that_was_not_trained(made):
    evidence = made.isel(seed=[0]).copy(deep=True)
    losses = np.array([2.0, 0.01, 0.005, 0.002, 0.001, 0.001])
    evidence["training_loss"].loc[{"variant": "plain"}] = losses
    evidence["test_loss"].loc[{"variant": "plain"}] = np.array([2.0, 0.1, 0.1, 0.1, 0.1, 0.1])
    assert np.isnan(generalised(evidence, "plain")).all()
    assert np.isfinite(correlation(evidence, "units")).all()  # eleven of twelve are left
    for name in LEARNERS[:3]:
        evidence["training_loss"].loc[{"variant": name}] = losses
    assert np.isnan(correlation(evidence, "units")).all()


def test_a_run_that_diverged_has_the_worst_test_loss(made):
    evidence = put(made, "diverged_at", 3.0, variant="plain")
    assert np.isinf(generalised(evidence, "plain")).all()
    assert np.isfinite(generalised(evidence, "plain LN")).all()


def test_the_correlation_is_spearmans(made):
    evidence = made
    rng = np.random.default_rng(0)
    apart, loss = rng.random(12), rng.random(12)
    for name, one, two in zip(LEARNERS, apart, loss, strict=True):
        evidence = put(
            put(evidence, "apart_units", one, variant=name), "test_loss", two, variant=name
        )
    expected = scipy.stats.spearmanr(apart, loss).statistic
    np.testing.assert_allclose(correlation(evidence, "units"), expected, atol=0.02)
    assert set(MEASURES) - {"time"} < set(READINGS)


def test_percentiles_that_have_moved_by_half_their_half_spread_have_moved_by_half(made):
    found = moved(drifting(0.5)(made, "plain"), "plain")
    np.testing.assert_allclose(found.isel(step=0), 0.0)
    np.testing.assert_allclose(found.isel(step=-1), 0.5, rtol=1e-9)


def test_distances_are_those_of_the_verb_and_of_scipy():
    """At the first activation of a network without norm, where every unit is read: width 16."""
    network = Perceptron(width=16, depth=3).build(0)
    batch = TASK.batch(256, 0)
    found = alike(network, batch, TASK)
    test = TASK.full("test")[0][:256]
    with torch.no_grad():
        here, there = (
            network.blocks[0].weight(network.stem(x)).double().numpy() for x in (batch[0], test)
        )
    scale = np.concatenate([here, there]).std(axis=0)
    w1 = [scipy.stats.wasserstein_distance(here[:, u], there[:, u]) / scale[u] for u in range(16)]
    assert float(found["apart_test"].sel(block="first")) == pytest.approx(np.mean(w1), rel=1e-5)
    parts = [(x, None) for x in batch[0].chunk(4)]
    seen = sn.identical(network, parts, [(test, None)], draws=3)
    site = np.flatnonzero(seen["module"].values == "blocks.0.act")
    for sense in READINGS:
        for ours, theirs in (
            ("apart", f"identical_{sense}"),
            ("chance", f"identical_{sense}_null"),
        ):
            expected = float(seen[theirs].isel(site=site).sel(port="input").squeeze())
            assert float(found[f"{ours}_{sense}"].sel(block="first")) == pytest.approx(expected)


@pytest.mark.usefixtures("double")
def test_shapes_along_depth_are_means_over_the_draws():
    networks = Draws(Perceptron(width=8, inputs=8, depth=3, activation="tanh"), 2).build(4)
    x = torch.randn(100, 8)
    found = by_depth(networks, (x, None))
    tails, gaps = [], []
    for network in networks:
        with torch.no_grad():
            h = network.stem(x)
            for block in network.blocks[:2]:
                h = block(h)
            h = network.blocks[2].weight(h).numpy()
        tails.append(np.abs(scipy.stats.kurtosis(h, axis=0)).mean())
        z = (h - h.mean(axis=0)) / h.std(axis=0)
        grid = scipy.stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
        gaps.append(np.mean([scipy.stats.wasserstein_distance(u, grid) for u in z.T]))
    assert float(found["depth_kurtosis"].sel(layer=3)) == pytest.approx(np.mean(tails), rel=1e-9)
    assert float(found["depth_gaussian"].sel(layer=3)) == pytest.approx(np.mean(gaps), rel=1e-3)


def test_no_draw_of_one_seed_is_one_of_the_next():
    recipe = Draws(Perceptron(width=4, inputs=4, depth=1), 3)
    drawn = [net.stem.weight.sum().item() for seed in (0, 1) for net in recipe.build(seed)]
    assert len(set(drawn)) == 6


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("norm", "coupled"), [("none", False), ("layer", False), ("batch", True)])
def test_only_batch_norm_couples_samples(norm, coupled):
    network = Perceptron(width=8, inputs=8, depth=2, norm=norm).build(0)
    x = torch.randn(40, 8)
    found = coupling(network, (x, None))
    network.train()
    with torch.no_grad():
        here = network(x[:32])
        there = network(torch.cat([-x[:1], x[1:32]]))
    rest, spread = (there - here)[1:], here[1:] - here[1:].mean(dim=0)
    expected = float(rest.norm() / spread.norm())
    assert float(found["coupled"]) == pytest.approx(expected, abs=1e-12)
    assert (float(found["coupled"]) > 1e-3) == coupled
    assert (float(found["use_gap"]) > 1e-3) == coupled


def test_norms_fix_two_moments_and_leave_the_shape_and_the_network_alone():
    network = Perceptron(width=8, inputs=8, depth=3, norm="batch").build(0)
    for block in network.blocks:
        torch.nn.init.normal_(block.norm.bias)
        torch.nn.init.uniform_(block.norm.weight, 0.5, 2.0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = two_moments(network, (torch.randn(100, 8), None))
    for name in ("mean_error", "variance_error", "shape_error"):
        assert float(found[name]) < 1e-12
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_broken_norm_is_noticed():
    class Broken(torch.nn.BatchNorm1d):
        def forward(self, x):
            return super().forward(x).pow(3)

    network = torch.nn.Sequential(torch.nn.Linear(8, 8), Broken(8))
    found = two_moments(network, (torch.randn(100, 8), None))
    assert min(float(found[name]) for name in ("variance_error", "shape_error")) > 0.01
