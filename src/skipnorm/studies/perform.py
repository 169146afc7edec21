"""One trial from its recipe to its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skipnorm.errors import StudyError
from skipnorm.studies.outcome import Outcome, failure, record
from skipnorm.studies.plan import Trial
from skipnorm.studies.reference import load

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["perform", "take"]


def perform(trial: Trial, folder: Path) -> Outcome:
    """Do a trial and keep its evidence, or keep the reason why there is none.

    Whatever the trial raises becomes its outcome, so that the rest of the study goes on; only an
    interrupt passes through.
    """
    from skipnorm.evidence import write

    try:
        evidence = take(trial)
        write(evidence, trial.evidence_file(folder))
        outcome = Outcome(trial, "finished")
    except Exception as error:
        outcome = failure(trial, error)
    try:
        record(outcome, folder)
    except OSError as error:
        return failure(trial, error)
    return outcome


def take(trial: Trial) -> xr.Dataset:
    """What a trial measures, with the dimensions variant and seed and with its provenance.

    Depends on nothing but the trial: one torch thread, and a random state of its own.
    """
    from skipnorm.evidence import provenance
    from skipnorm.studies.measure import measure

    variant = trial.variant
    with _alone(trial.seed, variant.dtype):
        network = variant.network.build(trial.seed)
        batch = variant.task.batch(variant.batch, trial.seed)
        measured = measure(network, batch, loss=variant.task.loss, probes=trial.probes)
    reduced = _reduced(measured, variant.reduce)
    labelled = reduced.expand_dims(variant=[trial.name], seed=[trial.seed])
    labelled.attrs = {**provenance(), **measured.attrs, **reduced.attrs}
    return labelled


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
