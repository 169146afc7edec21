"""The same study gives the same evidence, bit for bit, on every executor. Truth: each other."""

from functools import partial

import pytest

from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.executors import processes
from skipnorm.studies.run import run
from skipnorm.studies.study import Study, Variant
from skipnorm.tasks import Digits, Gaussian
from skipnorm.training import Training


@pytest.fixture
def study() -> Study:
    task = Gaussian(4, covector=3)
    variants = {
        f"{norm} {depth}": Variant(
            Perceptron(width=8, depth=depth, norm=norm, inputs=4, outputs=3), task, batch=6
        )
        for norm, depth in (("none", 2), ("batch", 3))
    }
    wide = Perceptron(width=8, depth=2, norm="batch", inputs=64, outputs=10)
    training = Training(steps=6, batch=32, optimizer="adam")
    variants["trained"] = Variant(
        wide, Digits(flat=True), batch=6, training=training, rates=(0.01, 0.1)
    )
    return Study("small", variants, seeds=range(2), at=(0, 3, "end"))


def test_another_process_gives_the_same_evidence(study, tmp_path):
    here = run(study, tmp_path / "here", executor="in_process", progress="off")
    one = partial(processes, workers=1)  # of several, each would only take its time to begin
    there = run(study, tmp_path / "there", executor=one, progress="off")
    assert here.drop_attrs(deep=False).identical(there.drop_attrs(deep=False))
    assert dict(here.sizes)["variant"] == 3
    assert here["recorded"].sum("rate").values.tolist() == [[1, 1], [1, 1], [2, 2]]
    assert bool(here["test_loss"].sel(variant="trained", rate=[0.01, 0.1]).notnull().all())
    assert bool(here["mean_square"].notnull().any())
