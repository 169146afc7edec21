"""The inquiry `shattering` through the real pipeline, small; and its networks and readings, checked by hand.

Truth: the same networks written out with plain matrices, plain autograd, and counting.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from skipnorm.inquiries import CATALOGUE, load
from skipnorm.inquiries.shattering.learners import gradients_of, network_of
from skipnorm.inquiries.shattering.networks import Headless, OnTheLine
from skipnorm.inquiries.shattering.readings import along_the_line, between_samples
from skipnorm.inquiries.shattering.study import FULL, QUICK, Points, Size, study_of
from skipnorm.inquiries.subjects import SEEDS, TASK
from skipnorm.networks.recipe import Perceptron
from skipnorm.report import Section, write_page
from skipnorm.studies.plan import plan
from skipnorm.studies.run import run
from skipnorm.tasks import Gaussian
from skipnorm.verdicts import judge

INQUIRY = load("shattering")
TINY = Size(
    seeds=1,
    points=QUICK.points,
    line_width=8,
    linear_width=6,
    batch=6,
    plain_width=10,
    normed_width=10,
    normed_batch=8,
    normed_networks=2,
    bare_width=10,
    residual_width=8,
    rescaled_width=8,
    learners=1,
    learner_fields={"width": 6},
    training={"steps": 2},
)
BARE = Perceptron(stem=False, head=False, bias=False, affine=False, eps=0.0, width=7)


@pytest.fixture
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def recipe(**fields):
    return replace(BARE, **fields)


def normalised(h, norm):
    """By hand, with statistics as constants."""
    if norm == "none":
        return h
    centred = h - h.mean(0).detach()
    return centred if norm == "centre" else centred / h.std(0, correction=0).detach()


def autocorrelated(g, lag):
    g = g - g.mean()
    return float((g[: len(g) - lag] * g[lag:]).sum() / (g * g).sum())


def test_the_whole_pipeline_from_study_to_page(tmp_path):
    evidence = run(study_of(TINY), tmp_path / "study", progress="off")
    verdicts = [judge(claim, evidence) for claim in INQUIRY.claims]
    ruled = {v.claim.name: v.ruling for v in verdicts if v.ruling != "undecided"}
    # One seed decides nothing; the identity holds in any network, however small.
    assert ruled == {"looks-linear-is-constant": "supported"}
    figures = {name: draw(evidence) for name, draw in INQUIRY.figures.items()}
    section = Section(
        INQUIRY.name, INQUIRY.question, INQUIRY.method, "", verdicts, figures, INQUIRY.captions
    )
    page = write_page(tmp_path / "report.html", INQUIRY.question, [section])
    assert page.stat().st_size > 1e6
    files = list((tmp_path / "study" / "trials").rglob("*.nc"))
    assert len(files) == len(plan(study_of(TINY)))
    assert max(file.stat().st_size for file in files) < 2e5


def test_the_catalogue_asks_what_the_inquiry_asks():
    (entry,) = [entry for entry in CATALOGUE if entry.name == "shattering"]
    assert entry.question == INQUIRY.question


@pytest.mark.parametrize("size", [QUICK, FULL])
def test_initial_claims_have_twenty_draws_or_more_and_learners_the_usual_seeds(size):
    assert len(study_of(size).seeds) >= 20
    taught = [each.seeds for each in study_of(size).variants.values() if each.training]
    assert set(taught) == {len(SEEDS[size.scale])}


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("norm", ["none", "centre", "batch"])
@pytest.mark.parametrize("residual", [False, True])
def test_the_gradient_on_the_line_is_that_of_the_network_written_out(norm, residual):
    scale = {"branch_scale": 0.3} if residual else {}
    network = OnTheLine(recipe(norm=norm, residual=residual, **scale), (1, 4)).build(seed=5)
    batch = Points().batch(64, seed=0)
    found = along_the_line(network, batch)
    assert np.array_equal(found["x"], np.linspace(-2, 2, 64))
    weights = [value for name, value in network.named_parameters() if "blocks" in name]
    for depth in (1, 4):
        x = batch[0].clone().requires_grad_()
        h = x * network.stem.weight.T + network.stem.bias
        if residual:
            for weight in weights[:depth]:
                h = h + 0.3 * normalised(h, norm).relu() @ weight.T
            h = normalised(h, norm).relu()
        else:
            h = normalised(h, norm).relu()
            for weight in weights[: depth - 1]:
                h = normalised(h @ weight.T, norm).relu()
        (expected,) = torch.autograd.grad((h @ network.covector).sum(), x)
        at = found.sel(layer=depth)
        np.testing.assert_allclose(at["input_gradient"], expected[:, 0], rtol=1e-9, atol=1e-12)
        for lag in (1, 7):
            by_hand = autocorrelated(expected[:, 0], lag)
            seen = float(at["input_gradient_autocorrelation"].sel(lag=lag))
            assert seen == pytest.approx(by_hand, rel=1e-9)


@pytest.mark.usefixtures("double")
def test_a_looks_linear_network_is_linear_at_every_depth():
    blocks = recipe(activation="crelu", initializer="looks_linear")
    network = OnTheLine(blocks, (1, 6)).build(seed=0)
    found = along_the_line(network, Points().batch(32, seed=0))
    gradient = found["input_gradient"].values
    np.testing.assert_allclose(gradient, gradient[:, :1].repeat(32, 1), rtol=1e-12)
    # orthogonal weights: the slope is v . Q w, with Q the product of the blocks' matrices
    matrix = torch.eye(7)
    for name, weight in network.named_parameters():
        if "blocks" in name:
            matrix = weight[:, :7] @ matrix
    expected = network.covector[:7] @ matrix @ network.stem.weight[:, 0]
    assert gradient[1, 0] == pytest.approx(float(expected.detach()), rel=1e-12)


def test_first_layer_and_covector_are_drawn_as_published():
    network = OnTheLine(recipe(width=4000), (1,)).build(seed=3)
    for part, variance in (
        (network.stem.weight, 2.0),
        (network.stem.bias, 2.0),
        (network.covector, 1.0),
    ):
        assert float(part.detach().var()) == pytest.approx(variance, rel=5 * math.sqrt(2 / 4000))
    both = torch.stack([network.stem.weight[:, 0], network.stem.bias, network.covector]).detach()
    assert float((torch.corrcoef(both) - torch.eye(3)).abs().max()) < 5 / math.sqrt(4000)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("norm", ["none", "centre", "batch"])
def test_cosines_and_co_activation_are_those_of_the_network_written_out(norm):
    networks = Headless(recipe(norm=norm, width=40), (1, 3), networks=2).build(seed=1)
    batch = Gaussian(40).batch(9, seed=1)
    found = between_samples(networks, batch)
    cosines, pairs = {1: [], 3: []}, []
    apart = ~torch.eye(9, dtype=torch.bool)
    for number, network in enumerate(networks):
        for depth in (1, 3):
            x = batch[0].clone().requires_grad_()
            h = x
            for weight in list(network.parameters())[:depth]:
                before = normalised(h @ weight.T, norm)
                if number == 0 and depth == 3:
                    on = (before > 0).double()
                    pairs.append(float((on @ on.T / 40)[apart].mean()))
                h = before.relu()
            (gradient,) = torch.autograd.grad((h @ network.covector).sum(), x)
            units = gradient / gradient.norm(dim=1, keepdim=True)
            cosines[depth].append(float((units @ units.T)[apart].mean()))
    for depth, values in cosines.items():
        seen = float(found["gradient_correlation"].sel(layer=depth))
        assert seen == pytest.approx(np.mean(values), rel=1e-8)
    np.testing.assert_allclose(found["co_activation"], pairs, rtol=1e-12)


def test_seeds_differ_depths_share_and_variants_are_paired():
    line = OnTheLine(recipe(), (1, 3))
    one, again, other = line.build(0), line.build(0), line.build(1)
    state, same, else_ = one.state_dict(), again.state_dict(), other.state_dict()
    assert all(torch.equal(state[name], same[name]) for name in state)
    assert not any(torch.equal(state[name], else_[name]) for name in state)
    normed = OnTheLine(recipe(norm="batch"), (1, 3)).build(0).state_dict()
    assert all(torch.equal(state[name], normed[name]) for name in state)
    assert one.cut(1)[1] is one.cut(3)[1]


def test_no_network_of_one_seed_is_one_of_the_next():
    several = Headless(recipe(), (1,), networks=3)
    drawn = [net.covector for seed in (0, 1) for net in several.build(seed)]
    assert len({tuple(each.tolist()) for each in drawn}) == 6


def test_measuring_leaves_the_network_as_it_was():
    network = OnTheLine(recipe(norm="batch", residual=True), (2,)).build(0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    along_the_line(network, Points().batch(32, seed=0))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", ["plain", "residual BN", "residual LN"])
def test_a_learners_gradient_along_a_segment_is_the_slope_of_its_output_there(name):
    """By central differences in the network written as a function of how far one is, statistics held."""
    network = network_of(name, width=6).build(seed=3)
    inputs, targets = TASK.batch(32, seed=3)
    inputs = inputs.double()
    found = float(gradients_of(network, (inputs, targets))["segment_autocorrelation"])
    covector = torch.randn(10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    covector = covector / covector.norm()
    by_hand = []
    for start, end in inputs[:8].reshape(4, 2, -1):
        shares = torch.linspace(0, 1, 256).double()[:, None].requires_grad_()
        h = network.stem(start + shares * (end - start))
        for block in network.blocks:
            if name == "plain":
                h = block.weight(h).relu()
            elif name == "residual LN":
                h = h + block.weight(block.norm(h).relu())
            else:
                h = h + block.weight(normalised_as(block.norm, h).relu())
        if name == "residual LN":
            h = network.head.norm(h).relu()
        elif name == "residual BN":
            h = normalised_as(network.head.norm, h).relu()
        out = network.head.weight(h)
        (slope,) = torch.autograd.grad((out @ covector).sum(), shares)
        by_hand.append(autocorrelated(slope[:, 0], 1))
    assert found == pytest.approx(np.mean(by_hand), rel=1e-6)


def normalised_as(norm, h):
    """A fresh batch norm by hand, statistics as constants."""
    return (h - h.mean(0).detach()) / (h.var(0, correction=0).detach() + norm.eps).sqrt()


def test_a_learner_that_looks_linear_remembers_all_by_convention():
    found = gradients_of(network_of("looks linear").build(seed=0), TASK.batch(32, seed=0))
    assert float(found["segment_autocorrelation"]) == 1.0


def test_likeness_of_batches_is_one_for_equal_parts_and_that_of_plain_gradients():
    network = network_of("residual BN", width=8).build(seed=0)
    inputs, targets = TASK.batch(8, seed=0)
    same = gradients_of(network, (inputs.repeat(4, 1), targets.repeat(4)))
    assert float(same["batch_gradient_cosine"]) == pytest.approx(1, abs=1e-6)
    inputs, targets = TASK.batch(32, seed=1)
    found = float(gradients_of(network, (inputs, targets))["batch_gradient_cosine"])
    gradients = []
    for rows in (slice(0, 8), slice(8, 16), slice(16, 24), slice(24, 32)):
        network.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs[rows]), targets[rows]).backward()
        gradients.append(torch.cat([each.grad.flatten() for each in network.parameters()]))
    units = torch.nn.functional.normalize(torch.stack(gradients))
    expected = float((units @ units.T)[~torch.eye(4, dtype=torch.bool)].mean())
    assert found == pytest.approx(expected, rel=1e-4)
