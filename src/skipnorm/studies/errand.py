"""A trial done into a folder once, however many processes are at work on the same study."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from skipnorm.errors import StudyError
from skipnorm.studies.claims import Claim, claim_place, forget_dead, owner_of, take
from skipnorm.studies.ledger import Ledger, divergence
from skipnorm.studies.outcome import Outcome, failure, reason_of, record
from skipnorm.studies.perform import perform
from skipnorm.studies.plan import Trial

__all__ = ["Errand", "errand"]


@dataclass(frozen=True)
class Errand:
    """What `run` gives an executor to do with each trial; can be sent to another process.

    ``failed_before`` are the failures that were on record when the study was started, each with
    the time of its file: those are tried again, while a failure that a fellow process has recorded
    since then is taken as it is. ``states`` is where trained states are kept, if not in the folder.
    """

    folder: Path
    failed_before: frozenset[tuple[str, int]] = frozenset()
    states: Path | None = None

    def __call__(self, trial: Trial) -> Outcome:
        """Claim a trial and do it; or say that it is in other hands, or what became of it there."""
        try:
            claim = self.claim(trial)
        except StudyError as error:
            return failure(trial, error)
        if claim is None:
            return Outcome(trial, "elsewhere")
        with claim:
            return self.settled(trial) or self.carry_out(trial)

    def claim(self, trial: Trial) -> Claim | None:
        """A claim on a trial, or None while another process has it.

        Raises:
            StudyError: no claim can be written.
        """
        return take(self._place(trial))

    def settled(self, trial: Trial) -> Outcome | None:
        """What has become of a trial since the study was started, if anything."""
        if trial.evidence_file(self.folder).is_file():
            return Outcome(trial, "kept", diverged=divergence(trial.evidence_file(self.folder)))
        path = trial.failure_file(self.folder)
        if _state(path) is None or _state(path) in self.failed_before:
            return None
        reason, details = reason_of(path)
        return Outcome(trial, "failed", reason=reason, details=details)

    def carry_out(self, trial: Trial) -> Outcome:
        """Do a trial, whoever else may be at it, and note what was written."""
        outcome = perform(trial, self.folder, states=self.states)
        return self.noted(outcome) if outcome.status == "finished" else outcome

    def noted(self, outcome: Outcome) -> Outcome:
        """A finished outcome, its file noted in the ledger, with where its run diverged."""
        path = outcome.trial.evidence_file(self.folder)
        diverged = outcome.diverged or divergence(path)
        Ledger(self.folder).enter(path, diverged=diverged)
        return replace(outcome, diverged=diverged)

    def buried(self, outcome: Outcome) -> Outcome:
        """A failed outcome, surely on record and with no claim left by a worker that died.

        One whose evidence is there all the same, because its worker died thereafter, has not failed.
        """
        settled = None
        with suppress(OSError):
            settled = self.settled(outcome.trial)
            if settled is None:
                record(outcome, self.folder)
        forget_dead(self._place(outcome.trial))
        return settled if settled is not None and settled.status == "kept" else outcome

    def is_free(self, trial: Trial) -> bool:
        """Whether no living process has a trial in hand."""
        owned = owner_of(self._place(trial))
        return owned is None or not owned[1]

    def _place(self, trial: Trial) -> Path:
        return claim_place(self.folder, trial.evidence_file(self.folder))


def errand(folder: Path, trials: Sequence[Trial], states: Path | None = None) -> Errand:
    """The errand of a run that begins now and tries again what has failed before."""
    found = (_state(trial.failure_file(folder)) for trial in trials)
    failed_before = frozenset(state for state in found if state is not None)
    return Errand(folder.absolute(), failed_before, states.absolute() if states else None)


def _state(path: Path) -> tuple[str, int] | None:
    """The end of a failure's path and when it was written; None where there is none."""
    try:
        return f"{path.parent.name}/{path.name}", path.stat().st_mtime_ns
    except OSError:
        return None
