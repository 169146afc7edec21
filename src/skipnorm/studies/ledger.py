"""What was written to a study's folder, with checksums: the reason to trust a file without reading it.

One line of JSON for every file, added when it is written. A file that is in the state noted here is
as it was written; one in another state is known by its checksum; one that is not noted is read and
compared with its trial. The ledger may be lost or torn: then files are read once more.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from skipnorm.errors import EvidenceError
from skipnorm.studies.plan import Trial

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Entry", "Ledger", "distrust", "divergence", "mismatch", "set_aside"]

_FILE = "ledger.jsonl"


@dataclass(frozen=True)
class Entry:
    """A file as it was written: size, time of change, checksum, and where its run diverged."""

    file: str
    size: int
    changed: int
    content: str
    diverged: str = ""


class Ledger:
    """The entries of a study's folder by file, and how to add one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        return {entry.file: entry for entry in _read(self._folder / _FILE)}

    def entry(self, path: Path) -> Entry | None:
        """What is noted of a file."""
        return self._entries.get(self._name(path))

    def enter(self, path: Path, *, diverged: str = "") -> None:
        """Note a file in the state in which it is now; where that is impossible, do without."""
        with suppress(OSError):
            state = path.stat()
            entry = Entry(
                self._name(path), state.st_size, state.st_mtime_ns, _checksum(path), diverged
            )
            if "_entries" in vars(self):
                self._entries[entry.file] = entry
            with (self._folder / _FILE).open("a", encoding="utf-8") as file:
                file.write("\n" + json.dumps(asdict(entry)))  # first, to part it from a torn line

    def vouches_for(self, path: Path) -> bool:
        """Whether a file is surely what was written there.

        Raises:
            EvidenceError: it surely is not.
        """
        entry = self.entry(path)
        if entry is None:
            return False
        state = path.stat()
        if (state.st_size, state.st_mtime_ns) == (entry.size, entry.changed):
            return True
        if _checksum(path) != entry.content:
            raise EvidenceError(
                f"{path} was changed after it was written: expected content with the checksum "
                f"{entry.content[:16]}..., found another; run the study again to measure it anew"
            )
        return True

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


def distrust(trial: Trial, folder: Path, ledger: Ledger) -> str:
    """Why the evidence file of a trial cannot be trusted; empty where it can.

    A file that the ledger does not vouch for is read and must be evidence of this very trial.
    What to try, which an error says behind a semicolon, is left out: the trial is done again.
    """
    from skipnorm.evidence import read

    path = trial.evidence_file(folder)
    try:
        if ledger.vouches_for(path):
            return ""
        found = mismatch(trial, read(path))
    except (EvidenceError, OSError) as error:
        return str(error).partition("; ")[0]
    if not found:
        ledger.enter(path, diverged=divergence(path))
    return found


def mismatch(trial: Trial, evidence: xr.Dataset) -> str:
    """Where the labels of some evidence are not those of a trial, in words; empty where they are."""
    expected: dict[str, object] = {"variant": [trial.name], "seed": [trial.seed]}
    if trial.rate is not None:  # of a grid
        expected["rate"] = [trial.rate]
    elif trial.variant.training is not None:
        expected["rate"] = trial.variant.training.rate
    for name, label in expected.items():
        found = evidence[name].values.tolist() if name in evidence.coords else None
        if found != label:
            return f"it is not the evidence of this trial: expected {name} {label!r}, found {found}"
    return ""


def divergence(path: Path) -> str:
    """Where the run behind some evidence diverged and why, in a few words; empty where it did not.

    Reads the variables ``diverged_at`` and ``diverged_because`` alone, so that a thousand files are
    asked in seconds.
    """
    import h5py
    import numpy as np

    try:
        with h5py.File(path, "r") as file:
            if "diverged_at" not in file:
                return ""
            steps = np.asarray(file["diverged_at"][()], dtype=float).reshape(-1)
            cause = file["diverged_because"].asstr()[()] if "diverged_because" in file else ""
    except (OSError, ValueError, TypeError):
        return ""
    found = steps[np.isfinite(steps) & (steps >= 0)]
    why = " ".join(map(str, np.ravel(cause))).strip()
    return f"at step {int(found.min())}{': ' if why else ''}{why}" if found.size else ""


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be trusted, and say what it is called now.

    Raises:
        OSError: it cannot be renamed.
    """
    target = path.with_suffix(".damaged")
    count = 1
    while target.exists():
        count += 1
        target = path.with_suffix(f".damaged-{count}")
    return path.rename(target)


def _read(path: Path) -> list[Entry]:
    """The readable lines, in order; a later line about a file replaces an earlier one."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    entries = []
    for line in lines:
        with suppress(ValueError, TypeError):
            entries.append(Entry(**json.loads(line)))
    return entries


def _checksum(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
