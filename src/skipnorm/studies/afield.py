"""A trial done on a machine that may not have the study's folder: what it takes along and sends back."""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from skipnorm.studies.errand import Errand
from skipnorm.studies.outcome import Outcome, failure, write_bytes
from skipnorm.studies.plan import Trial
from skipnorm.studies.states import states_folder

__all__ = ["APART", "Files", "Token", "luggage", "serve", "token", "unpacked"]

Files = Mapping[str, bytes]
"""Files by their path within the study's folder, where ``states`` stands for the folder of all states."""

_STATES = "states"

APART = "apart"
"""The answer of a machine that has not the study's folder and was given no luggage."""


@dataclass(frozen=True)
class Token:
    """A file in the study's folder: a machine that finds it there shares the folder."""

    name: str = ""
    storage: str = "auto"

    def is_seen_by(self, work: Errand) -> bool:
        """Whether files written to the folders of some work here are in the study."""
        if self.storage == "auto":
            shared = work.states is None or (work.states / self.name).is_file()
            return shared and (work.folder / self.name).is_file()
        return self.storage == "shared"


@contextmanager
def token(work: Any, storage: str) -> Iterator[Token]:
    """A token in the folders of some work while it is done; none where storage is known."""
    made = Token(f".shared-{uuid4().hex}", storage)
    folders: list[Path] = []
    if storage == "auto" and isinstance(work, Errand):
        folders = [work.folder, *([work.states] if work.states else [])]
    for folder in folders:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / made.name).touch()
    try:
        yield made
    finally:
        for folder in folders:
            with suppress(OSError):
                (folder / made.name).unlink(missing_ok=True)


def luggage(work: Errand, trial: Trial) -> Files:
    """What a trial builds on: earlier readings of the same states, and the states themselves."""
    files = {_name(work, path): path for path in trial.related_files(work.folder)}
    if trial.training_key:
        states = states_folder(work.folder, work.states)
        for path in sorted((states / trial.training_key).glob("*.pt")):
            files[f"{_STATES}/{path.relative_to(states).as_posix()}"] = path
    found: dict[str, bytes] = {}
    for name, path in files.items():
        with suppress(FileNotFoundError):  # replaced or set aside this moment
            found[name] = path.read_bytes()
    return found


def unpacked(work: Errand, outcome: Outcome, files: Files) -> Outcome:
    """The outcome of a trial done apart, once its files are in the study's folder; evidence last."""
    last = _name(work, outcome.trial.evidence_file(work.folder))
    states = states_folder(work.folder, work.states)
    try:
        for name in sorted(files, key=lambda name: name == last):
            room, _, rest = name.partition("/")
            place = states / rest if room == _STATES else work.folder / name
            write_bytes(place, files[name])
        if outcome.status != "finished":
            return outcome
        outcome.trial.failure_file(work.folder).unlink(missing_ok=True)
        return work.noted(outcome)
    except OSError as error:
        return failure(outcome.trial, error)


def serve(order: bytes, paths: Sequence[str], taken: Files | None) -> bytes:
    """On the other machine: do the ordered trial; what became of it, with the files to be kept.

    One thread, and a search path like the study's own, so that its recipes can be imported.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    sys.path += [path for path in paths if path not in sys.path]
    files: Files = {}
    try:
        work, trial, proof = pickle.loads(order)
        if not isinstance(work, Errand):
            outcome = work(trial)
        elif proof.is_seen_by(work):
            outcome = work.carry_out(trial)
        elif taken is None:
            return pickle.dumps((APART, "", "", "", {}))
        else:
            outcome, files = _done_apart(work, trial, taken)
    except Exception as error:
        outcome = failure(None, error)  # type: ignore[arg-type]
    return pickle.dumps((outcome.status, outcome.reason, outcome.details, outcome.diverged, files))


def _done_apart(work: Errand, trial: Trial, taken: Files) -> tuple[Outcome, Files]:
    """A trial done in a folder of its own, and the files that are new or other than before."""
    with tempfile.TemporaryDirectory(prefix="skipnorm-") as name:
        folder = Path(name)
        for file, content in taken.items():
            write_bytes(folder / file, content)
        outcome = replace(work, folder=folder, states=None).carry_out(trial)
        left = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for room in (_STATES, "trials", "failed")
            for path in (folder / room).rglob("*")
            if path.is_file() and not path.name.startswith((".", "claim."))
        }
        return outcome, {file: new for file, new in left.items() if taken.get(file) != new}


def _name(work: Errand, path: Path) -> str:
    return path.relative_to(work.folder).as_posix()
