"""scores on third-party families: against a loop over positions, with each architecture's alignment of labels.

Source of truth: the logits that the model returns, walked position by position; causal models ask every label of the
position before it, the others of its own.
"""

import math

import pytest
import torch
from tests.coverage import checks
from tests.probes.test_paths_families import CASES
from torch import nn

from skipnorm.probes.scores import scores

pytestmark = pytest.mark.filterwarnings("ignore")


@checks("scores", by="a loop over positions")
@pytest.mark.parametrize("family", CASES)
def test_scores_are_those_of_a_loop_over_positions(family: str) -> None:
    case = CASES[family]()
    found = scores(case.network, case.batch)
    with torch.no_grad():
        logits = case.network(**case.batch).logits
    labels = case.batch["labels"]
    if logits.dim() == 2:
        logits, labels = logits.unsqueeze(1), labels.unsqueeze(1)
    nats, right, brier = [], [], []
    for sample in range(len(labels)):
        for position in range(labels.shape[1]):
            label = int(labels[sample, position])
            at = position - case.causal
            if label == -100 or at < 0:
                continue
            stated = logits[sample, at].softmax(-1).tolist()
            nats.append(-math.log(stated[label]))
            right.append(stated.index(max(stated)) == label)
            brier.append(sum((p - (c == label)) ** 2 for c, p in enumerate(stated)))
    assert found.settings["read_as"] == ("next" if case.causal else "labels")
    assert found.notes == ()
    nats_mean = sum(nats) / len(nats)
    expected = {
        "loss": nats_mean,
        "negative_log_likelihood": nats_mean,
        "perplexity": math.exp(nats_mean),
        "accuracy": sum(right) / len(right),
        "brier_score": sum(brier) / len(brier),
    }
    for name, value in expected.items():
        assert found.values[name] == pytest.approx(value, rel=1e-6), name


def test_an_alignment_that_cannot_be_told_is_asked_for() -> None:
    case = CASES["GPT-2"]()
    nn.init.zeros_(
        case.network.transformer.wte.weight
    )  # all tokens equally likely: both readings fit
    found = scores(case.network, case.batch)
    assert any("shift=" in note for note in found.notes)
    said = scores(case.network, case.batch, shift=True)
    assert said.notes == ()
    assert said.settings["read_as"] == "next"
