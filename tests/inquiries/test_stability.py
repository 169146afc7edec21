"""The inquiry `stability` through the real pipeline, small; and what it reads, checked by hand.

Truth: plain forward passes and plain autograd on the same networks.
"""

import numpy as np
import pytest
import torch

from skipnorm.inquiries import CATALOGUE, load
from skipnorm.inquiries.stability.effects import along
from skipnorm.inquiries.stability.populations import OnePerSample, SideBySide
from skipnorm.inquiries.stability.readings import Readings, plain_stream, residual_stream
from skipnorm.inquiries.stability.study import FULL, QUICK, Size, study_of
from skipnorm.networks.recipe import Perceptron
from skipnorm.report import Section, write_page
from skipnorm.studies.measure import measure
from skipnorm.studies.run import run
from skipnorm.tasks import Gaussian
from skipnorm.verdicts import judge

INQUIRY = load("stability")
TINY = Size(
    seeds=2,
    batches=(8,),
    few_batches=(8,),
    depth=10,
    width=12,
    residual_width=12,
    residual_batch=16,
    residual_depth=12,
    stream_width=12,
    stream_batch=16,
    late_width=12,
    nf_depth=5,
    draws=6,
    draws_width=8,
    panel=2,
    panel_width=12,
)


def test_the_whole_pipeline_from_study_to_page(tmp_path):
    evidence = run(study_of(TINY), tmp_path / "study", progress="off")
    verdicts = [judge(claim, evidence) for claim in INQUIRY.claims]
    identities = {v.claim.name: v.ruling for v in verdicts if v.ruling != "undecided"}
    # Two seeds decide nothing; identities hold in any network, however small.
    assert identities == {"scaled-shortcuts": "supported", "shortcut-plus-branch": "supported"}
    figures = {name: draw(evidence) for name, draw in INQUIRY.figures.items()}
    section = Section(
        INQUIRY.name, INQUIRY.question, INQUIRY.method, "", verdicts, figures, INQUIRY.captions
    )
    page = write_page(tmp_path / "report.html", INQUIRY.question, [section])
    assert page.stat().st_size > 1e6
    files = list((tmp_path / "study").rglob("*.nc"))
    assert max(file.stat().st_size for file in files) < 1e6


def test_the_catalogue_asks_what_the_inquiry_asks():
    (entry,) = [entry for entry in CATALOGUE if entry.name == "stability"]
    assert entry.question == INQUIRY.question


@pytest.mark.parametrize("size", [QUICK, FULL])
def test_every_claim_on_draws_has_twenty_or_more(size):
    assert len(study_of(size).seeds) >= 20


def test_every_sample_has_a_network_of_its_own():
    recipe = OnePerSample(networks=5, width=7, depth=3)
    network = recipe.build(seed=1).requires_grad_(False)
    inputs, covectors = Gaussian(7).batch(5, seed=1)
    measured = measure(network, (inputs, covectors), loss="inner_product", probes=Readings())
    found = plain_stream(measured)
    logs = []
    for sample in range(5):
        x = inputs[sample] / inputs[sample].square().mean().sqrt()
        for block in network.blocks:
            x = torch.relu(block.weight[sample] @ x)
        logs.append(float(x.double().square().mean().log()))
    assert found["log_size_mean"].values[-1] == pytest.approx(np.mean(logs), rel=1e-5)
    assert found["log_size_variance"].values[-1] == pytest.approx(np.var(logs, ddof=1), rel=1e-5)


def test_networks_side_by_side_do_not_mix():
    network = SideBySide(networks=3, width=6, depth=2).build(seed=0).requires_grad_(False)
    inputs, covectors = Gaussian(18).batch(9, seed=0)
    found = plain_stream(
        measure(network, (inputs, covectors), loss="inner_product", probes=Readings())
    )
    variances = []
    for index in range(3):
        x = inputs[:, 6 * index : 6 * index + 6]
        for block in network.blocks:
            x = torch.relu(x @ block.weight[index].T)
        variances.append(x.var(dim=0, unbiased=False).mean().item())
    assert found["channel_variance"].values[-1] == pytest.approx(np.mean(variances), rel=1e-5)


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
        measure(network, (inputs, covectors), loss="inner_product", probes=Readings())
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
    from tests.inquiries.theoretical_world import world

    assert along(world(), "weight-norm-act", "mean_square").sizes["layer"] == 11
