"""A crew of worker processes, each with one trial in hand, so that a death is never a riddle."""

from __future__ import annotations

import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import current_process, get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self

from skipnorm.errors import StudyError
from skipnorm.studies.outcome import Outcome, failure
from skipnorm.studies.plan import Trial

__all__ = ["Crew", "pickled"]

_READY = b"ready"


class _Worker:
    """A process, the line to it, and the trial it has in hand."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self.line, far_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(far_end,), daemon=True)
        with _deaf_to_interrupts():
            self.process.start()
        far_end.close()
        self.ready = False
        self.trial: Trial | None = None

    def give(self, work: Callable[[Trial], Outcome], trial: Trial) -> bool:
        """Whether the trial was taken: one that has died meanwhile takes none."""
        order = pickled((work, trial))
        try:
            self.line.send_bytes(order)
        except OSError:  # its end is heard next, and it is replaced
            return False
        self.trial = trial
        return True

    def end(self) -> None:
        self.line.close()
        self.process.terminate()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class Crew:
    """So many worker processes; a dead one is replaced, and its trial reported as failed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        """Start the workers."""
        self._workers = [_Worker() for _ in range(self._size)]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End them all, also in the middle of a trial."""
        for worker in self._workers:
            worker.end()

    def outcomes(
        self, work: Callable[[Trial], Outcome], trials: Sequence[Trial]
    ) -> Iterator[Outcome]:
        """The outcome of this work on every trial, in the order in which they are known."""
        waiting, open_trials = deque(trials), len(trials)
        while open_trials:
            for worker in self._workers:
                idle = worker.ready and worker.trial is None and waiting
                if idle and worker.give(work, waiting[0]):
                    waiting.popleft()
            lines = {worker.line: worker for worker in self._workers}
            for line in wait(list(lines)):
                worker = lines[line]  # type: ignore[index]
                outcome = self._hear(worker)
                if outcome is not None:
                    open_trials -= 1
                    yield outcome

    def _hear(self, worker: _Worker) -> Outcome | None:
        """What a worker has to say; silence at the end of the line is its death."""
        trial = worker.trial
        try:
            message = worker.line.recv_bytes()
        except (EOFError, OSError):
            return self._replace(worker)
        worker.ready, worker.trial = True, None
        if trial is None:
            return None
        status, reason, details = pickle.loads(message)
        return Outcome(trial, status, reason=reason, details=details)

    def _replace(self, worker: _Worker) -> Outcome | None:
        worker.process.join(timeout=5)
        code, trial = worker.process.exitcode, worker.trial
        worker.end()
        if not worker.ready:
            raise StudyError(
                f"A worker process ended before it could begin ({_cause(code)}): expected a "
                "main script that can be imported. Put the call under "
                "`if __name__ == '__main__':`, or use executor='in_process'."
            )
        self._workers[self._workers.index(worker)] = _Worker()
        if trial is None:
            return None
        return failure(trial, StudyError(f"The worker process died ({_cause(code)})."))


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """What is started within inherits the mask: an interrupt is for the study, not its workers."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it later would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        hint = ", perhaps for want of memory" if -code == 9 else ""
        return f"signal {signal.Signals(-code).name}{hint}"
    return f"exit code {code}"


def pickled(order: Any) -> bytes:
    """An order as it is sent to a worker.

    Raises:
        StudyError: part of it cannot be loaded by another process.
    """
    try:
        return pickle.dumps(order)
    except Exception as error:  # whatever the way of pickling of some value raises
        raise StudyError(
            f"A trial cannot be sent to a worker: {error}. Expected recipes, tasks and "
            "functions defined at the top of a module. Or use executor='in_process'."
        ) from error


def _serve(line: Connection) -> None:
    """A worker's life: say that it is there, then do one trial after another."""
    current_process().daemon = False  # the tasks of its trials may have processes of their own
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    line.send_bytes(_READY)
    while True:
        try:
            order = line.recv_bytes()
        except (EOFError, OSError):
            return
        try:
            line.send_bytes(_answer(order))
        except OSError:  # the study has been killed; what it asked for is on disk
            return


def _answer(order: bytes) -> bytes:
    """Status, reason and details of the ordered trial, which may not even be readable here."""
    try:
        work, trial = pickle.loads(order)
        outcome = work(trial)
        answer = (outcome.status, outcome.reason, outcome.details)
    except Exception as error:
        text = failure(None, error)  # type: ignore[arg-type]
        answer = ("failed", text.reason, text.details)
    return pickle.dumps(answer)
