"""Do what is missing of a study, and hand over the evidence of all of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from skipnorm.errors import StudyError
from skipnorm.studies.claims import claim_place, take
from skipnorm.studies.errand import Errand, errand
from skipnorm.studies.executors import Executor, executor_named
from skipnorm.studies.ledger import Ledger, distrust, set_aside
from skipnorm.studies.manifest import gathered, write_manifest
from skipnorm.studies.outcome import Outcome
from skipnorm.studies.plan import Trial, plan
from skipnorm.studies.progress import Progress, Tell, progress_named
from skipnorm.studies.study import Study

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["complete", "run"]

_PAUSE = 0.5
"""Seconds between two looks at trials that another process has in hand."""


def run(
    study: Study,
    folder: str | Path,
    *,
    executor: str | Executor = "in_process",
    progress: str | Progress = "auto",
    failures: Literal["raise", "keep"] = "raise",
    states: str | Path | None = None,
    command: str = "",
    source: str = "",
) -> xr.Dataset:
    """The evidence of a study: finished trials are read from its folder, missing ones are done.

    Every trial is a file of its own, written whole or not at all, so an interrupted study goes on
    where it stopped, and several processes may run the same study into the same folder: they share
    the work. A trial that raises is recorded and the rest is finished first; then
    ``failures="raise"`` reports it, while ``"keep"`` returns what there is (trials that are
    missing are NaN where others are not). A damaged file, or one that belongs to another trial, is
    named, set aside and its trial done again.

    Args:
        study: what is compared.
        folder: where its files lie; made if need be.
        executor: ``"in_process"``, ``"processes"``, ``"ray"``, or a function from work and trials
            to outcomes.
        progress: ``"auto"``, ``"bar"``, ``"lines"``, ``"off"``, or a way of one's own.
        failures: what to do about trials that failed.
        states: a folder of trained states that several studies share; within ``folder`` by default.
        command: what `status` and the report say to go on with.
        source: where the study was found: an inquiry's name, a file or ``pkg.module:study``.

    Returns a dataset with the dimensions ``variant`` and ``seed`` before those of the measurement.

    Raises:
        StudyError: a trial failed (see ``failures``), the study cannot be planned, or its folder
            cannot be written to.
    """
    folder = Path(folder)
    trials = plan(study)
    write_manifest(study.name, trials, folder, command=command, source=source)
    shared = None if states is None else Path(states)
    outcomes = complete(
        study.name, trials, folder, executor=executor, progress=progress, states=shared
    )
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed and (failures == "raise" or len(failed) == len(outcomes)):
        raise StudyError(_report(study.name, failed, total=len(outcomes), folder=folder))
    files = (trial.evidence_file(folder) for trial in trials)
    return gathered([path for path in files if path.is_file()], folder)


def complete(
    study: str,
    trials: Sequence[Trial],
    folder: Path,
    *,
    executor: str | Executor,
    progress: str | Progress,
    states: Path | None = None,
) -> list[Outcome]:
    """The outcome of every trial, after doing those whose evidence is not there or not sound."""
    kept, damaged, missing = _inspected(trials, folder)
    if not missing:
        return kept
    on, work = executor_named(executor), errand(folder, missing, states)
    with progress_named(progress)(study, len(trials)) as tell:
        tell([*kept, *damaged])
        return kept + _done(on, work, missing, tell)


def _inspected(
    trials: Sequence[Trial], folder: Path
) -> tuple[list[Outcome], list[Outcome], list[Trial]]:
    """What is there and sound, what was there and is now set aside, and all that is missing."""
    ledger = Ledger(folder)
    kept: list[Outcome] = []
    damaged: list[Outcome] = []
    missing: list[Trial] = []
    for trial in trials:
        path = trial.evidence_file(folder)
        if not path.is_file():
            missing.append(trial)
        elif distrust(trial, folder, ledger):
            missing.append(trial)
            if reason := _discarded(trial, folder):
                damaged.append(Outcome(trial, "damaged", reason=reason))
        else:
            entry = ledger.entry(path)
            kept.append(Outcome(trial, "kept", diverged=entry.diverged if entry else ""))
    return kept, damaged, missing


def _discarded(trial: Trial, folder: Path) -> str:
    """Why the file of a trial was set aside; empty where a fellow process has just seen to that."""
    path = trial.evidence_file(folder)
    try:
        claim = take(claim_place(folder, path))
        if claim is None:
            return ""
        with claim:
            reason = distrust(trial, folder, Ledger(folder)) if path.is_file() else ""
            return f"{reason} (kept as {set_aside(path).name})" if reason else ""
    except (OSError, StudyError) as error:
        raise StudyError(
            f"A file that is not what the study wrote cannot be set aside ({error}): expected "
            f"evidence of {trial} in {str(path)!r}. Move it away by hand."
        ) from error


def _done(on: Executor, work: Errand, missing: Sequence[Trial], tell: Tell) -> list[Outcome]:
    """The outcomes of trials that are done here, or that another process does meanwhile."""
    outcomes: list[Outcome] = []
    waiting: list[Trial] = []
    while missing or waiting:
        for outcome in on(work, missing) if missing else ():
            if outcome.status == "elsewhere":
                waiting.append(outcome.trial)
                continue
            outcomes.append(work.buried(outcome) if outcome.status == "failed" else outcome)
            tell([outcome])
        free = {id(trial) for trial in waiting if work.is_free(trial)}
        ended = [(trial, work.settled(trial)) for trial in waiting if id(trial) in free]
        settled = [outcome for _, outcome in ended if outcome is not None]
        outcomes += settled
        tell(settled)
        missing = [trial for trial, outcome in ended if outcome is None]
        waiting = [trial for trial in waiting if id(trial) not in free]
        if waiting and not missing:
            time.sleep(_PAUSE)
    return outcomes


def _report(study: str, failed: Sequence[Outcome], *, total: int, folder: Path) -> str:
    first = "\n".join(f"  {outcome.trial}: {outcome.reason}" for outcome in failed[:5])
    more = f"\n  and {len(failed) - 5} more" if len(failed) > 5 else ""
    rest = ", or take the rest with failures='keep'" if len(failed) < total else ""
    return (
        f"The study {study!r} expected {total} finished trials, {len(failed)} of them failed:\n"
        f"{first}{more}\nTheir tracebacks are in {str(folder / 'failed')!r}. Run the study again "
        f"to try only these{rest}."
    )
