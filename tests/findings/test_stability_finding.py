"""Published and derived laws of propagation, met by the quick study, and what it rules where sources disagree.

Truth: Yang et al. 2019, eq. 25 and theorem 8; Brock et al. 2021; He et al. 2016; De & Smith 2020; Schoenholz et al.
2017; Pennington et al. 2017; the chain rule; the derived laws with the tolerances that their claims state. Minutes.
"""

import pytest

from skipnorm.inquiries import load
from skipnorm.studies.run import run
from skipnorm.verdicts import judge

pytestmark = pytest.mark.slow

INQUIRY = load("stability")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims}
REFUTED = {
    "bn-helps-gradients-in-chaos",  # mean field: chi_1 = 1.106, below the tanh rate with batch norm
    "bn-keeps-the-gradient",  # Yang et al. 2019, theorem 9: batch norm explodes
    "one-layer-without-target",  # the chain rule
    "chain-as-printed",  # the chain rule
    "bn-trains-at-any-depth",  # Yang et al. 2019, section 5: not beyond 16 xi
    "bn-layers-are-isometric",  # a Gaussian square matrix has small singular values; ReLU loses half
}
OPEN = {"bn-harms-beyond-it"}  # six seeds at one rate each: 1.34 times the loss, 1.05 to 1.70


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stability")
    return run(INQUIRY.study("quick"), folder, progress="off")


@pytest.mark.parametrize("name", sorted(set(CLAIMS) - REFUTED - OPEN))
def test_what_theory_predicts_is_found(name, evidence):
    verdict = judge(CLAIMS[name], evidence)
    assert verdict.ruling == "supported", verdict.reason


@pytest.mark.parametrize("name", sorted(REFUTED))
def test_where_theory_contradicts_theory_is_right(name, evidence):
    verdict = judge(CLAIMS[name], evidence)
    assert verdict.ruling == "refuted", verdict.reason


@pytest.mark.parametrize("name", sorted(OPEN))
def test_what_six_seeds_leave_open_is_not_refuted(name, evidence):
    verdict = judge(CLAIMS[name], evidence)
    assert verdict.ruling != "refuted", verdict.reason
