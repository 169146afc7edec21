"""The inquiry `rescaling`: it runs, its claims can come out either way, its readings are what they say.

Truth: made-up evidence for claims; hooks, autograd by hand and power iteration for readings; the library's own
definitions, counted again, for the census (slow).
"""

import math

import numpy as np
import pytest
import torch
import xarray as xr
from benchmarks.census import counted
from tests.inquiries.made_up import put, shaped_like
from torch.nn import functional

from skipnorm.inquiries import CATALOGUE, load
from skipnorm.inquiries.rescaling.census import COUNTS, families
from skipnorm.inquiries.rescaling.effects import MECHANISMS, over_the_grid
from skipnorm.inquiries.rescaling.figures import cells
from skipnorm.inquiries.rescaling.readings import in_training, mechanisms
from skipnorm.inquiries.rescaling.study import FULL, QUICK, Size, study_of
from skipnorm.inquiries.rescaling.techniques import (
    KINDS,
    TECHNIQUES,
    Columns,
    Draws,
    named,
    recipe,
)
from skipnorm.studies.run import run
from skipnorm.tasks import Digits
from skipnorm.verdicts import judge

INQUIRY = load("rescaling")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims}
RATE = 0.1
START = ("signal_drift", "gradient_drift", "sample_correlation", "gradient_correlation", "lopsided")
TRAINED = ("test_loss", "validation_loss", "loss_range", "gradient_predictiveness", "input_mean")
EVERY = [(kind, technique) for kind in KINDS for technique in TECHNIQUES[kind]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Two draws, two updates, one rate, one seed: every variant is built, read and trained."""
    size = Size(seeds=1, draws=2, steps=2, rates=(RATE,), batch=32)
    return run(study_of(size), tmp_path_factory.mktemp("rescaling"))


@pytest.fixture(scope="module")
def world(tiny):
    """All techniques alike, no family with any site."""
    evidence = shaped_like(tiny)
    for kind, technique in EVERY:
        for quantity in START:
            evidence = set_to(evidence, quantity, kind, technique, 1.0)
        evidence = set_to(evidence, "top_eigenvalue", kind, technique, 1.0)
        evidence = set_to(evidence, "input_mean", kind, technique, 0.0, trained=False)
        evidence = set_to(evidence, "input_spread", kind, technique, 1.0)
        for quantity in TRAINED:
            evidence = set_to(evidence, quantity, kind, technique, 1.0)
    for name in COUNTS:
        evidence = put(evidence, f"census_{name}", 0.0, variant="census", rate=0.0)
    return evidence


def set_to(evidence, quantity, kind, technique, value, trained=None):
    """A quantity of one network, where it is read."""
    trained = quantity in TRAINED if trained is None else trained
    where = {"variant": named(kind, technique, trained=trained), "rate": RATE if trained else 0.0}
    return put(evidence, quantity, value, **where)


def changed(evidence, changes):
    for quantity, kind, techniques, value in changes:
        if kind == "census":
            evidence = put(evidence, f"census_{quantity}", value, variant="census", rate=0.0)
            continue
        for technique in techniques.split():
            evidence = set_to(evidence, quantity, kind, technique, value)
            if quantity == "test_loss":
                evidence = set_to(evidence, "validation_loss", kind, technique, value)
    return evidence


def both(quantity, technique, value):
    return [(quantity, kind, technique, value) for kind in KINDS]


EVERYTHING = [
    ("gradient_drift", "plain", "batch", 0.1),
    ("lopsided", "plain", "batch", 0.5),
    ("loss_range", "plain", "batch", 0.1),
    ("test_loss", "plain", "batch", 0.5),
]

#: Claim: what is changed for it to hold, and for it not to hold; in the world as it is nothing differs.
WORLDS = {
    "batch-brings-all": (EVERYTHING, EVERYTHING[1:]),
    "batch-explodes-most": ([("gradient_drift", "plain", "batch", 2.0)], []),
    "skips-level-the-norms": ([], [("gradient_drift", "residual", "batch", 2.0)]),
    "batch-smooths": (both("loss_range", "batch", 0.1), []),
    "others-smooth-too": ([("loss_range", "plain", "layer group RMS", 0.1)], []),
    "batch-is-sharpest": ([("top_eigenvalue", "plain", "batch", 3.0)], []),
    "batch-flattens": (both("top_eigenvalue", "batch", 0.1), []),
    "batch-learns-at-more-rates": (both("test_loss", "batch", 0.5), []),
    "others-learn-at-more-rates": (
        [
            ("test_loss", "plain", "layer group weights", 0.5),
            ("test_loss", "residual", "layer SkipInit weights", 0.5),
        ],
        [("test_loss", "plain", "layer group weights", 0.5)],
    ),
    "residual-needs-batch-norm": ([("test_loss", "residual", "none", 2.0)], []),
    "skipinit-replaces-it": ([], [("test_loss", "residual", "SkipInit", 2.0)]),
    "standardised-weights-replace-it": ([], [("test_loss", "residual", "weights", 2.0)]),
    "layer-norm-replaces-it": ([], [("test_loss", "residual", "layer", 2.0)]),
    "group-norm-is-near": ([], [("test_loss", "plain", "group", 2.0)]),
    "instance-norm-is-worse": ([("test_loss", "plain", "instance", 2.0)], []),
    "centring-is-dispensable": ([], [("test_loss", "plain", "RMS", 2.0)]),
    "batch-keeps-samples-apart": ([("sample_correlation", "plain", "batch", 0.5)], []),
    "centred-weights-keep-samples-apart": (
        [("sample_correlation", "plain", "weights", 0.5)],
        [],
    ),
    "batch-steadies-inputs": (both("input_mean", "batch", 0.3), []),
    "most-have-norms": ([("norms", "census", "", 3.0)], []),
    "most-have-skips": ([("projection", "census", "", 1.0)], []),
    "most-have-batch-norm": ([("batch", "census", "", 1.0)], []),
    "few-have-batch-norm": ([], [("batch", "census", "", 1.0)]),
}


def test_every_claim_has_its_worlds():
    assert set(WORLDS) == set(CLAIMS)


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_supported_where_it_holds(name, world):
    verdict = judge(CLAIMS[name], changed(world, WORLDS[name][0]))
    assert verdict.ruling == "supported", verdict.reason


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_refuted_where_it_does_not(name, world):
    verdict = judge(CLAIMS[name], changed(world, WORLDS[name][1]))
    assert verdict.ruling == "refuted", verdict.reason


def test_the_tiny_study_runs_to_its_end(tiny):
    assert {str(name) for name in tiny["variant"].values} == {
        *(named(*each) for each in EVERY),
        *(named(*each, trained=True) for each in EVERY),
        "census",
    }
    for claim in INQUIRY.claims:
        assert judge(claim, tiny).ruling in ("supported", "refuted", "undecided")


@pytest.mark.parametrize("name", INQUIRY.figures)
def test_every_figure_draws(name, tiny):
    drawn = INQUIRY.figures[name](tiny).data
    assert any(len(trace.x) for trace in drawn)


def test_sizes_are_enough_for_rulings():
    assert QUICK.seeds * QUICK.draws >= 20
    assert (QUICK.seeds, FULL.seeds) >= (6, 10)
    assert next(each for each in CATALOGUE if each.name == "rescaling").question == INQUIRY.question


# The matrix --------------------------------------------------------------------------------------


def test_a_cell_says_better_worse_or_the_same_and_diverged_losses_are_worst(world):
    evidence = changed(
        world,
        [
            ("gradient_drift", "plain", "batch", 0.1),
            ("gradient_drift", "plain", "layer", 2.0),
            ("test_loss", "plain", "group", 0.1),
            ("test_loss", "plain", "RMS", np.inf),
        ],
    )
    found = cells(evidence, "plain")["ruling"]
    drift, loss = MECHANISMS["gradient"].words, MECHANISMS["loss"].words
    assert found.sel(case=drift, variant="batch") == "better"
    assert found.sel(case=drift, variant="layer") == "worse"
    assert found.sel(case=drift, variant="RMS") == "same"
    assert found.sel(case=loss, variant="group") == "better"
    assert found.sel(case=loss, variant="RMS") == "worse"
    assert found.sizes == {"case": len(MECHANISMS), "variant": len(TECHNIQUES["plain"]) - 1}


def test_noise_leaves_a_cell_open(world):
    noise = xr.DataArray(np.linspace(-1.0, 3.0, world.sizes["seed"]), {"seed": world["seed"]})
    name = named("residual", "layer")
    noisy = world["gradient_drift"].where(world["variant"] != name, world["gradient_drift"] * noise)
    found = cells(world.assign(gradient_drift=noisy), "residual")["ruling"]
    assert found.sel(case=MECHANISMS["gradient"].words, variant="layer") == "open"


def test_a_loss_over_the_grid_counts_divergence_as_a_guess():
    rates = [0.0, 0.1, 0.3, 1.0]
    losses = xr.DataArray(
        [[[np.nan, 1.0, np.nan, 50.0]]],
        {"variant": [named("plain", "batch", trained=True)], "seed": [0], "rate": rates},
        ("variant", "seed", "rate"),
    )
    found = over_the_grid(xr.Dataset({"test_loss": losses}), "plain", "batch")
    assert found.item() == pytest.approx((1.0 + 2 * math.log(10)) / 3)


def test_a_rate_that_was_not_run_is_no_guess():
    name, rates = named("plain", "batch", trained=True), [0.03, 0.3]
    grid = {"variant": [name], "seed": [0, 1], "rate": rates}
    losses = xr.DataArray([[[1.0, np.nan], [1.0, np.nan]]], grid, list(grid))
    ran = xr.DataArray([[[True, True], [True, False]]], grid, list(grid))
    found = over_the_grid(xr.Dataset({"test_loss": losses, "recorded": ran}), "plain", "batch")
    assert found.sel(seed=0).item() == pytest.approx((1.0 + math.log(10)) / 2)  # it diverged
    assert np.isnan(found.sel(seed=1).item())


def test_families_are_not_taken_for_seeds(world):
    """A run that diverged with seed 0 says nothing of the first family."""
    where = {"variant": named("plain", "none", trained=True), "rate": RATE, "seed": 0}
    diverged = world["diverged_at"].copy()
    diverged.loc[where] = 1.0
    half = np.arange(world.sizes["case"]) % 2
    evidence = put(world, "census_norms", half, variant="census", rate=0.0)
    verdict = judge(CLAIMS["most-have-norms"], evidence.assign(diverged_at=diverged))
    assert verdict.effect == pytest.approx(half.mean(), abs=0.01)


# Networks and data -------------------------------------------------------------------------------


def test_columns_are_the_digits():
    images, columns = Digits().arrays()["test_inputs"], Columns().arrays()["test_inputs"]
    np.testing.assert_array_equal(images[:, 0], columns)


def test_the_first_draw_is_the_network_that_is_trained():
    network = recipe("plain", "weights")
    draws = Draws(network, 2).build(seed=3)
    alone = network.build(seed=3)
    torch.testing.assert_close(draws[0].blocks[2].weight.weight, alone.blocks[2].weight.weight)
    assert not torch.equal(draws[1].blocks[2].weight.weight, alone.blocks[2].weight.weight)
    assert "gain" in dict(draws[1].blocks[2].weight.named_parameters())


# Readings ----------------------------------------------------------------------------------------


def read(kind, technique):
    """A network in float64, a batch, and what is read of them; what leaves each block, with its gradient."""
    x, y = Columns().batch(16, seed=1)
    network = recipe(kind, technique).build(seed=1, dtype=torch.float64)
    x = x.double()
    found = mechanisms([network], (x, y)).isel(draw=0)
    signal = network.stem(x)
    along = []
    for block in network.blocks:
        signal = block(signal)
        signal.retain_grad()
        along.append(signal)
    loss = functional.cross_entropy(network.head(signal), y)
    return network, (x, y), found, along, loss


@pytest.mark.parametrize(("kind", "technique"), [("plain", "batch"), ("residual", "layer")])
def test_drift_and_likeness_are_those_of_a_pass_by_hand(kind, technique):
    _, _, found, along, loss = read(kind, technique)
    loss.backward()
    first, last = along[0], along[-1]
    gradients = [first.grad.square().mean().item(), last.grad.square().mean().item()]
    first, last = first.detach(), last.detach()
    ratio = (last.square().mean() / first.square().mean()).item()
    assert found["signal_drift"].item() == pytest.approx(abs(math.log10(ratio)), rel=1e-6)
    ratio = gradients[0] / gradients[1]
    assert found["gradient_drift"].item() == pytest.approx(abs(math.log10(ratio)), rel=1e-6)
    rows = functional.normalize(last.flatten(1))
    off = (rows @ rows.T)[~torch.eye(len(rows), dtype=torch.bool)]
    assert found["sample_correlation"].item() == pytest.approx(off.mean().item(), abs=1e-6)


def test_lopsided_is_how_far_units_are_from_being_on_half_of_the_time():
    network, (x, _), found, _, _ = read("plain", "none")
    held = []
    for block in network.blocks:
        block.act.register_forward_pre_hook(lambda _, inputs: held.append(inputs[0] > 0))
    network(x)
    shares = [on.double().mean(dim=(0, 2)) for on in held]
    expected = torch.stack([(2 * share - 1).abs().mean() for share in shares[4:]]).mean()
    assert found["lopsided"].item() == pytest.approx(expected.item(), abs=1e-6)


def test_gradients_of_samples_agree_as_those_taken_one_by_one_do():
    network, (x, y), found, _, _ = read("plain", "none")
    rows = []
    for one, label in zip(x, y, strict=True):
        loss = functional.cross_entropy(network(one[None]), label[None])
        grads = torch.autograd.grad(loss, list(network.parameters()))
        rows.append(torch.cat([each.flatten() for each in grads]))
    unit = functional.normalize(torch.stack(rows))
    off = (unit @ unit.T)[~torch.eye(len(unit), dtype=torch.bool)]
    assert found["gradient_correlation"].item() == pytest.approx(off.mean().item(), abs=1e-6)


def test_the_top_eigenvalue_is_that_of_power_iteration():
    network, _, found, _, loss = read("residual", "batch")
    weights = list(network.parameters())
    grads = torch.autograd.grad(loss, weights, create_graph=True)
    vector = [torch.ones_like(each) for each in weights]
    value = 0.0
    for _ in range(60):
        size = math.sqrt(sum(float((each**2).sum()) for each in vector))
        vector = [each / size for each in vector]
        inner = sum((g * v).sum() for g, v in zip(grads, vector, strict=True))
        after = torch.autograd.grad(inner, weights, retain_graph=True)
        value = sum(float((a * v).sum()) for a, v in zip(after, vector, strict=True))
        vector = list(after)
    assert found["top_eigenvalue"].item() == pytest.approx(value, rel=0.03)


def test_in_training_the_loss_ranges_as_steps_by_hand_say():
    network, (x, y), _, _, loss = read("plain", "layer")
    found = in_training(network, (x, y))
    weights = list(network.parameters())
    grads = torch.autograd.grad(loss, weights)
    values = []
    for length in (0.05, 0.1, 0.2, 0.4):
        other = recipe("plain", "layer").build(seed=1, dtype=torch.float64)
        with torch.no_grad():
            for weight, grad in zip(other.parameters(), grads, strict=True):
                weight -= length * grad
            values.append(functional.cross_entropy(other(x), y).item())
    assert found["loss_range"].item() == pytest.approx(max(values) - min(values), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_of_the_last_block_are_those_of_a_pass_by_hand(kind):
    network, _, found, along, _ = read(kind, "batch")
    entering, last = along[-2], network.blocks[-1]
    if kind == "residual":
        entering = last.act(last.norm(entering))
    units = entering.detach().transpose(0, 1).flatten(1)
    np.testing.assert_allclose(found["input_mean"], units.mean(1), atol=1e-9)
    np.testing.assert_allclose(found["input_spread"], units.std(1, correction=0), atol=1e-9)


# The census --------------------------------------------------------------------------------------


def test_kinds_of_norm_add_up_to_all_norms():
    assert len(families()) >= 39
    for row in families():
        kinds = sum(int(row[name]) for name in ("batch", "layer", "group", "rms", "other"))
        assert kinds == int(row["norms"]), row["family"]
        assert row["transformers"]
        assert row["date"]


@pytest.mark.slow
def test_counting_again_gives_the_table():
    again = [{key: str(value) for key, value in row.items()} for row in counted()]
    kept = [{key: row[key] for key in again[0]} for row in families()]
    assert kept == again, "count again: python -m benchmarks.census"
