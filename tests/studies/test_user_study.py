"""What a user writes runs: the example as it stands, and the page about studies. Truth: that they are shown so."""

import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import skipnorm as sn
from skipnorm.studies.plan import plan

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "study.py"


@pytest.fixture
def example():
    return runpy.run_path(str(EXAMPLE))


def test_the_example_is_short_and_means_what_it_says(example):
    assert len(EXAMPLE.read_text().splitlines()) <= 25
    trials = plan(example["study"])
    assert len(trials) == 2 * 4 * 8
    assert len({trial.training_key for trial in trials}) == len(trials)


def test_the_example_is_judged(example, tmp_path):
    """The same on few updates, rates and seeds; five seeds are enough to be ruled on."""
    study = example["study"]
    variants = {
        name: replace(variant, training=replace(variant.training, steps=4), rates=(0.01, 0.1))
        for name, variant in study.variants.items()
    }
    evidence = sn.run(replace(study, variants=variants, seeds=range(5)), tmp_path, progress="off")
    verdict = sn.judge(example["claim"], evidence)
    assert verdict.seeds == 5
    assert verdict.ruling in ("supported", "refuted", "undecided")
    loss = sn.best_of_grid(evidence)["test_loss"]
    assert float(verdict.low) <= float(verdict.effect) <= float(verdict.high)
    ratios = loss.sel(variant="batch") / loss.sel(variant="none")
    assert float(ratios.min()) <= verdict.effect <= float(ratios.max())


@pytest.mark.slow
def test_the_example_runs_as_shown_and_goes_on(tmp_path):
    for _ in range(2):
        shown = subprocess.run(
            [sys.executable, str(EXAMPLE)], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        *table, sentence, ruling = shown.stdout.splitlines()
        assert "largest_stable_rate" in table[0]
        assert sentence == "Batch norm lowers the test loss by a tenth or more."
        assert ruling.split(":")[0] in ("supported", "refuted", "undecided")
    assert sn.status(tmp_path / "runs" / "norm").complete


def test_the_page_shows_a_study_that_can_be_planned():
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in page.split("```python\n")[1:]:
        exec(block.split("```")[0], names)
    trials = plan(names["study"])
    assert len(trials) == 4 * 8
    assert trials[0].at == (0, 20, 200)
