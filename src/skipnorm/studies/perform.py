"""One trial from its recipe to its file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skipnorm.errors import EvidenceError, StudyError
from skipnorm.studies.history import history
from skipnorm.studies.kept import Readings, kept_readings
from skipnorm.studies.look import look, texts_of
from skipnorm.studies.outcome import Outcome, failure, record
from skipnorm.studies.plan import Trial
from skipnorm.studies.scoring import SCORES, scored
from skipnorm.studies.sowing import sow
from skipnorm.studies.states import states_folder, visits

if TYPE_CHECKING:
    import xarray as xr

    from skipnorm.studies.readings import Question
    from skipnorm.training.state import State

__all__ = ["perform", "take"]

Failures = dict[tuple[int, str], Exception]
"""What was raised in place of readings, by step and by the text that names the probe."""


def perform(trial: Trial, folder: Path, *, states: Path | None = None) -> Outcome:
    """Do a trial and keep its evidence, or keep the reason why there is none.

    What was read of the same states before is taken from there, and a state that is kept is not
    trained for again. Whatever the trial raises becomes its outcome, so that the rest of the study
    goes on; only an interrupt passes through. Where a probe raises, what the others found is kept
    too, and the next try asks that one alone.

    Args:
        trial: what is to be done.
        folder: of the study.
        states: where the states of trainings are kept; within the study's folder unless given.
    """
    from skipnorm.evidence import write

    try:
        evidence = take(trial, folder, states=states)
        write(evidence, trial.evidence_file(folder))
        trial.partial_file(folder).unlink(missing_ok=True)
        outcome = Outcome(trial, "finished", diverged=_diverged(evidence))
    except Exception as error:
        outcome = failure(trial, error)
    try:
        record(outcome, folder)
    except OSError as error:
        return failure(trial, error)
    return outcome


def take(trial: Trial, folder: Path | None = None, *, states: Path | None = None) -> xr.Dataset:
    """What a trial measures, with the dimensions variant and seed and with its provenance.

    A variant that learns adds ``step``, one with a grid of learning rates ``rate``. Without a folder
    nothing is kept. Depends on nothing but the trial: one torch thread, and a random state of its own.

    Raises:
        StudyError: a probe raised; what else was read is kept in the folder.
    """
    from skipnorm.studies.readings import questions

    with _alone(trial.seed, trial.variant.dtype):
        asked = questions(trial.probes)
        texts = texts_of(trial, asked)
        known = kept_readings(trial, folder, texts) if folder is not None else {}
        found, lost, last = _found(trial, asked, known, folder and states_folder(folder, states))
    every = known | found
    order = [(at, text) for at in trial.at for text in texts]
    readings = {key: every[key] for key in order if key in every}
    if lost:
        failed = {text for _, text in lost}
        rest = {key: each for key, each in readings.items() if key[1] not in failed}
        if folder is not None and trial.group and rest:
            _keep(_evidence(trial, rest, last), trial.partial_file(folder))
        raise _unread(lost)
    return _evidence(trial, readings, last)


def _evidence(trial: Trial, readings: Readings, last: State | None) -> xr.Dataset:
    """All readings side by side, with the history of the training."""
    from skipnorm.evidence import beside, provenance

    training = trial.variant.training
    parts = [(reading, _place(trial, at)) for (at, _), reading in readings.items()]
    if training is not None:
        parts.append((history(last, training, trial.at[-1]), _place(trial)))
    evidence = beside(parts)
    if training is not None and trial.rate is None:
        evidence = evidence.assign_coords(rate=training.rate)
    evidence.attrs = {**provenance(), **evidence.attrs, **_notes(evidence, last)}
    return evidence


def _found(
    trial: Trial, asked: tuple[Question, ...], known: Readings, states: Path | None
) -> tuple[Readings, Failures, State | None]:
    """What was not read before, what raised, and the last state, which knows how the run went."""
    texts = texts_of(trial, asked)
    missing = {at: [text for text in texts if (at, text) not in known] for at in trial.at}
    steps = {at for at, unread in missing.items() if unread}
    if trial.variant.training is not None:
        steps.add(trial.at[-1])
    found: Readings = {}
    lost: Failures = {}
    last: State | None = None
    for network, state in visits(trial, sorted(steps), states):
        last = state
        if state is None or state.diverged is None:
            at = 0 if state is None else state.step
            seen, raised = look(trial, network, asked, missing[at])
            found |= {(at, text): reading for text, reading in seen.items()}
            lost |= {(at, text): error for text, error in raised.items()}
    never = {(at, SCORES) for at in steps if SCORES in missing[at]} - set(found) - set(lost)
    return found | {key: scored(None, trial.variant.task) for key in never}, lost, last


def _keep(evidence: xr.Dataset, path: Path) -> None:
    """For the next try; where that is impossible, it reads all of it again."""
    from skipnorm.evidence import write

    with suppress(EvidenceError):
        write(evidence, path)


def _unread(lost: Failures) -> StudyError:
    """What is said of the first probe that raised, and of how many there are."""
    (at, text), error = next(iter(lost.items()))
    rest, words = len(lost) - 1, str(error).rstrip(".")
    more = f" So did {rest} more reading{'s' * (rest > 1)}." if rest else ""
    found = StudyError(
        f"The probe {text} raised after {at} updates: {type(error).__name__}: {words}.{more} What "
        "the others found is kept; ask without it, or run the study again to try only what is missing."
    )
    found.__cause__ = error
    return found


def _place(trial: Trial, step: int | None = None) -> dict[str, Any]:
    place: dict[str, Any] = {"variant": trial.name, "seed": trial.seed}
    if trial.rate is not None:
        place["rate"] = trial.rate
    if step is not None and trial.variant.training is not None:
        place["step"] = step
    return place


def _notes(evidence: xr.Dataset, last: State | None) -> dict[str, str]:
    found = [str(evidence.attrs.get("notes", "")), *(last.notes if last is not None else ())]
    text = "\n".join(filter(None, found))
    return {"notes": text} if text else {}


def _diverged(evidence: xr.Dataset) -> str:
    """Where the run diverged, in a few words."""
    if "diverged_at" not in evidence or not (lost := evidence["diverged_at"]).notnull().all():
        return ""
    return f"at step {int(lost.item())}: {evidence['diverged_because'].item()}"


@contextmanager
def _alone(seed: int, dtype: str) -> Iterator[None]:
    """One thread, a random state and a precision of its own, all given back as they were."""
    import torch

    threads, precision = torch.get_num_threads(), torch.get_default_dtype()
    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices=devices):
        sow(seed)
        torch.set_num_threads(1)
        torch.set_default_dtype(getattr(torch, dtype))
        try:
            yield
        finally:
            torch.set_default_dtype(precision)
            torch.set_num_threads(threads)
