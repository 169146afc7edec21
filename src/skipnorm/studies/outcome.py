"""What became of a trial: finished, or failed with its exception on record."""

from __future__ import annotations

import json
import os
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from skipnorm.studies.plan import Trial

__all__ = ["Outcome", "Status", "failure", "record", "write_text"]

Status = Literal["finished", "kept", "failed"]


@dataclass(frozen=True)
class Outcome:
    """A trial with its end: ``finished`` now, ``kept`` from before, or ``failed`` with the reason.

    A run that diverges has finished: NaN and infinity are numbers of the evidence, not failures.
    """

    trial: Trial
    status: Status
    reason: str = ""
    details: str = ""


def failure(trial: Trial, error: BaseException) -> Outcome:
    """The outcome of a trial that raised: the exception in one line, the traceback as details."""
    reason = f"{type(error).__name__}: {error}"
    details = "".join(traceback.format_exception(error))
    return Outcome(trial, "failed", reason=reason, details=details)


def record(outcome: Outcome, folder: Path) -> None:
    """Keep a failure on disk where a person finds it; forget it once the trial has finished."""
    path = outcome.trial.failure_file(folder)
    if outcome.status != "failed":
        path.unlink(missing_ok=True)
        return
    text = {
        "variant": outcome.trial.name,
        "seed": outcome.trial.seed,
        "key": outcome.trial.key,
        "reason": outcome.reason,
        "details": outcome.details,
    }
    write_text(path, json.dumps(text, indent=2))


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, making its folder where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
