"""The same study gives the same evidence, bit for bit, on every executor. Truth: each other."""

import pytest

from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.run import run
from skipnorm.studies.study import Study, Variant
from skipnorm.tasks import Gaussian


@pytest.fixture
def study() -> Study:
    task = Gaussian(4, covector=3)
    variants = {
        f"{norm} {depth}": Variant(
            Perceptron(width=8, depth=depth, norm=norm, inputs=4, outputs=3), task, batch=6
        )
        for norm, depth in (("none", 2), ("batch", 3))
    }
    return Study("small", variants, seeds=range(2))


def test_every_executor_gives_the_same_evidence(study, tmp_path):
    here = run(study, tmp_path / "here", executor="in_process", progress="off")
    there = run(study, tmp_path / "there", executor="processes", progress="off")
    assert here.drop_attrs(deep=False).identical(there.drop_attrs(deep=False))
    assert dict(here.sizes)["variant"] == 2
    assert bool(here["recorded"].all())
    assert bool(here["mean_square"].notnull().any())
