"""How far a study is: a bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from skipnorm.errors import StudyError, nearest
from skipnorm.studies.outcome import Outcome

__all__ = [
    "PROGRESS",
    "Progress",
    "Tell",
    "auto",
    "bar",
    "lines",
    "off",
    "progress_named",
    "span",
]

Tell = Callable[[Sequence[Outcome]], None]
Progress = Callable[[str, int], AbstractContextManager[Tell]]

_SECONDS_BETWEEN_LINES = 5.0


@dataclass
class _Tally:
    """How many trials have come to an end, and how: the numbers behind a bar or a line.

    Those that were there at the start do not count for the pace; what fellow processes do, does.
    """

    total: int
    done: int = 0
    fresh: int = 0
    failed: int = 0
    diverged: int = 0
    begun: float = field(default_factory=lambda: time.monotonic())

    def add(self, outcomes: Sequence[Outcome]) -> None:
        statuses = [outcome.status for outcome in outcomes]
        ended = len(statuses) - statuses.count("damaged")
        self.fresh += ended if self.done else ended - statuses.count("kept")
        self.done += ended
        self.failed += statuses.count("failed")
        self.diverged += sum(bool(outcome.diverged) for outcome in outcomes)

    def trouble(self) -> list[str]:
        counts = {"failed": self.failed, "diverged": self.diverged}
        return [f"{count} {word}" for word, count in counts.items() if count]

    def pace(self) -> list[str]:
        """Time passed, rate and time left, as far as they are known."""
        seconds = time.monotonic() - self.begun
        if not self.fresh or seconds <= 0:
            return []
        rate, left = self.fresh / seconds, self.total - self.done
        told = [f"{rate:.1f} trials/s" if rate >= 0.5 else f"{span(1 / rate)} a trial"]
        return told + ([f"about {span(left / rate)} left"] if left else [])

    def passed(self) -> str:
        return span(time.monotonic() - self.begun)


@contextmanager
def off(study: str, total: int) -> Iterator[Tell]:
    """Say nothing."""
    yield lambda outcomes: None


@contextmanager
def bar(study: str, total: int) -> Iterator[Tell]:
    """A bar with count, failures, divergences, rate, time passed and time left, on standard error."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.table import Column
    from rich.text import Text

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[trouble]}", style="red"),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[pace]}", style="dim", table_column=Column()),  # wraps, as the bar
    )
    tally = _Tally(total)
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(study, total=total, trouble="", pace="")

        def tell(outcomes: Sequence[Outcome]) -> None:
            for line in _damages(study, outcomes):
                shown.console.print(Text(line))
            tally.add(outcomes)
            trouble, pace = ", ".join(tally.trouble()), ", ".join(tally.pace())
            shown.update(task, completed=tally.done, trouble=trouble, pace=pace)

        yield tell


@contextmanager
def lines(study: str, total: int, *, to: TextIO | None = None) -> Iterator[Tell]:
    """One line every few seconds without control characters, for logs and pipes."""
    stream = to or sys.stderr
    tally = _Tally(total)
    last = tally.begun

    def tell(outcomes: Sequence[Outcome]) -> None:
        nonlocal last
        for line in _damages(study, outcomes):
            stream.write(f"{line}\n")
        tally.add(outcomes)
        now = time.monotonic()
        if not outcomes or (tally.done < total and now - last < _SECONDS_BETWEEN_LINES):
            return
        last = now
        count = f"{study}: {tally.done}/{total} trials"
        words = [count, *tally.trouble(), *([tally.passed()] if tally.fresh else []), *tally.pace()]
        stream.write(", ".join(words) + "\n")
        stream.flush()

    yield tell


def auto(study: str, total: int) -> AbstractContextManager[Tell]:
    """A bar where standard error is a terminal that can draw one, plain lines otherwise."""
    able = sys.stderr.isatty() and os.environ.get("TERM", "") != "dumb"
    return bar(study, total) if able else lines(study, total)


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


def _damages(study: str, outcomes: Sequence[Outcome]) -> list[str]:
    """What a person should know about files that were set aside, a line each."""
    return [
        f"{study}: set aside, {outcome.trial} is measured again: {outcome.reason}"
        for outcome in outcomes
        if outcome.status == "damaged"
    ]


def span(seconds: float) -> str:
    """A span of time as people say it.

    >>> span(4), span(150), span(7320)
    ('4 s', '2 min 30 s', '2 h 2 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
