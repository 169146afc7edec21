"""Audits of networks whose answer is known: each within five minutes on two cores; undecided counts as wrong.

The answers are written before the runs, from `science.md` 6.3 and 8.3 (digits, SGD with momentum, each
network at its best rate): at depth 16 and less neither norm nor skip is needed; at 32 and more a skip with a
scale on its branch is, batch norm is not; a plain network of 40 layers fails with batch norm too; a deep
sigmoid network without norm has no gradient (Ioffe & Szegedy 2015).
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import skipnorm as sn

sys.path.insert(0, str(Path(__file__).parent))

BUDGET = 600.0
"""Core-seconds: five minutes on two cores. The clock is the process's own, so a busy machine counts as an idle one."""

TASK = sn.Digits(flat=True)


@dataclass(frozen=True)
class Known:
    """A network, what is asked of it, and what must come out.

    Args:
        build: what is audited.
        groups: what is asked about.
        rulings: of groups, by name.
        stand_ins: how substitutes and additions must compare: the rulings that are right.
        advice: of which arm, where that is known.
        exact: groups whose absence must make no difference at all.
    """

    build: Any
    rulings: Mapping[str, str]
    groups: tuple[str, ...] = ("whole",)
    stand_ins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    advice: str | None = None
    exact: tuple[str, ...] = ()


KNOWN = {
    "shallow, batch norm": Known(sn.Perceptron(depth=3, norm="batch"), {"all norms": "idle"}),
    "sigmoid, batch norm": Known(
        sn.Perceptron(depth=8, norm="batch", activation="sigmoid", initializer="glorot"),
        {"all norms": "load-bearing"},
    ),
    "plain, 40 layers, batch norm": Known(
        sn.Perceptron(depth=40, norm="batch"),
        {},
        stand_ins={"skips added": ("harmful",)},
        advice="skips added",
    ),
    "residual, batch norm, no scale": Known(
        sn.Perceptron(depth=32, residual=True, norm="batch"),
        {"all norms": "load-bearing", "all shortcuts": "load-bearing"},
        stand_ins={"SkipInit for the norms": ("idle", "harmful")},
        advice="SkipInit for the norms",
    ),
    "residual, batch norm, SkipInit": Known(
        sn.Perceptron(depth=32, residual=True, norm="batch", initializer="skipinit"),
        {"all norms": "idle", "all shortcuts": "load-bearing"},
    ),
    "a sabotaged block": Known(
        "audited_networks:sabotaged",
        {"branch of 2.add": "idle"},
        groups=("2.add",),
        exact=("branch of 2.add",),
    ),
    "a norm after a norm": Known(
        "audited_networks:decorated",
        {"all norms": "load-bearing", "norm 8": "idle"},
        groups=("whole", "8"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)
def test_the_audit_finds_what_is_known(name: str, tmp_path: Path):
    known = KNOWN[name]
    found = sn.audit(
        known.build,
        TASK,
        budget=BUDGET,
        groups=known.groups,
        folder=tmp_path,
        clock=time.process_time,
    )
    assert {group: found.rulings[group] for group in known.rulings} == dict(known.rulings)
    several = [*found.additions, *(sub for answer in found.answers for sub in answer.substitutes)]
    rulings = {each.arm: each.standing.ruling for each in several}
    for arm, right in known.stand_ins.items():
        assert rulings[arm] in right
    if known.advice is not None:
        assert found.advice is not None
        assert found.advice.arm == known.advice
        assert ("added" in known.advice) is any("not sufficient" in note for note in found.notes)
    for group in known.exact:
        removal = found[group].removal
        assert removal is not None
        assert (removal.standing.effect, removal.standing.spread) == (0.0, 0.0)
    assert found.control is not None
    assert found.control.exact
    assert found.seconds <= BUDGET


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hugging_face_resnet", "hugging_face_vit"])
def test_models_of_transformers_are_audited_end_to_end(name: str, tmp_path: Path):
    """From a configuration, on the digits, within ten minutes on two cores."""
    pytest.importorskip("transformers")
    found = sn.audit(
        f"audited_networks:{name}",
        sn.Digits(),
        budget=2 * BUDGET,
        groups=("whole",),
        folder=tmp_path,
        clock=time.process_time,
    )
    assert set(found.rulings) == {"all norms", "all shortcuts"}
    assert found.control is not None
    assert found.control.exact
    assert found.level > 0.5
    assert found.seconds <= 2 * BUDGET
