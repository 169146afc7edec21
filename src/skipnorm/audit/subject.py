"""What is audited: a network with its task, its anatomy, its groups and all that could be done to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skipnorm.anatomy.discover import anatomy
from skipnorm.anatomy.sites import Anatomy
from skipnorm.audit.arms import Arm, arms_of, feasible, no_op
from skipnorm.audit.finding import Lint
from skipnorm.audit.groups import Group, groups_of
from skipnorm.audit.lint import lint
from skipnorm.audit.models import model_of
from skipnorm.audit.outset import len_of, sound
from skipnorm.errors import StudyError

if TYPE_CHECKING:
    from torch import nn

    from skipnorm.training.training import Training

__all__ = ["Subject", "linted", "subject_of"]


@dataclass(frozen=True)
class Subject:
    """The network that is audited, looked at once."""

    model: Any
    place: str
    network: nn.Module
    task: Any
    anatomy: Anatomy
    groups: tuple[Group, ...]
    arms: tuple[Arm, ...]
    control: Arm | None
    refused: tuple[tuple[str, str], ...]


def subject_of(
    build: Any,
    task: Any,
    groups: Sequence[str] | None,
    ignore: Sequence[str],
    training: Training | None,
) -> Subject:
    """The network that `build` makes, looked at once.

    Raises:
        StudyError: it cannot be built, has no norms and no skips, or a loss that is not finite.
    """
    import torch

    from skipnorm.tasks.losses import inputs_of

    model, place = model_of(build, task)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        network = model.build(0).train()
        size = training.batch if training else min(128, len_of(task))
        batch = task.batch(size, 0)
        args, named, _ = inputs_of(batch)
        found = anatomy(network, *args, **named)
        sound(network, batch, task.loss)
        asked = groups_of(found, groups, ignore)
        arms, refused = feasible(arms_of(asked, found), network, named or args)
    if not any(arm.role == "removal" for arm in arms):
        reasons = " ".join(why for _, why in refused[:2])
        raise StudyError(
            f"Nothing can be taken out of {found.network}: expected at least one group that can be, found "
            f"{len(refused)} that cannot. {reasons}"
        )
    control = no_op(found, asked)
    return Subject(model, place, network, task, found, asked, arms, control, refused)


def linted(subject: Subject, batch: int) -> Lint:
    """What one look at the architecture finds."""
    from skipnorm.tasks.losses import inputs_of

    args, named, _ = inputs_of(subject.task.batch(batch, 0))
    return lint(subject.network, *args, **named)
