"""Files of data sets: where they are looked for, and bytes that are whole or refused."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from skipnorm.errors import TaskError

__all__ = ["VARIABLE", "Stamp", "contents", "folder_with", "places", "stamp", "stamped"]

#: The environment variable that names folders of data sets, parted as in ``PATH``.
VARIABLE = "SKIPNORM_DATA"

#: Looked through after those: beside the work, in the home folder, and where Debian installs.
USUAL = ("data", "~/data", "~/.cache/skipnorm", "/usr/share/datasets")


class Stamp(NamedTuple):
    """A file as it is now; what was read from it holds good until one of these changes."""

    path: str
    size: int
    changed: int


def stamp(path: str | Path) -> Stamp:
    """The file's stamp; TaskError if there is no such file."""
    where = Path(path).expanduser()
    try:
        found = where.stat()
    except OSError as error:
        raise missing(where, error) from error
    if where.is_dir():
        raise TaskError(f"Expected a file at {str(where)!r}, found a folder.")
    return Stamp(str(where.resolve()), found.st_size, found.st_mtime_ns)


def stamped(folder: Path, names: Sequence[str]) -> tuple[Stamp, ...]:
    """The stamps of these files of a folder."""
    return tuple(stamp(folder / name) for name in names)


def missing(path: Path, error: OSError) -> TaskError:
    """What to say of a file that cannot be opened, with its neighbours where it has some."""
    try:
        beside = sorted(each.name for each in path.parent.iterdir())[:8]
    except OSError:
        beside = []
    neighbours = f" Beside it: {', '.join(beside)}." if beside else ""
    return TaskError(
        f"Expected a file at {str(path)!r}, found {error.strerror or error}.{neighbours} "
        f"Looked from {str(Path.cwd())!r}."
    )


def places(root: str | None) -> list[Path]:
    """The folders that data sets are looked for in; only ``root`` where one is given."""
    if root is not None:
        return [Path(root).expanduser()]
    named = [name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
    return [Path(name).expanduser() for name in (*named, *USUAL)]


def folder_with(
    what: str, root: str | None, folders: Sequence[str], names: Sequence[Sequence[str]], hint: str
) -> tuple[Path, list[str]]:
    """The first folder that holds every file, and under which of its names each is there.

    ``folders``: usual names of the data set's folder; a place may also be that folder itself.
    ``names``: of each file the names it goes by. Files of two folders are never mixed.

    Raises:
        TaskError: no folder has them all; says what is missing where some were found.
    """
    looked = [place / folder for place in places(root) for folder in (*folders, "")]
    best = (len(names), looked[0], [choice[0] for choice in names])
    for folder in filter(Path.is_dir, looked):
        found = [next((n for n in choice if (folder / n).is_file()), "") for choice in names]
        if all(found):
            return folder, found
        lacking = [choice[0] for choice, name in zip(names, found, strict=True) if not name]
        if len(lacking) < best[0]:
            best = (len(lacking), folder, lacking)
    some = best[0] < len(names)
    state = f"found some in {str(best[1])!r} but not {', '.join(best[2])}" if some else "found none"
    raise TaskError(
        f"{what}: expected the files {', '.join(choice[0] for choice in names)} in one folder, "
        f"{state}. Looked in {', '.join(dict.fromkeys(str(each) for each in looked))}. "
        f"Give root=, or set {VARIABLE} to the folder of your data sets. {hint}".rstrip()
    )


def contents(path: str | Path) -> bytes:
    """All bytes of a file, unpacked where it is gzip, whatever it is called.

    Raises:
        TaskError: the file cannot be read, or its gzip ends early or is damaged.
    """
    where = Path(path)
    try:
        found = where.read_bytes()
    except OSError as error:
        raise missing(where, error) from error
    if found[:2] != b"\x1f\x8b":
        return found
    try:
        return gzip.decompress(found)
    except (OSError, EOFError, zlib.error) as error:
        raise TaskError(
            f"{str(where)!r}: expected a whole gzip file, found one that is cut off or damaged "
            f"({error}) after {len(found)} packed bytes. Fetch it again."
        ) from error
