"""What became of a trial: finished, kept from before, failed with the exception on record."""

from __future__ import annotations

import json
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

from skipnorm.studies.plan import Trial

__all__ = ["Outcome", "Status", "failure", "reason_of", "record", "write_bytes", "write_text"]

Status = Literal["finished", "kept", "failed", "elsewhere", "damaged"]


@dataclass(frozen=True)
class Outcome:
    """A trial with its end.

    ``finished`` now; ``kept`` from before; ``failed`` with the reason; ``elsewhere``: another process
    has it in hand; ``damaged``: still to be done, because its file could not be trusted and was set
    aside for the reason given.

    A run that diverges has finished: NaN and infinity are numbers of the evidence, not failures;
    ``diverged`` says where.
    """

    trial: Trial
    status: Status
    reason: str = ""
    details: str = ""
    diverged: str = ""


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
        "trial": str(outcome.trial),
        "variant": outcome.trial.name,
        "seed": outcome.trial.seed,
        "key": outcome.trial.key,
        "reason": outcome.reason,
        "details": outcome.details,
    }
    write_text(path, json.dumps(text, indent=2))


def reason_of(path: Path) -> tuple[str, str]:
    """The reason and the details in a failure's file; words to that effect where it is damaged."""
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
        return str(text["reason"]), str(text["details"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"unknown: its record cannot be read ({type(error).__name__})", ""


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, making its folder where needed."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, making its folder where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
