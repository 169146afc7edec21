"""Published and derived laws of shattered gradients, met by the quick study. About a minute.

Truth: Balduzzi et al. 2017 where their assumption holds, the arc-cosine kernel where it does not; and the table of
the calibration (40 draws for the line), each number within the errors of both. Of networks that are not taught: how
learners end is no law, and is left to the inquiry itself.
"""

from dataclasses import replace

import numpy as np
import pytest

from skipnorm.inquiries import load
from skipnorm.inquiries.shattering.effects import remembered
from skipnorm.studies.run import run
from skipnorm.verdicts import judge

pytestmark = pytest.mark.slow

INQUIRY = load("shattering")
LEARNED = ("performance", "momentum", "batches")
CLAIMS = {claim.name: claim for claim in INQUIRY.claims if claim.figure not in LEARNED}
REFUTED = {
    "plain-gradients-are-white",
    "halved-by-plain-layers",
    "three-quarters-per-block",
    "inverse-square-root",
}
TOO_FEW = {  # not contradicted, but twenty draws leave a case undecided
    "deep-gradients-are-white",
    "acf-ranks-plain-above-residual",
    "line-process",
    "plain-law-deep",
    "rescaled-law",
}
TABLE = {  # ACF(1), ACF(5), ACF(15)
    ("plain", 1): (0.979, 0.901, 0.722),
    ("plain", 24): (0.867, 0.570, 0.274),
    ("plain", 50): (0.741, 0.360, 0.206),
    ("centred", 4): (0.946, 0.742, 0.343),
    ("centred", 24): (-0.015, 0.016, -0.02),
    ("BN", 4): (0.903, 0.584, 0.151),
    ("BN", 24): (-0.049, -0.01, -0.01),
    ("residual BN", 10): (0.860, 0.499, 0.094),
    ("residual BN", 50): (0.640, 0.075, -0.08),
    ("residual BN β=0.1", 10): (0.950, 0.779, 0.509),
    ("residual BN β=0.1", 50): (0.907, 0.639, 0.306),
}


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shattering")
    whole = INQUIRY.study("quick")
    untaught = {name: each for name, each in whole.variants.items() if each.seeds is None}
    return run(replace(whole, variants=untaught), folder, progress="off")


@pytest.mark.parametrize("name", sorted(set(CLAIMS) - REFUTED - TOO_FEW))
def test_what_theory_predicts_is_found(name, evidence):
    verdict = judge(CLAIMS[name], evidence)
    assert verdict.ruling == "supported", verdict.reason


@pytest.mark.parametrize("name", sorted(TOO_FEW))
def test_nothing_speaks_against_what_twenty_draws_leave_open(name, evidence):
    verdict = judge(CLAIMS[name], evidence)
    assert verdict.ruling != "refuted", verdict.reason


@pytest.mark.parametrize("name", sorted(REFUTED))
def test_where_a_theorem_is_read_without_its_assumption_it_fails(name, evidence):
    verdict = judge(CLAIMS[name], evidence)
    assert verdict.ruling == "refuted", verdict.reason


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_the_table_of_autocorrelations(case, evidence):
    """Both tables are means of draws: the error of the one here, widened for the other's 40."""
    for lag, expected in zip((1, 5, 15), TABLE[case], strict=True):
        found = remembered(evidence, *case, lag=lag).values
        error = found.std(ddof=1) * np.sqrt(1 / len(found) + 1 / 40)
        assert abs(found.mean() - expected) < 4 * error + 0.005
