"""The inquiry `stability` through the real pipeline, small; and what it reads, checked by hand.

Truth: plain forward passes, plain autograd and numpy on the same networks.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from tests.inquiries.theoretical_world import END, SEEDS, world

from skipnorm.errors import NetworkError
from skipnorm.inquiries import CATALOGUE, load
from skipnorm.inquiries.stability.closed import formula_errors
from skipnorm.inquiries.stability.depth import CHANCE, final_loss
from skipnorm.inquiries.stability.effects import along
from skipnorm.inquiries.stability.isometry import IsometrySize, spectra
from skipnorm.inquiries.stability.populations import OnePerSample, SideBySide
from skipnorm.inquiries.stability.readings import PROBES, residual_stream, sizes
from skipnorm.inquiries.stability.slopes import mean_derivatives
from skipnorm.inquiries.stability.stacks import Stacked
from skipnorm.inquiries.stability.steadiness import learnt, moved_less
from skipnorm.inquiries.stability.study import FULL, QUICK, Size, study_of
from skipnorm.networks.recipe import OneLayer, Perceptron
from skipnorm.report import Section, write_page
from skipnorm.studies.measure import measure
from skipnorm.studies.run import run
from skipnorm.tasks import Gaussian
from skipnorm.verdicts import judge

INQUIRY = load("stability")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims}
TINY = Size(
    seeds=2,
    batches=(8,),
    linear_batches=(8,),
    tanh_batches=(8,),
    depth=10,
    width=12,
    residual_width=12,
    residual_batch=16,
    residual_depth=12,
    stream_width=12,
    stream_batch=16,
    late_width=12,
    nf_width=12,
    nf_depth=5,
    draws=6,
    draws_width=8,
    panel=2,
    panel_width=12,
    isometry=IsometrySize(
        width=6,
        depths=(1, 10),
        edge_width=8,
        edge_depths=(1, 2),
        normed_width=6,
        normed_batch=5,
        normed_depths=(1, 10),
    ),
    learners=1,
    rates={"plain": (0.1,), "plain BN": (0.1,)},
    steps=1,
)
BLOCK = Perceptron(stem=False, head=False, bias=False, affine=False, eps=0.0, depth=1, width=6)


def test_the_whole_pipeline_from_study_to_page(tmp_path):
    evidence = run(study_of(TINY), tmp_path / "study", progress="off")
    verdicts = [judge(claim, evidence) for claim in INQUIRY.claims]
    identities = {v.claim.name: v.ruling for v in verdicts if v.ruling != "undecided"}
    # Two seeds decide nothing; identities hold in any network, however small, or in none.
    assert identities == {
        "scaled-shortcuts": "supported",
        "shortcut-plus-branch": "supported",
        "one-layer-gradient": "supported",
        "one-layer-without-target": "refuted",
        "chain-as-printed": "refuted",
        "chain-corrected": "supported",
        "orthogonal-linear-is-isometric": "supported",
    }
    assert all("never ran" not in verdict.reason for verdict in verdicts)
    figures = {name: draw(evidence) for name, draw in INQUIRY.figures.items()}
    section = Section(
        INQUIRY.name, INQUIRY.question, INQUIRY.method, "", verdicts, figures, INQUIRY.captions
    )
    page = write_page(tmp_path / "report.html", INQUIRY.question, [section])
    assert page.stat().st_size > 1e6
    files = list((tmp_path / "study" / "trials").rglob("*.nc"))
    assert max(file.stat().st_size for file in files) < 1e5


def test_the_catalogue_asks_what_the_inquiry_asks():
    (entry,) = [entry for entry in CATALOGUE if entry.name == "stability"]
    assert entry.question == INQUIRY.question


@pytest.mark.parametrize("size", [QUICK, FULL])
def test_every_claim_on_draws_has_twenty_or_more(size):
    study = study_of(size)
    fewer = {name for name, variant in study.variants.items() if variant.seeds is not None}
    exact = {name for name, variant in study.variants.items() if variant.dtype == "float64"}
    learners = {name for name, variant in study.variants.items() if variant.training is not None}
    assert len(study.seeds) >= 20
    assert fewer <= exact | learners


def test_every_sample_has_a_network_of_its_own():
    recipe = OnePerSample(networks=5, width=7, depth=3)
    network = recipe.build(seed=1).requires_grad_(False)
    inputs, covectors = Gaussian(7).batch(5, seed=1)
    found = sizes(network, (inputs, covectors))
    logs = []
    for sample in range(5):
        x = inputs[sample] / inputs[sample].square().mean().sqrt()
        for block in network.blocks:
            x = torch.relu(block.weight[sample] @ x)
        logs.append(float(x.double().square().mean().log()))
    assert found["log_size_mean"].values[-1] == pytest.approx(np.mean(logs), rel=1e-5)
    assert found["log_size_variance"].values[-1] == pytest.approx(np.var(logs, ddof=1), rel=1e-5)
    assert found["mean_square"].values[-1] == pytest.approx(np.exp(logs).mean(), rel=1e-5)


def test_networks_side_by_side_do_not_mix():
    network = SideBySide(networks=3, width=6, depth=2).build(seed=0).requires_grad_(False)
    inputs, covectors = Gaussian(18).batch(9, seed=0)
    found = sizes(network, (inputs, covectors))
    variances, means = [], []
    for index in range(3):
        x = inputs[:, 6 * index : 6 * index + 6]
        for block in network.blocks:
            x = torch.relu(x @ block.weight[index].T)
        variances.append(x.var(dim=0, unbiased=False).mean().item())
        means.append(x.mean(dim=0).square().mean().item())
    assert found["channel_variance"].values[-1] == pytest.approx(np.mean(variances), rel=1e-5)
    assert found["channel_squared_mean"].values[-1] == pytest.approx(np.mean(means), rel=1e-5)


def test_a_stack_has_the_variances_it_was_told():
    block = Perceptron(stem=False, head=False, depth=1, width=200, activation="tanh")
    stack = Stacked(block, depth=3, weight_variance=1.761, bias_variance=0.05).build(seed=3)
    for layer in (stack.blocks[0].weight, stack.blocks[2].weight):
        weight, bias = layer.weight.detach(), layer.bias.detach()
        assert float(weight.var()) * 200 == pytest.approx(1.761, rel=0.03)
        assert float(bias.square().mean()) == pytest.approx(0.05, rel=0.35)
    assert not torch.equal(stack.blocks[0].weight.weight, stack.blocks[1].weight.weight)


def test_stacks_differ_by_what_they_differ_in():
    one = Stacked(BLOCK, depth=2, weight_variance=1.0).build(seed=5)
    other = Stacked(BLOCK, depth=2, weight_variance=4.0).build(seed=5)
    torch.testing.assert_close(other.blocks[1].weight.weight, 2 * one.blocks[1].weight.weight)
    again = Stacked(BLOCK, depth=2, weight_variance=1.0).build(seed=5)
    assert torch.equal(one.blocks[1].weight.weight, again.blocks[1].weight.weight)


def test_what_is_no_stack_is_refused():
    with pytest.raises(NetworkError, match="a block of depth 1"):
        Stacked(Perceptron(width=3), depth=2)
    with pytest.raises(NetworkError, match="no negative variance"):
        Stacked(BLOCK, depth=2, weight_variance=-1.0)


def test_mean_derivatives_are_those_of_the_formula():
    recipe = Perceptron(stem=False, head=False, width=5, depth=3, activation="tanh", norm="batch")
    network = recipe.build(0, dtype=torch.float64)
    x = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected, h = [], x
    for block in network.blocks:
        z = h @ block.weight.weight.T + block.weight.bias
        z = (z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt()
        h = torch.tanh(z)
        expected.append((1 - h**2).mean().item())
    found = mean_derivatives(network.eval(), (x, None))
    np.testing.assert_allclose(found["mean_derivative"], expected, rtol=1e-12)


def test_the_printed_formulas_are_other_numbers():
    # Truth: derivatives by hand of 0.5 (o - y)^2 with o = s(w2 s(w1 x)).
    chain = Perceptron(
        stem=False, head=False, bias=False, activation="sigmoid", depth=2, width=1
    ).build(0, dtype=torch.float64)
    x, y = (torch.tensor([[value]], dtype=torch.float64) for value in (0.7, 0.2))
    w1, w2 = (parameter.item() for parameter in chain.parameters())

    def s(z):
        return 1 / (1 + np.exp(-z))

    h = s(w1 * 0.7)
    o = s(w2 * h)
    right = (o - 0.2) * o * (1 - o) * w2 * h * (1 - h) * 0.7
    printed = (o - 0.2) * o * (1 - o) * h * h * (1 - h) * 0.7
    found = formula_errors(chain, (x, y))
    assert float(found["gradient_error"]) < 1e-14
    assert float(found["printed_error"]) == pytest.approx(abs(printed / right - 1), rel=1e-9)
    layer = OneLayer(inputs=1, outputs=1).build(1, dtype=torch.float64)
    o = s(layer[0].weight.item() * 0.7)
    found = formula_errors(layer, (x, y))
    assert float(found["printed_error"]) == pytest.approx(abs(o / (o - 0.2) - 1), rel=1e-9)


def test_spectra_are_those_of_the_product_of_matrices():
    network = Stacked(BLOCK, depth=3, weight_variance=2.0).build(0).double()
    x = torch.randn(1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    product, h = np.eye(6), x[0].numpy()
    for block in network.blocks[:2]:
        weight = block.weight.weight.detach().numpy()
        product = np.diag(weight @ h > 0) @ weight @ product
        h = np.maximum(weight @ h, 0)
    values = np.linalg.svd(product, compute_uv=False)
    found = spectra(network, (x, None), depths=(1, 2)).sel(layer=2)
    kept = np.log(values[values > 1e-12 * values.max()])
    assert float(found["largest_square"]) == pytest.approx(values.max() ** 2)
    assert float(found["mean_squared_value"]) == pytest.approx(np.mean(values**2))
    assert float(found["near_one"]) == pytest.approx(np.mean((values >= 0.5) & (values <= 2)))
    assert float(found["unit_error"]) == pytest.approx(np.abs(values - 1).max())
    assert float(found["log_spread"]) == pytest.approx(kept.std())


def test_a_normed_batch_has_one_jacobian_with_two_zeros_a_channel():
    # Truth: section 0 of the derivation: directions 1 and y-hat of every channel are lost.
    network = Stacked(replace(BLOCK, norm="batch", activation="identity"), 1, 1.0).build(0).double()
    x = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    jacobian = torch.autograd.functional.jacobian(network.train(), x).reshape(30, 30)
    values = torch.linalg.svdvals(jacobian).numpy()
    assert (values < 1e-12).sum() == 12
    found = spectra(network, (x, None), depths=(1,)).sel(layer=1)
    assert float(found["mean_squared_value"]) == pytest.approx(np.mean(values**2))


def test_learners_are_read_at_their_own_best_rate():
    evidence = world()
    here = {"variant": "tanh learner", "rate": 0.1}
    evidence["mean_derivative"].loc[here | {"step": END, "layer": range(1, 7)}] = 0.123
    assert float(learnt(evidence, "tanh learner").isel(step=-1).max()) == pytest.approx(
        0.4, rel=0.01
    )
    evidence["validation_loss"].loc[here] = 1e-6
    assert float(learnt(evidence, "tanh learner").isel(step=-1).max()) == pytest.approx(0.123)
    assert float(final_loss(evidence, "plain BN", 32).mean()) == pytest.approx(0.743, rel=0.01)


def test_a_learner_that_diverges_everywhere_moves_nowhere_and_is_not_left_out():
    evidence = world()
    for name in ("training_loss", "validation_loss", "test_loss", "mean_derivative"):
        evidence[name].loc[{"variant": "tanh BN learner", "seed": 0, "step": END}] = np.nan
    gone = {"variant": "tanh BN learner", "seed": 0}
    evidence["diverged_at"] = xr.full_like(evidence["gradient_error"], np.nan)
    evidence["diverged_at"].loc[gone | {"rate": [0.03, 0.1]}] = 3.0
    moved = moved_less(evidence)
    assert np.isnan(moved.sel(seed=0))
    assert int(moved.notnull().sum()) == SEEDS - 1
    assert judge(CLAIMS["bn-steadies-derivatives-in-training"], evidence).ruling != "supported"


def test_guessing_costs_the_logarithm_of_ten():
    assert pytest.approx(-np.log(0.1)) == CHANCE


def test_he_weights_have_variance_two_over_width():
    weights = OnePerSample(networks=50, width=40, depth=2).build(seed=0).blocks[0].weight
    assert float(weights.detach().var()) == pytest.approx(2 / 40, rel=0.02)


def test_a_residual_stream_is_read_where_the_blocks_meet():
    recipe = Perceptron(
        stem=False, head=False, width=8, depth=4, residual=True, norm="batch", eps=0.0
    )
    network = recipe.build(0, dtype=torch.float64)
    inputs, covectors = (part.double() for part in Gaussian(8).batch(6, seed=0))
    found = residual_stream(
        measure(network, (inputs, covectors), loss="inner_product", probes=PROBES)
    )
    points = [inputs.requires_grad_()]
    for block in network.blocks:
        points.append(block(points[-1]))
    gradients = torch.autograd.grad((points[-1] * covectors).sum(), points)
    expected = [gradient.square().mean().item() for gradient in gradients]
    np.testing.assert_allclose(found["gradient_mean_square"], expected, rtol=1e-12)
    expected = [point.detach().square().mean().item() for point in points]
    np.testing.assert_allclose(found["mean_square"], expected, rtol=1e-12)
    np.testing.assert_allclose(found["direct"], 1.0, rtol=1e-12)
    np.testing.assert_allclose(found["shortcut_share"] + found["branch_share"], 1.0, rtol=1e-12)


def test_a_quantity_is_as_deep_as_its_variant():
    assert along(world(), "weight-norm-act", "mean_square").sizes["layer"] == 11
