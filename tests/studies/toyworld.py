"""A world in which every answer is known: networks are numbers, measuring is adding."""

import os
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import xarray as xr

from skipnorm.studies.outcome import Outcome
from skipnorm.studies.plan import Trial
from skipnorm.studies.readings import Question
from skipnorm.studies.study import Study, Variant

MEANING = {"unit": "1", "meaning": "a number of the toy world", "source": "definition"}


@dataclass(frozen=True)
class Number:
    """A network that is its gain plus its seed; some cannot be built."""

    gain: float = 1.0
    fails_on: tuple[int, ...] = ()

    def build(self, seed: int) -> float:
        if seed in self.fails_on:
            raise ValueError(f"no weights for seed {seed}")
        return self.gain + seed


@dataclass(frozen=True)
class Counting:
    """A task whose batch is its size."""

    name: str = "counting"
    hash: str = "0123abcd"
    loss: str | None = None

    def batch(self, size: int, seed: int) -> int:
        return size


def measure(network: float, batch: int, *, loss=None, probes=None) -> xr.Dataset:
    """At site `a` the network, at site `b` the network times the batch."""
    log = os.environ.get("TOYWORLD_LOG")
    if log:
        with Path(log).open("a") as file:
            file.write(f"{network}\n")
    return xr.Dataset(
        {"value": ("site", [network, network * batch], MEANING)}, {"site": ["a", "b"]}
    )


def questions(probes) -> tuple[Question, ...]:
    """One for each name, whatever the name; one where none is given."""
    return tuple(Question(str(probe), probe) for probe in probes or ("toy",))


def only_the_sum(measured: xr.Dataset) -> xr.Dataset:
    return xr.Dataset({"total": measured["value"].sum("site", keep_attrs=True)})


def no_dataset(measured: xr.Dataset) -> int:
    return 3


def study(**gains: float) -> Study:
    """Variants by gain, three seeds, batches of two."""
    variants = {name: Variant(Number(gain), Counting(), batch=2) for name, gain in gains.items()}
    return Study("toy", variants or {"one": Variant(Number(), Counting())}, seeds=range(3))


def well(trial: Trial) -> Outcome:
    """Tells its threads and the end of a process of its own, as a DataLoader has them."""
    child = get_context("fork").Process(target=int)
    child.start()
    child.join()
    return Outcome(trial, "finished", os.environ["OMP_NUM_THREADS"], str(child.exitcode))


def die_on_one(trial: Trial) -> Outcome:
    if trial.seed == 1:
        os.kill(os.getpid(), 9)
    return Outcome(trial, "finished")


def raise_on_one(trial: Trial) -> Outcome:
    if trial.seed == 1:
        raise ValueError("seed one")
    return Outcome(trial, "finished")


def die_on_one_and_raise_on_two(trial: Trial) -> Outcome:
    if trial.seed == 2:
        raise ValueError("seed two")
    return die_on_one(trial)


def where(trial: Trial) -> Outcome:
    """Tells which process it is done in."""
    return Outcome(trial, "finished", str(os.getpid()))
