"""One trial from its recipe to its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skipnorm.errors import StudyError
from skipnorm.studies.history import history
from skipnorm.studies.kept import Readings, kept_readings
from skipnorm.studies.outcome import Outcome, failure, record
from skipnorm.studies.plan import Trial
from skipnorm.studies.reference import load
from skipnorm.studies.scoring import SCORES, scored
from skipnorm.studies.states import states_folder, visits

if TYPE_CHECKING:
    import xarray as xr

    from skipnorm.studies.readings import Question
    from skipnorm.training.state import State

__all__ = ["perform", "take"]


def perform(trial: Trial, folder: Path, *, states: Path | None = None) -> Outcome:
    """Do a trial and keep its evidence, or keep the reason why there is none.

    What was read of the same states before is taken from there, and a state that is kept is not
    trained for again. Whatever the trial raises becomes its outcome, so that the rest of the study
    goes on; only an interrupt passes through.

    Args:
        trial: what is to be done.
        folder: of the study.
        states: where the states of trainings are kept; within the study's folder unless given.
    """
    from skipnorm.evidence import write

    try:
        evidence = take(trial, folder, states=states)
        write(evidence, trial.evidence_file(folder))
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
    """
    from skipnorm.evidence import beside, provenance
    from skipnorm.studies.readings import questions

    training = trial.variant.training
    with _alone(trial.seed, trial.variant.dtype):
        asked = questions(trial.probes)
        texts = _texts(trial, asked)
        known = kept_readings(trial, folder, texts) if folder is not None else {}
        found, last = _found(trial, asked, known, folder and states_folder(folder, states))
    readings = known | found
    keys = [(at, text) for at in trial.at for text in texts if (at, text) in readings]
    parts = [(readings[key], _place(trial, key[0])) for key in keys]
    if training is not None:
        parts.append((history(last, training), _place(trial)))
    evidence = beside(parts)
    if training is not None and trial.rate is None:
        evidence = evidence.assign_coords(rate=training.rate)
    evidence.attrs = {**provenance(), **evidence.attrs, **_notes(evidence, last)}
    return evidence


def _found(
    trial: Trial, asked: tuple[Question, ...], known: Readings, states: Path | None
) -> tuple[Readings, State | None]:
    """What was not read before, and the last state, which knows how the run went."""
    texts = _texts(trial, asked)
    missing = {at: [text for text in texts if (at, text) not in known] for at in trial.at}
    steps = {at for at, unread in missing.items() if unread}
    if trial.variant.training is not None:
        steps.add(trial.at[-1])
    found: Readings = {}
    last: State | None = None
    for network, state in visits(trial, sorted(steps), states):
        last = state
        if state is None or state.diverged is None:
            at = 0 if state is None else state.step
            found |= {(at, t): d for t, d in _read(trial, network, asked, missing[at]).items()}
    lost = {(at, SCORES) for at in steps if SCORES in missing[at]} - set(found)
    return found | {key: scored(None, trial.variant.task) for key in lost}, last


def _texts(trial: Trial, asked: tuple[Question, ...]) -> tuple[str, ...]:
    """What names the readings at one step: every probe, or all together where they are reduced."""
    texts = tuple(question.text for question in asked)
    if trial.variant.reduce is not None:
        texts = ("; ".join(texts),)
    return texts if trial.variant.training is None else (*texts, SCORES)


def _read(
    trial: Trial, network: Any, asked: tuple[Question, ...], unread: list[str]
) -> Mapping[str, xr.Dataset]:
    """The readings named, at one state."""
    from skipnorm.evidence import beside
    from skipnorm.studies.readings import answers

    variant = trial.variant
    whole = "; ".join(question.text for question in asked)
    together = variant.reduce is not None
    wanted = [each for each in asked if (whole if together else each.text) in unread]
    batch = variant.task.batch(variant.batch, trial.seed)
    found = answers(wanted, network, batch, variant.task, seed=trial.seed)
    if together and found:
        measured = beside([(each, {}) for each in found.values()])
        found = {whole: _reduced(measured, variant.reduce)}
    if SCORES in unread:
        found[SCORES] = scored(network, variant.task)
    return {text: _marked(each, text) for text, each in found.items()}


def _marked(reading: xr.Dataset, text: str) -> xr.Dataset:
    """Each variable says by which probe it was read."""
    for variable in reading.data_vars.values():
        variable.attrs["probe"] = text
    return reading


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


def _reduced(
    measured: xr.Dataset, reduce: str | Callable[[xr.Dataset], xr.Dataset] | None
) -> xr.Dataset:
    import xarray as xr

    if reduce is None:
        return measured
    function: Callable[[Any], Any] = load(reduce) if isinstance(reduce, str) else reduce
    reduced = function(measured)
    if not isinstance(reduced, xr.Dataset):
        raise StudyError(
            f"A variant's reduce turns a dataset into a smaller one: expected an xarray.Dataset "
            f"from {reduce!r}, found {type(reduced).__name__}."
        )
    return reduced


@contextmanager
def _alone(seed: int, dtype: str) -> Iterator[None]:
    """One thread, a random state and a precision of its own, all given back as they were."""
    import torch

    threads, precision = torch.get_num_threads(), torch.get_default_dtype()
    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        torch.set_default_dtype(getattr(torch, dtype))
        try:
            yield
        finally:
            torch.set_default_dtype(precision)
            torch.set_num_threads(threads)
