"""Work that leaves marks, rests or dies: importable in worker processes, without torch."""

import os
import time
from pathlib import Path

import xarray as xr

from skipnorm.evidence import write
from skipnorm.studies import errand
from skipnorm.studies.outcome import Outcome, record
from skipnorm.studies.plan import Trial
from skipnorm.studies.study import Study, Variant

MEANING = {"unit": "1", "meaning": "a number of the toy world", "source": "definition"}


def trials(count: int) -> tuple[Trial, ...]:
    """So many trials of one variant, which nothing but this module understands."""
    variant = Variant(None, None)
    return tuple(Trial("a", variant, seed=s, probes=None, key="k" * 16) for s in range(count))


def study(count: int) -> Study:
    return Study("toy", {"a": Variant(None, None)}, seeds=range(count))


def evidence(trial: Trial, **more: float) -> xr.Dataset:
    """What a toy trial finds: its seed, squared; some diverge."""
    values = {"value": float(trial.seed**2), **more}
    dims = ("variant", "seed")
    coords = {"variant": [trial.name], "seed": [trial.seed]}
    return xr.Dataset({k: (dims, [[v]], MEANING) for k, v in values.items()}, coords)


def perform(trial: Trial, folder: Path, *, states: Path | None = None) -> Outcome:
    """In place of the real thing: leaves a mark, rests, and writes the evidence."""
    with (folder / "marks").open("a") as file:
        file.write(f"{trial.seed}\n")
    time.sleep(float(os.environ.get("TOYWORK_SECONDS", "0")))
    write(evidence(trial), trial.evidence_file(folder))
    outcome = Outcome(trial, "finished")
    record(outcome, folder)
    return outcome


def toying(work: errand.Errand, trial: Trial) -> Outcome:
    """The errand with `perform` as above, in whichever process."""
    errand.perform = perform
    return work(trial)


def die_once(trial: Trial, marks: str) -> Outcome:
    """Dies at the first try of each trial, and leaves a mark."""
    mark = Path(marks) / f"died-{trial.seed}"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), 9)
    return Outcome(trial, "finished")


def slowly(work, trial: Trial, marks: str, seconds: float) -> Outcome:
    """Any work, after leaving a mark and a rest."""
    Path(marks, f"begun-{trial.seed}-{trial.key}-{os.getpid()}").touch()
    time.sleep(seconds)
    return work(trial)
