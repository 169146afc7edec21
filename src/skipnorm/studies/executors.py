"""Where trials are done: here, one after another; on every core at once; or on a Ray cluster.

An executor is a function from work and trials to outcomes, in any order, each as soon as it is
known. A trial depends on nothing but itself, so every executor gives the same evidence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from skipnorm.errors import StudyError, nearest
from skipnorm.studies.on_ray import on_ray
from skipnorm.studies.outcome import Outcome
from skipnorm.studies.plan import Trial
from skipnorm.studies.workers import Crew

__all__ = ["EXECUTORS", "Executor", "Work", "executor_named", "in_process", "processes"]

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
    wanted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    size = min(workers or wanted or 1, len(trials))
    with Crew(work, size) as crew:
        yield from crew.outcomes(trials)


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
