"""What a study's folder says about itself, so that it is read again without torch and recipes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skipnorm.errors import EvidenceError
from skipnorm.studies.identity import digest
from skipnorm.studies.outcome import write_text
from skipnorm.studies.plan import Trial

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Manifest", "collect", "read_manifest", "write_manifest"]

_FILE = "study.json"
_GATHERED = "evidence.nc"
_MARK = "gathered_from"
_FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """A study's name, the command that made it, and the files of its trials, done or not."""

    folder: Path
    study: str
    command: str
    files: tuple[Path, ...]
    failures: tuple[Path, ...]


def write_manifest(study: str, trials: Sequence[Trial], folder: Path, *, command: str = "") -> None:
    """Say in the folder which study lives there and which files are its trials."""
    text = {
        "format": _FORMAT,
        "study": study,
        "command": command,
        "trials": [
            {
                "variant": trial.name,
                "seed": trial.seed,
                "evidence": trial.evidence_file(folder).relative_to(folder).as_posix(),
                "failure": trial.failure_file(folder).relative_to(folder).as_posix(),
            }
            for trial in trials
        ],
    }
    write_text(folder / _FILE, json.dumps(text, indent=1))


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
        files = tuple(folder / trial["evidence"] for trial in text["trials"])
        failures = tuple(folder / trial["failure"] for trial in text["trials"])
        manifest = Manifest(folder, text["study"], text["command"], files, failures)
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceError(
            f"The file {str(path)!r} is damaged ({error}): expected what a study writes there. "
            "Run the study again; finished trials are kept."
        ) from error
    if text.get("format") != _FORMAT:
        raise EvidenceError(
            f"The study in {str(folder)!r} was written by another version: expected format "
            f"{_FORMAT}, found {text.get('format')!r}. Run it again with this version."
        )
    return manifest


def collect(folder: str | Path) -> xr.Dataset:
    """The evidence of the study in a folder, as far as it is done: dims variant and seed first.

    What was gathered once is kept in one file and read from there until a trial is added or
    changed, so that a finished study opens at once.

    Raises:
        EvidenceError: the folder holds no study, or no trial of it has finished.
    """
    manifest = read_manifest(folder)
    done = [path for path in manifest.files if path.is_file()]
    if not done:
        raise EvidenceError(
            f"The study in {str(folder)!r} has no finished trial: expected at least one of "
            f"{len(manifest.files)} files under 'trials', found none. Go on with "
            f"`{manifest.command or 'sn.run(study, folder)'}`."
        )
    mark = digest(_state_of(path) for path in done)
    kept = _kept(manifest.folder / _GATHERED, mark)
    return kept if kept is not None else _gathered(done, manifest.folder / _GATHERED, mark)


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


def _gathered(done: Sequence[Path], path: Path, mark: str) -> xr.Dataset:
    from skipnorm.evidence import gather, write

    evidence = gather(done)
    evidence.attrs = {key: _short(str(joined)) for key, joined in evidence.attrs.items()}
    # Where it cannot be kept (a folder that is only read), it is gathered again next time.
    with suppress(EvidenceError):
        write(evidence.assign_attrs({_MARK: mark}), path)
    return evidence
