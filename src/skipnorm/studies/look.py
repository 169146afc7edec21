"""What is read at one state of a trial, and what was raised where that is impossible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from skipnorm.errors import StudyError
from skipnorm.studies.plan import Trial
from skipnorm.studies.reference import load
from skipnorm.studies.scoring import SCORES, scored

if TYPE_CHECKING:
    import xarray as xr

    from skipnorm.studies.readings import Question

__all__ = ["Look", "look", "texts_of"]

Look = tuple[dict[str, "xr.Dataset"], dict[str, Exception]]
"""What was found, and what was raised instead, by the texts that name the readings."""


def texts_of(trial: Trial, asked: Sequence[Question]) -> tuple[str, ...]:
    """What names the readings at one step: every probe, or all together where they are reduced."""
    texts = tuple(question.text for question in asked)
    if trial.variant.reduce is not None:
        texts = ("; ".join(texts),)
    return texts if trial.variant.training is None else (*texts, SCORES)


def look(trial: Trial, network: Any, asked: Sequence[Question], unread: Sequence[str]) -> Look:
    """The readings named, at one state. A probe that raises costs no other its answer."""
    found: dict[str, xr.Dataset] = {}
    lost: dict[str, Exception] = {}
    probes = [text for text in unread if text != SCORES]
    if probes and trial.variant.reduce is not None:
        _try(probes[0], lambda: _reduced(trial, network, asked), found, lost)
    elif probes:
        _ask(trial, network, [each for each in asked if each.text in probes], found, lost)
    if SCORES in unread:
        _try(SCORES, lambda: scored(network, trial.variant.task), found, lost)
    for text, reading in found.items():
        for name in reading.data_vars:
            reading.variables[name].attrs["probe"] = text
    return found, lost


def _ask(
    trial: Trial,
    network: Any,
    asked: Sequence[Question],
    found: dict[str, xr.Dataset],
    lost: dict[str, Exception],
) -> None:
    """All at once; where one raises, one after another."""
    try:
        found |= _answers(trial, network, asked)
    except Exception as error:
        if len(asked) == 1:
            lost[asked[0].text] = error
            return
        for each in asked:
            _ask(trial, network, [each], found, lost)


def _try(
    text: str,
    reading: Callable[[], xr.Dataset],
    found: dict[str, xr.Dataset],
    lost: dict[str, Exception],
) -> None:
    try:
        found[text] = reading()
    except Exception as error:
        lost[text] = error


def _answers(trial: Trial, network: Any, asked: Sequence[Question]) -> dict[str, xr.Dataset]:
    from skipnorm.studies.readings import answers

    variant = trial.variant
    batch = variant.task.batch(variant.batch, trial.seed)
    return answers(asked, network, batch, variant.task, seed=trial.seed)


def _reduced(trial: Trial, network: Any, asked: Sequence[Question]) -> xr.Dataset:
    """All answers, made into a smaller dataset as the variant wishes."""
    import xarray as xr

    from skipnorm.evidence import beside

    reduce: Any = trial.variant.reduce
    function = load(reduce) if isinstance(reduce, str) else reduce
    found = _answers(trial, network, asked)
    reduced = function(beside([(each, {}) for each in found.values()]))
    if not isinstance(reduced, xr.Dataset):
        raise StudyError(
            f"A variant's reduce turns a dataset into a smaller one: expected an xarray.Dataset "
            f"from {reduce!r}, found {type(reduced).__name__}."
        )
    return reduced
