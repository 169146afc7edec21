"""The laws of every probe, kept by landscape and smoothness on the networks that make it hardest.

Source of truth: the laws themselves: the same answer twice, no trace, and the same at a point whichever others are
asked for.
"""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.laws.subjects import SUBJECTS, Subject
from tests.laws.test_probes import snapshot

from skipnorm.probes.findings import Findings
from skipnorm.probes.landscape import landscape
from skipnorm.probes.smoothness import smoothness

pytestmark = pytest.mark.filterwarnings("ignore")
Ask = Callable[[Subject], Findings]


def a_line(case: Subject) -> Findings:
    return landscape(case.network, case.batch, loss=case.loss, along="line", points=3)


def a_plane(case: Subject) -> Findings:
    return landscape(case.network, case.batch, loss=case.loss, points=3, statistics="recalibrated")


def a_step(case: Subject) -> Findings:
    return smoothness(case.network, case.batch, loss=case.loss, lengths=[1.0], lr=0.01)


@pytest.mark.parametrize("ask", [a_line, a_plane, a_step], ids=lambda ask: ask.__name__)
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.__name__)
def test_the_same_answer_twice_and_no_trace(subject: Callable[[], Subject], ask: Ask) -> None:
    case = subject()
    before = snapshot(case.network)
    first = ask(case)
    assert differing(before, snapshot(case.network)) == []
    random.random(), torch.rand(3)  # the state in which it is asked does not matter
    second = ask(case)
    for name, value in first.values.items():
        np.testing.assert_array_equal(value, second.values[name], err_msg=name)
    assert not any("another loss" in note for note in first.notes)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.__name__)
def test_a_point_does_not_depend_on_which_others_are_asked_for(
    subject: Callable[[], Subject],
) -> None:
    case = subject()
    settings: dict[str, Any] = {"loss": case.loss, "along": "line"}
    many = landscape(case.network, case.batch, points=[-1.0, -0.5, 0.0, 0.5, 1.0], **settings)
    few = landscape(case.network, case.batch, points=[0.0, 1.0], **settings)
    assert many.values["loss"][[2, 4]].tobytes() == few.values["loss"].tobytes()


def differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    keys = [key for key in before if repr(before[key]) != repr(after.get(key))]
    return keys + [key for key in after if key not in before]
