"""From arms to answers: rates chosen, seeds trained until questions are settled, rulings, reasons and advice."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.audit.advice import Advice, code_of, simplest
from skipnorm.audit.arms import NO_OP, ORIGINAL
from skipnorm.audit.audit import Answer, Audit, Control, Trialled
from skipnorm.audit.budget import affordable
from skipnorm.audit.contest import Contest, Tuned
from skipnorm.audit.judging import Docket
from skipnorm.audit.lesions import Lesions
from skipnorm.audit.rulings import Standing
from skipnorm.audit.subject import Subject, linted
from skipnorm.audit.why import Change, at_initialisation, changes, usable
from skipnorm.audit.wording import reason
from skipnorm.errors import StudyError
from skipnorm.studies.progress import span

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["concluded"]


def concluded(docket: Docket, lesions: Lesions | None, command: str) -> Audit:
    """The whole contest, and what comes of it."""
    subject, contest = docket.subject, docket.contest
    initial, untested = _run(docket)
    trialled = _trialled(docket, initial)
    level, noise = _own(contest)
    found = Audit(
        network=subject.anatomy.network,
        task=repr(subject.task),
        score=contest.score,
        margin=docket.margin,
        answers=tuple(_answers(docket, trialled)),
        additions=tuple(each for each in trialled.values() if each.role == "addition"),
        control=_control(subject, contest),
        advice=_advice(docket),
        level=level,
        noise=noise,
        smallest=_middle([each.standing.smallest for each in trialled.values()]),
        course=_course(docket),
        left_out=(*subject.refused, *untested, *docket.stopped, *_failed(contest, trialled)),
        notes=tuple(_notes(docket)),
        lint=linted(subject, contest.training.batch),
        lesions=lesions,
        anatomy=subject.anatomy,
        folder=contest.folder,
        seconds=contest.purse.spent,
        budget=contest.purse.budget,
        command=command,
        rounds=tuple(docket.rounds),
        seconds_a_seed=contest.purse.price(2, docket.course.steps),
    )
    _keep(found)
    return found


def _trialled(docket: Docket, initial: Sequence[xr.Dataset]) -> dict[str, Trialled]:
    """Every arm that was judged, by its name."""
    rates = len(docket.course.rates)
    return {
        arm.name: Trialled(
            arm.name,
            arm.role,
            arm.what,
            tuple(map(repr, arm.operations)),
            docket.tuned[arm.name],
            docket.standings[arm.name],
            _changes(initial, docket.tuned, arm.name, rates),
        )
        for arm in docket.judged
        if arm.name in docket.standings
    }


def _own(contest: Contest) -> tuple[float, float]:
    """Mean and standard deviation over seeds of the original's score, of the runs that did not diverge."""
    values = np.array([*contest.results[ORIGINAL].values()], float)
    known = values[np.isfinite(values)]
    return (
        float(known.mean()) if len(known) else math.nan,
        float(known.std(ddof=1)) if len(known) > 1 else math.nan,
    )


def _run(docket: Docket) -> tuple[list[xr.Dataset], list[tuple[str, str]]]:
    """Whole groups first, then what else there is time for, then the open questions.

    Returns what was read at initialisation, and for which arms there was no time.
    """
    contest, course = docket.contest, docket.course
    initial = [at_initialisation(contest, [docket.original, *course.arms], 1)]
    docket.tune(course.arms, 1)
    _trains(docket.subject, contest, docket.tuned)
    docket.judge(course.arms, 1)
    rest, number = course.rest, 2
    while later := affordable(rest, course, contest.purse, docket.reserve):
        initial.append(at_initialisation(contest, later, number))
        docket.tune(later, number)
        docket.judge(later, number)
        rest, number = rest[len(later) :], number + 1
    docket.settle()
    why = f"no time for it within {span(contest.purse.budget)}"
    return initial, [(arm.name, why) for arm in rest]


def _changes(
    initial: Sequence[xr.Dataset], tuned: dict[str, Tuned], name: str, rates: int
) -> tuple[Change, ...]:
    """What changed at initialisation, and at how many rates it can be trained."""
    readings = {
        str(each): part.sel(variant=each) for part in initial for each in part["variant"].values
    }
    if ORIGINAL not in readings or name not in readings:
        return ()
    return (
        *changes(readings[ORIGINAL], readings[name]),
        usable(tuned[ORIGINAL], tuned[name], rates),
    )


def _trains(subject: Subject, contest: Contest, tuned: dict[str, Tuned]) -> None:
    """Refuse a network that learns nothing, with which nothing could be compared."""
    best = tuned.get(ORIGINAL)
    helped = [
        each
        for name, each in tuned.items()
        if name != ORIGINAL and _learned(contest, subject, each)
    ]
    if best is not None and _learned(contest, subject, best):
        return
    if helped:
        return
    rate = "no rate" if best is None else f"the best of its rates, {best.rate:g}"
    raise StudyError(
        f"{subject.anatomy.network} does not learn {subject.task!r} in this training, at {rate}, and no "
        "alteration of it does: expected a validation score better than guessing. Give a training that "
        "works (training=, rates=), or a longer one."
    )


def _learned(contest: Contest, subject: Subject, each: Tuned) -> bool:
    """Whether an arm does better than the most frequent class, or than it did before training."""
    if not math.isfinite(each.score):
        return False
    if contest.score == "accuracy":
        return -each.score > 1.5 * guessing(subject.task)
    from skipnorm.studies.scoring import scored

    return each.score < 0.95 * float(scored(subject.network, subject.task)["validation_loss"])


def guessing(task: Any) -> float:
    """The accuracy of always naming the most frequent class of the validation samples."""
    import torch

    from skipnorm.tasks.losses import inputs_of

    _, _, targets = inputs_of(task.full("validation"))
    if not isinstance(targets, torch.Tensor) or targets.is_floating_point() or not targets.numel():
        return 0.0
    return float(torch.bincount(targets.flatten().clamp(min=0)).max()) / targets.numel()


def _answers(docket: Docket, trialled: dict[str, Trialled]) -> list[Answer]:
    found, subject = [], docket.subject
    for group in subject.groups:
        mine = [arm.name for arm in subject.arms if arm.group == group.name]
        several = [trialled[name] for name in mine if name in trialled]
        removals = [each for each in several if each.role == "removal"]
        substitutes = tuple(each for each in several if each.role == "substitute")
        if not removals:
            continue
        removal = removals[0]
        why = reason(group, removal, docket.contest.score)
        found.append(Answer(group, removal.standing.ruling, removal, why, substitutes))
    return found


def _control(subject: Subject, contest: Contest) -> Control | None:
    """The largest difference between the original and the edit that changes nothing, in any recorded number."""
    if subject.control is None or not contest.controls:
        return None
    worst, seeds = 0.0, 0
    for original, control in contest.controls:
        seeds += 1
        for name in control.data_vars:
            if name in original and control[name].dtype.kind == "f":
                one, two = (np.asarray(each[name].values, float) for each in (original, control))
                with np.errstate(invalid="ignore"):
                    gap = np.where(
                        (one == two) | (np.isnan(one) & np.isnan(two)), 0.0, np.abs(one - two)
                    )
                worst = max(worst, float(np.nan_to_num(gap, nan=math.inf).max(initial=0.0)))
    return Control(subject.control.what, seeds, worst)


def _advice(docket: Docket) -> Advice | None:
    from skipnorm.audit.costs import costs_of
    from skipnorm.audit.variants import built

    subject, contest = docket.subject, docket.contest
    arm = simplest(docket.judged, docket.standings, docket.parts, docket.margin)
    if arm is None:
        return None
    contest.say(f"costs of {arm.name!r} beside the original")
    batch = subject.task.batch(contest.training.batch, 0)
    networks = {"original": subject.model.build(0), arm.name: built(contest, arm, 0)}
    costs = costs_of(networks, batch, subject.task.loss)
    found: Standing = docket.standings[arm.name]
    return Advice(
        arm.name,
        arm.what,
        docket.tuned[arm.name].rate,
        found.effect,
        found.low,
        found.high,
        costs["original"],
        costs[arm.name],
        code_of(arm, subject.model, subject.place, repr(subject.task)),
    )


def _course(docket: Docket) -> str:
    contest, course = docket.contest, docket.course
    seeds = len(contest.results.get(ORIGINAL, {}))
    training = contest.training
    return (
        f"{course.steps} updates of {training.batch} samples with {training.optimizer}; rates "
        f"{', '.join(f'{rate:g}' for rate in course.rates)}, chosen for each arm on validation samples and "
        f"seeds of their own; {seeds} seeds judged on test samples"
    )


def _failed(contest: Contest, judged: dict[str, Trialled]) -> list[tuple[str, str]]:
    return [
        (name, why)
        for name, why in contest.failures.items()
        if name not in judged and name != NO_OP
    ]


def _notes(docket: Docket) -> list[str]:
    subject, contest, tuned = docket.subject, docket.contest, docket.tuned
    notes = [f"not seen: {note}" for note in subject.anatomy.unseen]
    best = tuned[ORIGINAL]
    if best.edge in ("lowest", "highest"):
        notes.append(
            f"the best rate of the original, {best.rate:g}, is the {best.edge} that was tried: a wider grid "
            "could do better"
        )
    for arm in docket.judged:
        known = docket.standings.get(arm.name)
        if arm.role == "addition" and known is not None and known.high < -docket.margin:
            notes.append(f"what the network has is not sufficient: with {arm.name} it does better")
    if subject.control is None:
        notes.append("no edit that changes nothing could be made, so that control is missing")
    if contest.training.device != "cpu":
        notes.append(
            "trained on an accelerator, where sums may be taken in another order each time"
        )
    return notes


def _middle(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.median(known)) if known else math.nan


def _keep(found: Audit) -> None:
    from skipnorm.studies.outcome import write_text

    write_text(found.folder / "audit.json", json.dumps(found.to_dict(), indent=2))
    if found.advice is not None and found.advice.code:
        write_text(found.folder / "simplified.py", found.advice.code)
