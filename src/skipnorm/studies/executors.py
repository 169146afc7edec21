"""Where trials are done: here, one after another; on every core at once; or on a Ray cluster.

An executor is a function from work and trials to outcomes, in any order, each as soon as it is
known. A trial depends on nothing but itself, so every executor gives the same evidence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from skipnorm.errors import StudyError, nearest
from skipnorm.studies.on_ray import on_ray
from skipnorm.studies.outcome import Outcome
from skipnorm.studies.plan import Trial
from skipnorm.studies.workers import Crew

__all__ = [
    "EXECUTORS",
    "Executor",
    "Work",
    "executor_named",
    "in_process",
    "lasting_processes",
    "processes",
]

Work = Callable[[Trial], Outcome]
Executor = Callable[[Work, Sequence[Trial]], Iterator[Outcome]]


def in_process(work: Work, trials: Sequence[Trial]) -> Iterator[Outcome]:
    """One trial after another in this process: the one to debug with."""
    for trial in trials:
        yield work(trial)


def processes(
    work: Work, trials: Sequence[Trial], *, workers: int | None = None
) -> Iterator[Outcome]:
    """One process per core with one thread each; a worker that dies costs only its own trial.

    On a CPU this is the fastest way through many small trials (threads inside one trial and
    vmap over seeds are both slower). A script that calls this needs the usual
    ``if __name__ == "__main__":`` guard, because workers import it.

    Raises:
        StudyError: no worker can be started, or a trial cannot be sent to one.
    """
    with Crew(min(workers or cores(), len(trials))) as crew:
        yield from crew.outcomes(work, trials)


@contextmanager
def lasting_processes(workers: int | None = None) -> Iterator[Executor]:
    """The executor `processes` for several studies in a row: its workers start once, with the first.

    To start a worker is to import torch, some seconds each time.
    """
    with ExitStack() as stack:
        crews: list[Crew] = []

        def executor(work: Work, trials: Sequence[Trial]) -> Iterator[Outcome]:
            if not crews:
                crews.append(stack.enter_context(Crew(workers or cores())))
            yield from crews[0].outcomes(work, trials)

        yield executor


def cores() -> int:
    """How many cores this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return allowed or 1


EXECUTORS: Mapping[str, Executor] = {
    "in_process": in_process,
    "processes": processes,
    "ray": on_ray,
}


def executor_named(executor: str | Executor) -> Executor:
    """The executor itself, given its name or itself.

    Raises:
        StudyError: no executor has this name.

    >>> executor_named("in_process").__name__
    'in_process'
    """
    if callable(executor):
        return executor
    if executor not in EXECUTORS:
        raise StudyError(f"There is no such executor: {nearest(executor, EXECUTORS)}")
    return EXECUTORS[executor]
