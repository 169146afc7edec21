"""An inquiry asked of a user's own network, small, through the real pipeline; and its claims, either way.

Truth: plain passes by hand for the readings; made-up evidence for the claims.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.inquiries.made_up import put, shaped_like

import skipnorm as sn
from skipnorm.errors import StudyError
from skipnorm.inquiries.own import AS_IT_IS, ASKED, on_network, study_on
from skipnorm.inquiries.own_readings import spread_of_scale, units_in_vain
from skipnorm.studies.run import run
from skipnorm.training import Training
from skipnorm.verdicts import judge

NET = sn.Perceptron(width=8, depth=2, residual=True, norm="batch")
TASK = sn.Digits(flat=True)


def small(name):
    """One seed, one rate, two updates."""
    study = study_on(name, NET, TASK, "quick")
    training = Training(steps=2, batch=16)
    variants = {
        key: replace(variant, training=training, rates=(0.1, 0.2))
        for key, variant in study.variants.items()
    }
    return replace(study, variants=variants, seeds=range(1))


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return {name: run(small(name), folder / name, progress="off") for name in ASKED}


@pytest.mark.parametrize("name", ASKED)
def test_every_claim_and_figure_works_on_real_evidence(evidence, name):
    inquiry = on_network(name, NET, TASK)
    assert list(evidence[name]["variant"].values) == [AS_IT_IS, "without norms", "without skips"]
    for claim in inquiry.claims:
        assert judge(claim, evidence[name]).ruling == "undecided"  # one seed
    for draw in inquiry.figures.values():
        assert draw(evidence[name]).data


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize(("factor", "ruling"), [(3.0, "supported"), (1.0, "refuted")])
def test_every_claim_can_come_out_either_way(evidence, name, factor, ruling):
    made = shaped_like(evidence[name])
    quantities = [*ASKED[name].quantities, "test_loss", "validation_loss"]
    for quantity in quantities:
        for variant in made["variant"].values:
            value = 0.4 * (1.0 if variant == AS_IT_IS else factor)
            made = put(made, quantity, value, variant=variant)
    for claim in on_network(name, NET, TASK).claims:
        assert judge(claim, made).ruling == ruling, claim.name


def test_smaller_by_a_quarter_is_what_a_third_more_without_comes_to():
    said = [
        claim for claim in on_network("landscape", NET, TASK).claims if "smaller" in claim.sentence
    ]
    assert said
    for claim in said:
        assert "a quarter" in claim.sentence
        assert 1 - 1 / claim.prediction.value == pytest.approx(0.25, abs=0.005)


def test_the_spread_is_that_of_the_inputs_of_all_sites():
    network = torch.nn.Sequential(
        torch.nn.ReLU(), torch.nn.Linear(4, 4, bias=False), torch.nn.ReLU()
    )
    torch.nn.init.eye_(network[1].weight)
    network[1].weight.data *= 10
    x = torch.ones(3, 4)
    found = spread_of_scale(network, (x, torch.ones(3, 4)))
    assert float(found["signal_spread"]) == pytest.approx(2.0)  # 1 and 100
    assert float(found["gradient_spread"]) == pytest.approx(2.0)


def test_units_in_vain_are_counted():
    x = torch.tensor([[1.0, -1.0, 1.0, -1.0], [1.0, -1.0, -1.0, 1.0]])
    found = units_in_vain(torch.nn.Sequential(torch.nn.ReLU()), (x, torch.ones(2, 4)))
    assert float(found["units_in_vain"]) == 0.5
    without = units_in_vain(torch.nn.Linear(4, 2), (x, torch.tensor([0, 1])))
    assert np.isnan(float(without["units_in_vain"]))


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(StudyError, match="Of a network of one's own can be asked"):
        study_on("degradation", NET, TASK, "quick")
    with pytest.raises(StudyError, match="Did you mean 'norms'"):
        study_on("flow", NET, TASK, "quick", parts=("norm",))
