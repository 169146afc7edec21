"""The loss at a point of a landscape, on the networks that make it hardest.

Source of truth: the law that it is a function of the point: the same whichever others are asked for.
"""

from collections.abc import Callable
from typing import Any

import pytest
from tests.laws.subjects import SUBJECTS, Subject

from skipnorm.probes.landscape import landscape

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("statistics", ["as_is", "recalibrated"])
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.__name__)
def test_a_point_does_not_depend_on_which_others_are_asked_for(
    subject: Callable[[], Subject], statistics: Any
) -> None:
    case = subject()
    settings: dict[str, Any] = {"loss": case.loss, "along": "line", "statistics": statistics}
    many = landscape(case.network, case.batch, points=[-1.0, -0.5, 0.0, 0.5, 1.0], **settings)
    few = landscape(case.network, case.batch, points=[0.0, 1.0], **settings)
    assert many.values["loss"][[2, 4]].tobytes() == few.values["loss"].tobytes()
    assert not any("another loss" in note for note in few.notes)
