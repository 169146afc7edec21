"""Published and derived laws of propagation, met by the quick study. About two minutes.

Truth: Yang et al. 2019, eq. 25 and theorem 8; Brock et al. 2021; He et al. 2016; De & Smith 2020; the
derived laws with the tolerances that their claims state.
"""

import pytest

from skipnorm.inquiries import load
from skipnorm.studies.run import run
from skipnorm.verdicts import judge

pytestmark = pytest.mark.slow

INQUIRY = load("stability")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims}
REFUTED = {"bn-helps-gradients-in-chaos", "bn-keeps-the-gradient"}


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stability")
    return run(INQUIRY.study("quick"), folder, progress="off")


@pytest.mark.parametrize("name", sorted(set(CLAIMS) - REFUTED))
def test_what_theory_predicts_is_found(name, evidence):
    verdict = judge(CLAIMS[name], evidence)
    assert verdict.ruling == "supported", verdict.reason


@pytest.mark.parametrize("name", sorted(REFUTED))
def test_where_the_essay_and_theory_disagree_theory_is_right(name, evidence):
    # Yang et al. 2019, theorem 9: batch norm explodes; mean field: chi_1 = 1.106 < its tanh rate.
    verdict = judge(CLAIMS[name], evidence)
    assert verdict.ruling == "refuted", verdict.reason
