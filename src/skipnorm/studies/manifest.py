"""What a study's folder says about itself, so that it is read again without torch and recipes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skipnorm.errors import EvidenceError, StudyError
from skipnorm.studies.identity import digest
from skipnorm.studies.ledger import Ledger
from skipnorm.studies.outcome import write_text
from skipnorm.studies.plan import Trial

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Manifest", "Place", "collect", "gathered", "read_manifest", "write_manifest"]

_FILE = "study.json"
GATHERED = "evidence.nc"
_MARK = "gathered_from"
_FORMAT = 1


@dataclass(frozen=True)
class Place:
    """A trial as the manifest knows it: what it is called, and where its evidence and failure lie."""

    label: str
    evidence: Path
    failure: Path


@dataclass(frozen=True)
class Manifest:
    """A study's name, the command that made it, where it was found, and the places of its trials."""

    folder: Path
    study: str
    command: str
    trials: tuple[Place, ...]
    source: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The evidence files of all trials, done or not."""
        return tuple(place.evidence for place in self.trials)

    @property
    def failures(self) -> tuple[Path, ...]:
        """Where the failures of all trials are recorded, if they fail."""
        return tuple(place.failure for place in self.trials)

    @property
    def go_on(self) -> str:
        """The command that does what is missing."""
        return self.command or f"sn.run(study, {str(self.folder)!r})"


def write_manifest(
    study: str, trials: Sequence[Trial], folder: Path, *, command: str = "", source: str = ""
) -> None:
    """Say in the folder which study lives there and which files are its trials.

    A folder that says so already is left as it is. Where nothing can be written, it is enough that it
    names the same trials, so that a finished study can be opened there by whatever command.

    Raises:
        StudyError: the folder cannot be written to.
    """
    text = json.dumps(
        {
            "format": _FORMAT,
            "study": study,
            "command": command,
            "source": source,
            "trials": [_entry(trial, folder) for trial in trials],
        },
        indent=1,
    )
    path = folder / _FILE
    with suppress(OSError, UnicodeDecodeError):
        if path.read_text(encoding="utf-8") == text:
            return
    try:
        write_text(path, text)
    except OSError as error:
        files = tuple(trial.evidence_file(folder) for trial in trials)
        with suppress(EvidenceError):
            if read_manifest(folder).files == files:
                return
        raise StudyError(
            f"A study needs a folder that can be written to, but {str(folder)!r} cannot: {error}. "
            "Choose another, or make room."
        ) from error


def _entry(trial: Trial, folder: Path) -> dict[str, object]:
    return {
        "trial": str(trial),
        "variant": trial.name,
        "seed": trial.seed,
        "evidence": trial.evidence_file(folder).relative_to(folder).as_posix(),
        "failure": trial.failure_file(folder).relative_to(folder).as_posix(),
    }


def read_manifest(folder: str | Path) -> Manifest:
    """The study that lives in a folder.

    Raises:
        EvidenceError: the folder holds no study, or one of another format.
    """
    folder = Path(folder)
    path = folder / _FILE
    if not path.is_file():
        found = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else "no such folder"
        raise EvidenceError(
            f"Not the folder of a study: expected a file {_FILE} in {str(folder)!r}, "
            f"found {found}. Run a study into it first."
        )
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
        if text["format"] == _FORMAT:
            places = tuple(_place(trial, folder) for trial in text["trials"])
            source = str(text.get("source", ""))
            return Manifest(folder, text["study"], text["command"], places, source)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvidenceError(
            f"The file {str(path)!r} is damaged ({error}): expected what a study writes there. "
            "Run the study again; finished trials are kept."
        ) from error
    raise EvidenceError(
        f"The study in {str(folder)!r} was written by another version: expected format "
        f"{_FORMAT}, found {text['format']!r}. Run it again with this version."
    )


def _place(trial: dict[str, str], folder: Path) -> Place:
    label = trial.get("trial") or f"{trial['variant']!r} with seed {trial['seed']}"
    return Place(label, folder / trial["evidence"], folder / trial["failure"])


def collect(folder: str | Path) -> xr.Dataset:
    """The evidence of the study in a folder, as far as it is done: dims variant and seed first.

    What was gathered once is kept in one file and read from there until a trial is added or
    changed, so that a finished study opens at once.

    Raises:
        EvidenceError: the folder holds no study, no trial of it has finished, or a file is not
            what was written there.
    """
    manifest = read_manifest(folder)
    done = [path for path in manifest.files if path.is_file()]
    if not done:
        raise EvidenceError(
            f"The study in {str(folder)!r} has no finished trial: expected at least one of "
            f"{len(manifest.files)} files under 'trials', found none. Go on with "
            f"`{manifest.go_on}`."
        )
    return gathered(done, manifest.folder)


def gathered(done: Sequence[Path], folder: Path) -> xr.Dataset:
    """The evidence in these files of a study's folder, from one file where that is up to date.

    Raises:
        EvidenceError: a file is not what was written there.
    """
    mark = digest(_state_of(path) for path in done)
    kept = _kept(folder / GATHERED, mark)
    return kept if kept is not None else _gather(done, folder, mark)


def _state_of(path: Path) -> str:
    state = path.stat()
    return f"{path.parent.name}/{path.name} {state.st_size} {state.st_mtime_ns}"


def _kept(path: Path, mark: str) -> xr.Dataset | None:
    """What was gathered before, if it was from these files in this state."""
    from skipnorm.evidence import read

    try:
        kept = read(path) if path.is_file() else None
    except EvidenceError:
        return None
    return kept if kept is not None and kept.attrs.pop(_MARK, "") == mark else None


def _short(joined: str, most: int = 8) -> str:
    """Provenance that differs from trial to trial (date, loss), as its range; it stays in theirs.

    >>> _short("a | b"), _short("a | b | c", most=2)
    ('a | b', '3 values from a to c')
    """
    values = sorted(joined.split(" | "))
    return (
        joined if len(values) <= most else f"{len(values)} values from {values[0]} to {values[-1]}"
    )


def _gather(done: Sequence[Path], folder: Path, mark: str) -> xr.Dataset:
    from skipnorm.evidence import gather, write

    ledger = Ledger(folder)
    for path in done:
        ledger.vouches_for(path)
    evidence = gather(done)
    evidence.attrs = {key: _short(str(joined)) for key, joined in evidence.attrs.items()}
    # Where it cannot be kept (a folder that is only read), it is gathered again next time.
    with suppress(EvidenceError):
        write(evidence.assign_attrs({_MARK: mark}), folder / GATHERED)
    return evidence
