"""How far a study is: a bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TextIO

from skipnorm.errors import StudyError, nearest
from skipnorm.studies.outcome import Outcome

__all__ = ["PROGRESS", "Progress", "Tell", "auto", "bar", "lines", "off", "progress_named"]

Tell = Callable[[Sequence[Outcome]], None]
Progress = Callable[[str, int], AbstractContextManager[Tell]]

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def off(study: str, total: int) -> Iterator[Tell]:
    """Say nothing."""
    yield lambda outcomes: None


@contextmanager
def bar(study: str, total: int) -> Iterator[Tell]:
    """A bar with count, failures, time passed and time left, on standard error."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]}", style="red"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(study, total=total, failed="")
        failed = 0

        def tell(outcomes: Sequence[Outcome]) -> None:
            nonlocal failed
            failed += _failed(outcomes)
            text = f"{failed} failed" if failed else ""
            shown.update(task, advance=len(outcomes), failed=text)

        yield tell


@contextmanager
def lines(study: str, total: int, *, to: TextIO | None = None) -> Iterator[Tell]:
    """One line every few seconds without control characters, for logs and pipes."""
    stream = to or sys.stderr
    begun = last = time.monotonic()
    done = failed = kept = 0

    def tell(outcomes: Sequence[Outcome]) -> None:
        nonlocal done, failed, kept, last
        done += len(outcomes)
        kept += sum(outcome.status == "kept" for outcome in outcomes)
        failed += _failed(outcomes)
        now = time.monotonic()
        if done < total and now - last < _SECONDS_BETWEEN_LINES:
            return
        last = now
        trouble = f", {failed} failed" if failed else ""
        stream.write(f"{study}: {done}/{total} trials{trouble}{_pace(done - kept, now - begun)}\n")
        stream.flush()

    yield tell


def auto(study: str, total: int) -> AbstractContextManager[Tell]:
    """A bar where standard error is a terminal, plain lines otherwise."""
    return bar(study, total) if sys.stderr.isatty() else lines(study, total)


PROGRESS: Mapping[str, Progress] = {"auto": auto, "bar": bar, "lines": lines, "off": off}


def progress_named(progress: str | Progress) -> Progress:
    """The way of showing progress, given its name or itself.

    Raises:
        StudyError: no way has this name.

    >>> progress_named("off").__name__
    'off'
    """
    if callable(progress):
        return progress
    if progress not in PROGRESS:
        raise StudyError(f"There is no such progress: {nearest(progress, PROGRESS)}")
    return PROGRESS[progress]


def _failed(outcomes: Sequence[Outcome]) -> int:
    return sum(outcome.status == "failed" for outcome in outcomes)


def _pace(done: int, seconds: float) -> str:
    return f", {seconds:.0f} s, {done / seconds:.1f} trials/s" if done and seconds > 0 else ""
