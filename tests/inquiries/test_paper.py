"""The inquiries with the networks as published: made small, through the real pipeline; and their claims, either way."""

from dataclasses import replace

import numpy as np
import pytest
from tests.inquiries.made_up import put, shaped_like

import skipnorm as sn
from skipnorm.cli.asked import asked, inquiry_at
from skipnorm.errors import StudyError
from skipnorm.inquiries.paper import DEPTHS, PUBLISHED, TRAINING, Size, at_paper_scale, study_of
from skipnorm.studies.run import run
from skipnorm.verdicts import judge

NAMES = ("degradation", "landscape")


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    """Everything as it will be run, but narrow networks of 8 layers, 60 small images and two updates."""
    folder = tmp_path_factory.mktemp("paper")
    numbers = np.random.default_rng(0)
    images = numbers.integers(0, 256, (60, 3, 8, 8), np.uint8)
    labels = np.arange(60) % 10
    np.savez(folder / "images.npz", images=images, labels=labels)
    task = sn.Npz(str(folder / "images.npz"), crop=1, flip=True)
    training = replace(TRAINING, steps=4, batch=12, warmup=1, device="cpu")
    size = Size(seeds=1, task=task, training=training, points=3, batch=8)
    found = {}
    for name in NAMES:
        study = study_of(name, size)
        small = {
            label: replace(variant, network=replace(variant.network, layers=8, width=4))
            for label, variant in study.variants.items()
        }
        found[name] = run(replace(study, variants=small), folder / name, progress="off")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_claim_and_figure_works_on_real_evidence(evidence, name):
    inquiry = at_paper_scale(name)
    assert {judge(claim, evidence[name]).ruling for claim in inquiry.claims} == {"undecided"}
    assert all(draw(evidence[name]).data for draw in inquiry.figures.values())


def as_published(evidence):
    for layers in DEPTHS:
        evidence = put(evidence, "test_accuracy", 1 - PUBLISHED[layers], variant=f"ResNet-{layers}")
        evidence = put(evidence, "training_loss", 0.2 / layers, variant=f"ResNet-{layers}")
        evidence = put(evidence, "training_loss", 0.02 * layers, variant=f"plain-{layers}")
        evidence = put(evidence, "test_accuracy", 0.9 - 0.006 * layers, variant=f"plain-{layers}")
    return evidence


def the_other_way(evidence):
    evidence = as_published(evidence)
    for layers in DEPTHS:
        evidence = put(evidence, "test_accuracy", 0.8, variant=f"ResNet-{layers}")
        evidence = put(evidence, "training_loss", 0.02 * layers, variant=f"ResNet-{layers}")
        evidence = put(evidence, "training_loss", 0.1, variant=f"plain-{layers}")
        evidence = put(evidence, "test_accuracy", 0.9, variant=f"plain-{layers}")
    return evidence


def rugged(values):
    def change(evidence):
        for variant, value in values.items():
            evidence = put(evidence, "ruggedness", value, variant=variant)
        return evidence

    return change


WORLDS = {
    ("degradation", "supported"): as_published,
    ("degradation", "refuted"): the_other_way,
    ("landscape", "supported"): rugged(
        {
            "plain-56": 0.8,
            "ResNet-56": 0.1,
            "plain-20": 0.11,
            "ResNet-20": 0.1,
            "plain-20, no norm": 0.4,
        }
    ),
    ("landscape", "refuted"): rugged(
        {
            "plain-56": 0.2,
            "ResNet-56": 0.2,
            "plain-20": 0.4,
            "ResNet-20": 0.1,
            "plain-20, no norm": 0.4,
        }
    ),
}


@pytest.mark.parametrize(("name", "ruling"), WORLDS)
def test_every_claim_can_come_out_either_way(evidence, name, ruling):
    made = WORLDS[name, ruling](shaped_like(evidence[name]))
    for claim in at_paper_scale(name).claims:
        assert judge(claim, made).ruling == ruling, claim.name


def test_the_command_line_finds_them_and_says_where_there_is_none():
    found = asked("degradation", scale="paper")
    assert found.study.variants["plain-110"].network == sn.ResNet(layers=110, residual=False)
    assert inquiry_at(found.source).name == "degradation-paper"
    with pytest.raises(StudyError, match="At the scale 'paper' can be asked"):
        asked("lesions", scale="paper")
