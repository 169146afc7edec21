"""Whose trial is it? Claim files, by which processes share a study and none repeats another's work.

A claim is a file that only one process can create; its owner touches it every few seconds. A claim
is stale once its owner is dead, which is known at once on the owner's machine, or has not touched
it for a minute. It is taken over by creating its next generation: nothing is renamed or removed
on the way, so two processes that take over at the same time cannot both succeed. All of it works
on file systems that machines share, as far as they create a file exclusively.

Should a claim ever mislead (a clock that jumps, a process that was stopped for minutes), a trial is
done twice; nothing is damaged, because evidence is written whole and is the same both times.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from skipnorm.errors import StudyError

__all__ = ["BEAT", "PATIENCE", "Claim", "Owner", "claim_place", "forget_dead", "owner_of", "take"]

BEAT = 10.0
"""Seconds between two touches of a claim by its owner."""

PATIENCE = 60.0
"""Seconds without a touch after which an owner on another machine counts as dead."""


@dataclass(frozen=True)
class Owner:
    """A process that has claimed a trial: machine, number, and since when (seconds since 1970).

    ``machine`` tells apart what shares a host's name (containers, a host before and after its last
    start); ``born`` tells apart two processes that had the same number.
    """

    host: str
    pid: int
    machine: str = ""
    born: str = ""
    since: float = 0.0

    def __str__(self) -> str:
        """As messages call it."""
        return f"process {self.pid} on {self.host}"


class Claim:
    """A trial in hand; released at the end of a ``with`` block, whatever ends it."""

    def __init__(self, place: Path, generation: int) -> None:
        self._place, self._generation = place, generation
        with _LOCK:
            _HELD.add(self.path)
        _keep_beating()

    @property
    def path(self) -> Path:
        """The file that says so."""
        return _path(self._place, self._generation)

    def __enter__(self) -> Self:
        """Nothing more to do: the claim is held since it was made."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the trial free."""
        self.release()

    def release(self) -> None:
        """Give the trial free: the oldest generation goes first, so that no stale one reappears."""
        with _LOCK:
            _HELD.discard(self.path)
        for generation in range(1, self._generation + 1):
            with suppress(OSError):
                _path(self._place, generation).unlink(missing_ok=True)


def claim_place(folder: Path, evidence: Path) -> Path:
    """Where the claims on the trial with this evidence file lie, less their generation."""
    return folder / "claims" / evidence.relative_to(folder).with_suffix("")


def take(place: Path) -> Claim | None:
    """A claim on the trial at a place, or None where a living process has it.

    Raises:
        StudyError: no claim can be written there.
    """
    generation = _latest(place)
    if generation and not _is_stale(_path(place, generation)):
        return None
    text = json.dumps(asdict(_me()))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _path(place, generation + 1).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return None
    except BaseException as error:  # an interrupt too: an empty claim would hold the trial
        with suppress(OSError):
            _path(place, generation + 1).unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise StudyError(
            f"A trial could not be begun, because no claim on it can be written to "
            f"{str(place.parent)!r}: {error}. Is the disk full, or the folder read-only?"
        ) from error
    return Claim(place, generation + 1)


def owner_of(place: Path) -> tuple[Owner, bool] | None:
    """Who has claimed the trial at a place and whether that owner still lives; None for nobody."""
    generation = _latest(place)
    if not generation:
        return None
    path = _path(place, generation)
    return _owner(path), not _is_stale(path)


def forget_dead(place: Path) -> None:
    """Remove the claims on a trial whose owner on this machine is dead, such as a killed worker."""
    generation = _latest(place)
    if generation and _is_dead(_owner(_path(place, generation))):
        for one in range(1, generation + 1):
            with suppress(OSError):
                _path(place, one).unlink(missing_ok=True)


_HELD: set[Path] = set()
_LOCK = threading.Lock()
_beating = threading.Event()


def _keep_beating() -> None:
    """One thread of this process touches all its claims; it is started with the first."""
    with _LOCK:
        if _beating.is_set():
            return
        _beating.set()
    threading.Thread(target=_beat, name="skipnorm-claims", daemon=True).start()


def _beat() -> None:
    while True:
        time.sleep(BEAT)
        _touch_all()


def _touch_all() -> None:
    with _LOCK:
        held = tuple(_HELD)
    for path in held:
        with suppress(OSError):
            os.utime(path)


def _path(place: Path, generation: int) -> Path:
    return place.with_name(f"{place.name}.{generation}")


def _latest(place: Path) -> int:
    """The highest generation of the claims on a trial; 0 where there is none."""
    start = f"{place.name}."
    try:
        names = os.listdir(place.parent)  # noqa: PTH208 - names are all that is needed
    except OSError:
        return 0
    ends = [name[len(start) :] for name in names if name.startswith(start)]
    return max((int(end) for end in ends if end.isdecimal()), default=0)


def _owner(path: Path) -> Owner:
    """Who wrote a claim; nobody we know where it is empty, damaged or gone."""
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Owner("an unknown host", 0)


def _is_stale(path: Path) -> bool:
    if _is_dead(_owner(path)):
        return True
    try:
        return _now(path.parent) - path.stat().st_mtime > PATIENCE
    except FileNotFoundError:
        return False  # given free this moment: the next look will tell
    except OSError:
        return False


def _now(folder: Path) -> float:
    """The time by the clock that stamps files in a folder; another machine may keep it."""
    clock = folder / ".clock"
    try:
        clock.touch()
        return clock.stat().st_mtime
    except OSError:
        return time.time()


def _is_dead(owner: Owner) -> bool:
    """Whether the owner surely is no more; only the owner's own machine can tell."""
    if os.name != "posix" or not owner.machine or owner.machine != _machine():
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return owner.born != _born(owner.pid)


def _me() -> Owner:
    pid = os.getpid()
    return Owner(socket.gethostname(), pid, _machine(), _born(pid), round(time.time(), 3))


@cache
def _machine() -> str:
    """The host, its last start and its numbering of processes, as far as it tells."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id")
        parts.append(boot.read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _born(pid: int) -> str:
    """When a process began, in its machine's count; empty if unknown, or dead and not yet buried."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *numbers = text.rpartition(")")[2].split()
    return "" if state in "ZX" else numbers[18]
