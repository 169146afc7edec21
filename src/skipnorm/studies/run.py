"""Do what is missing of a study, and hand over the evidence of all of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from skipnorm.errors import EvidenceError, StudyError
from skipnorm.studies.executors import Executor, executor_named
from skipnorm.studies.manifest import collect, write_manifest
from skipnorm.studies.outcome import Outcome
from skipnorm.studies.perform import perform
from skipnorm.studies.plan import Trial, plan
from skipnorm.studies.progress import Progress, progress_named
from skipnorm.studies.study import Study

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["complete", "run"]


def run(
    study: Study,
    folder: str | Path,
    *,
    executor: str | Executor = "in_process",
    progress: str | Progress = "auto",
    failures: Literal["raise", "keep"] = "raise",
    command: str = "",
) -> xr.Dataset:
    """The evidence of a study: finished trials are read from its folder, missing ones are done.

    Every trial is a file of its own, written whole or not at all, so an interrupted study goes on
    where it stopped. A trial that raises is recorded and the rest is finished first; then
    ``failures="raise"`` reports it, while ``"keep"`` returns what there is (trials that are
    missing are NaN where others are not). A damaged file is set aside and its trial done again.

    Returns a dataset with the dimensions ``variant`` and ``seed`` before those of the measurement.

    Raises:
        StudyError: a trial failed (see ``failures``), or the study cannot be planned.
    """
    folder = Path(folder)
    trials = plan(study)
    write_manifest(study.name, trials, folder, command=command)
    do = partial(complete, study.name, trials, folder, executor=executor, progress=progress)
    outcomes = do()
    if any(outcome.status != "failed" for outcome in outcomes):
        try:
            evidence = collect(folder)
        except EvidenceError:
            if not _set_aside_damaged(trials, folder):
                raise
            outcomes = do()
            evidence = collect(folder)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed and (failures == "raise" or len(failed) == len(outcomes)):
        raise StudyError(_report(study.name, failed, total=len(outcomes), folder=folder))
    return evidence


def complete(
    study: str,
    trials: Sequence[Trial],
    folder: Path,
    *,
    executor: str | Executor,
    progress: str | Progress,
) -> list[Outcome]:
    """The outcome of every trial, after doing those whose evidence is not there yet."""
    done = [trial for trial in trials if trial.evidence_file(folder).is_file()]
    missing = [trial for trial in trials if not trial.evidence_file(folder).is_file()]
    outcomes = [Outcome(trial, "kept") for trial in done]
    if not missing:
        return outcomes
    work = partial(perform, folder=folder)
    with progress_named(progress)(study, len(trials)) as tell:
        tell(outcomes)
        for outcome in executor_named(executor)(work, missing):
            outcomes.append(outcome)
            tell([outcome])
    return outcomes


def _set_aside_damaged(trials: Sequence[Trial], folder: Path) -> list[Path]:
    """Rename the files that cannot be read, and say which."""
    from skipnorm.evidence import read

    damaged = []
    for path in (trial.evidence_file(folder) for trial in trials):
        try:
            if path.is_file():
                read(path)
        except EvidenceError:
            damaged.append(path.rename(path.with_suffix(".damaged")))
    return damaged


def _report(study: str, failed: Sequence[Outcome], *, total: int, folder: Path) -> str:
    first = "\n".join(f"  {outcome.trial}: {outcome.reason}" for outcome in failed[:5])
    more = f"\n  and {len(failed) - 5} more" if len(failed) > 5 else ""
    return (
        f"The study {study!r} expected {total} finished trials, {len(failed)} of them failed:\n"
        f"{first}{more}\nTheir tracebacks are in {str(folder / 'failed')!r}. Run the study again "
        "to try only these, or take the rest with failures='keep'."
    )
