"""sn.audit(build, task): which norms and skips of a network are load-bearing, found by taking them out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skipnorm.audit.audit import Audit
from skipnorm.audit.budget import Course, Purse, planned, seconds_of
from skipnorm.audit.contest import Contest
from skipnorm.audit.finish import concluded
from skipnorm.audit.judging import Docket
from skipnorm.audit.lesions import Lesions, lesions_of, loaded
from skipnorm.audit.outset import default_rates, default_training, paced, scored_by
from skipnorm.audit.subject import Subject, subject_of
from skipnorm.errors import StudyError
from skipnorm.studies.identity import canonical, digest
from skipnorm.tasks.naming import task_of

if TYPE_CHECKING:
    from skipnorm.training.training import Training

__all__ = ["MARGINS", "audit"]

MARGINS = {"accuracy": 0.02, "loss": 0.05}
"""The smallest effect that matters unless another is given: of accuracy, or a share of the loss."""


def audit(
    build: Any,
    task: Any,
    *,
    budget: str | float = "5m",
    margin: float | None = None,
    checkpoint: str | Path | None = None,
    groups: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    training: Training | None = None,
    rates: Sequence[float] | None = None,
    seeds: Sequence[int] | None = None,
    folder: str | Path | None = None,
    executor: Any = "in_process",
    device: str | None = None,
    progress: Any = "off",
    say: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    command: str = "",
) -> Audit:
    """Which norms and skips of a network it needs, and what it would be like without the others.

    The network is looked at; groups of sites are taken out, or replaced by something cheaper, and each
    alteration is read at initialisation and trained beside the original: with a learning rate of its own,
    chosen on validation data and seeds of their own, then on shared seeds, and compared on test data.
    Groups that are still undecided get what is left of the budget. Finished trainings are kept in the
    folder: the same audit goes on there, with more time if it is given more.

    Args:
        build: a function of no arguments that returns a network, `"pkg.module:build"`, a recipe, or the
            name of a model of timm or Hugging Face.
        task: a task, its name, `"pkg.module:task"`, a DataLoader, or anything `skipnorm.Batches` takes.
        budget: time to spend: `"90s"`, `"5m"`, `"1h"`, or seconds.
        margin: the smallest effect that matters: of accuracy (0.02), or a share of the loss (0.05).
        checkpoint: trained weights, whose norms and skips are then priced without training too.
        groups: what to ask about; see `skipnorm.audit.groups.groups_of`.
        ignore: globs over names of sites that stay as they are.
        training: how it is trained. By default a few hundred updates of SGD with momentum, or of AdamW
            where the network has layer or RMS norms, as many as the budget allows.
        rates: learning rates to choose from; by default a factor of 100 around the usual ones, or around
            that of `training`.
        seeds: those that are judged; by default from 0 on, at least five.
        folder: where everything is kept; `runs/audit-...` by default.
        executor: as `skipnorm.run` takes it: `"in_process"`, `"processes"`, `"ray"`.
        device: where to train, if `training` does not say.
        progress: as `skipnorm.run` takes it.
        say: told in a line what is being done.
        clock: seconds; another one counts otherwise.
        command: what the report names to make this again.

    Raises:
        StudyError: no norms and no skips, too small a budget, a network that cannot be trained at all, a
            loss that is not finite at the start, or a network that cannot be built.

    Source: De & Smith 2020 and Zhang et al. 2019 (what may stand in for norms); Veit et al. 2016 (lesions).
    """
    tell = say or _silent
    purse = Purse(seconds_of(budget), clock, workers=_workers(executor))
    chosen = task_of(task)
    subject = subject_of(build, chosen, groups, ignore, training)
    plan = training or default_training(subject.anatomy, chosen)
    plan = plan if device is None else replace(plan, device=device)
    score = scored_by(subject.network, chosen)
    place = Path(folder) if folder else Path("runs") / f"audit-{_name(subject, chosen, plan)}"
    tell(f"{subject.anatomy.network}: {subject.anatomy.summary}; {len(subject.groups)} groups")
    paced(subject.network, chosen, plan, purse)
    course = planned(
        subject.arms,
        subject.groups,
        tuple(rates or default_rates(plan, training)),
        purse,
        steps=training.steps if training else None,
        most=len(seeds) if seeds else None,
        begun=None if seeds else _begun(place, training),
    )
    _remember(place, course)
    bar = MARGINS[score] if margin is None else margin
    docket = Docket(
        subject,
        Contest(subject.model, chosen, plan, score, place, purse, executor, progress, tell),
        course,
        bar if score == "accuracy" else math.log1p(bar),
        tuple(seeds) if seeds else None,
    )
    return concluded(docket, _lesions(subject, checkpoint, tell), command)


def _silent(text: str) -> None:
    """Say nothing."""


def _lesions(
    subject: Subject, checkpoint: str | Path | None, tell: Callable[[str], None]
) -> Lesions | None:
    if checkpoint is None:
        return None
    tell(f"lesions of the checkpoint {checkpoint}")
    trained = loaded(subject.model.build(0), checkpoint)
    return lesions_of(trained, subject.task, subject.groups, subject.anatomy)


def _name(subject: Subject, task: Any, training: Training) -> str:
    kind = "".join(each if each.isalnum() else "-" for each in subject.anatomy.network).lower()
    asked = [canonical(subject.model), canonical(task), canonical(training)]
    return f"{kind}-{digest(asked)[:8]}"


def _workers(executor: Any) -> int:
    import os

    if executor != "processes":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begun(folder: Path, training: Training | None) -> tuple[int, int] | None:
    """Updates and seeds of this audit when it was begun, so that it finds what it has done."""
    try:
        found = json.loads((folder / "course.json").read_text(encoding="utf-8"))
        steps, seeds = int(found["steps"]), int(found["seeds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (steps, seeds) if training is None or training.steps == steps else None


def _remember(folder: Path, course: Course) -> None:
    from skipnorm.studies.outcome import write_text

    try:
        write_text(
            folder / "course.json", json.dumps({"steps": course.steps, "seeds": course.seeds})
        )
    except OSError as error:
        raise StudyError(f"The audit cannot be kept in {str(folder)!r}: {error}") from error
