"""How a study stands: what is done, diverged, failed, missing, or in whose hands. Never needs torch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from skipnorm.errors import EvidenceError
from skipnorm.studies.claims import claim_place, owner_of
from skipnorm.studies.ledger import Ledger, divergence
from skipnorm.studies.manifest import Place, read_manifest
from skipnorm.studies.outcome import reason_of
from skipnorm.studies.progress import span

__all__ = ["Standing", "Status", "status"]

State = Literal["done", "damaged", "running", "failed", "missing"]
_LISTED = 10


@dataclass(frozen=True)
class Standing:
    """A trial, its state, where its run diverged, and what else there is to say about it."""

    trial: str
    state: State
    diverged: str = ""
    reason: str = ""
    evidence: str = ""


@dataclass(frozen=True)
class Status:
    """A study's trials by state, and the command that does what is missing; prints as a summary."""

    study: str
    folder: str
    command: str
    trials: tuple[Standing, ...]
    set_aside: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many trials are in each state; those that diverged are among the done ones."""
        states: Counter[str] = Counter(trial.state for trial in self.trials)
        diverged = sum(bool(trial.diverged) for trial in self.trials)
        order = ("done", "running", "failed", "damaged", "missing")
        return {"trials": len(self.trials), **{s: states[s] for s in order}, "diverged": diverged}

    @property
    def complete(self) -> bool:
        """Whether every trial has its evidence."""
        return all(trial.state == "done" for trial in self.trials)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "study": self.study,
            "folder": self.folder,
            "command": self.command,
            "complete": self.complete,
            "counts": self.counts,
            "trials": [vars(trial) for trial in self.trials],
            "set_aside": list(self.set_aside),
        }

    @property
    def summary(self) -> str:
        """The counts in one line."""
        counts = self.counts
        lost = f" ({counts['diverged']} diverged)" if counts["diverged"] else ""
        words = [f"{counts['done']} of {counts['trials']} trials done{lost}"]
        words += [f"{counts[s]} {s}" for s in ("running", "failed", "damaged") if counts[s]]
        words += [f"{counts['missing']} not begun"] if counts["missing"] else []
        return f"{self.study}: {', '.join(words)}"

    def __str__(self) -> str:
        """As the command line shows it."""
        lines = [self.summary]
        for state in ("running", "failed", "damaged"):
            lines += _listed(state, [trial for trial in self.trials if trial.state == state])
        lines += [f"  tracebacks: {Path(self.folder) / 'failed'}"] if self.counts["failed"] else []
        lines += _listed("diverged", [trial for trial in self.trials if trial.diverged])
        lines += [f"  set aside: {name}" for name in self.set_aside[:_LISTED]]
        more = len(self.set_aside) - _LISTED
        lines += [f"  and {more} more set aside (--json lists all)"] if more > 0 else []
        lines += [f"Go on with:\n  {self.command}"] if not self.complete else []
        return "\n".join(lines)


def status(folder: str | Path) -> Status:
    """How far the study in a folder is: every trial with its state and the reason for it.

    A trial is ``done`` (where its run diverged, that is said: it is a result), ``running`` in a
    process that lives, ``failed`` with its exception on record, ``damaged`` if its file is not what
    was written, else ``missing``. Reads only: nothing of the study changes.

    Raises:
        EvidenceError: the folder holds no study.
    """
    manifest = read_manifest(folder)
    ledger = Ledger(manifest.folder)
    trials = tuple(_standing(place, manifest.folder, ledger) for place in manifest.trials)
    rooms = (manifest.folder / "trials", manifest.folder / "states")
    aside = sorted(path for room in rooms for path in room.glob("*/*.damaged*"))
    names = tuple(path.relative_to(manifest.folder).as_posix() for path in aside)
    return Status(manifest.study, str(manifest.folder), manifest.go_on, trials, names)


def _standing(place: Place, folder: Path, ledger: Ledger) -> Standing:
    name = place.evidence.relative_to(folder).as_posix()
    if place.evidence.is_file():
        state, diverged, reason = _of_evidence(place.evidence, ledger)
        return Standing(place.label, state, diverged, reason, name)
    owned = owner_of(claim_place(folder, place.evidence))
    if owned is not None and owned[1]:
        owner = owned[0]
        since = f" for {span(max(0.0, time.time() - owner.since))}" if owner.since else ""
        return Standing(place.label, "running", reason=f"by {owner}{since}")
    if place.failure.is_file():
        return Standing(place.label, "failed", reason=reason_of(place.failure)[0])
    reason = f"{owned[0]} began it and ended" if owned is not None else ""
    return Standing(place.label, "missing", reason=reason)


def _of_evidence(path: Path, ledger: Ledger) -> tuple[State, str, str]:
    from skipnorm.evidence import read

    try:
        known = ledger.vouches_for(path)
        if not known:
            read(path)
    except (EvidenceError, OSError) as error:
        return "damaged", "", str(error).partition("; ")[0]
    entry = ledger.entry(path) if known else None
    return "done", entry.diverged if entry else divergence(path), ""


def _listed(state: str, trials: list[Standing]) -> Iterator[str]:
    for trial in trials[:_LISTED]:
        said = trial.diverged if state == "diverged" else trial.reason
        yield f"  {state}: {trial.trial}: {' '.join(said.split())}"
    if len(trials) > _LISTED:
        yield f"  and {len(trials) - _LISTED} more {state} (--json lists all)"
