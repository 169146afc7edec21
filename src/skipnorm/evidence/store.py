"""Evidence on disk: one NetCDF file, written whole or not at all, read and closed.

Behind the end of what NetCDF reads stands a checksum of it: the HDF5 library believes a damaged
file, or never comes back from it.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.evidence.netcdf import decoded, encoded
from skipnorm.evidence.schema import check

MARK = "skipnorm_schema"
"""The attribute that tells our files from other people's."""

VERSION = "1"
"""The version of the schema that `write` puts there."""

_SEAL = b"\nskipnorm sha256 "


def write(dataset: xr.Dataset, path: str | Path) -> Path:
    """Evidence kept in one NetCDF file that is either complete or absent, and where it now lies.

    The file is made in memory (the HDF5 library does not survive a full disk), written beside its
    destination, flushed to the disk and then renamed over it, so that no reader and no power cut
    ever meets half of it. NaN and infinities survive.

    Raises:
        EvidenceError: the evidence breaks the schema, or the folder cannot be written to.

    Source: NetCDF-4; xarray, h5netcdf and netCDF open it like any other.
    """
    check(dataset)
    target = Path(path)
    marked = dataset.assign_attrs({MARK: VERSION})
    content = encoded(marked)
    seal = _SEAL + hashlib.sha256(content).digest()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.name}.", suffix=".part"
        )
    except OSError as cause:
        raise EvidenceError(f"cannot write evidence into {target.parent}: {cause}") from cause
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.write(seal)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)
        draft.replace(target)
    except OSError as cause:
        raise EvidenceError(
            f"could not write {target}: {cause}; is the disk full? Nothing was changed"
        ) from cause
    finally:
        draft.unlink(missing_ok=True)
    return target


def read(path: str | Path) -> xr.Dataset:
    """The evidence in a file, wholly in memory, with the file closed again.

    Raises:
        EvidenceError: there is no such file, it is damaged, it was not written by `write`, or
            what it holds breaks the schema. The message names the file and what to try.
    """
    source = Path(path)
    if not source.is_file():
        raise EvidenceError(
            f"expected an evidence file, found none at {source}; is the path right?"
        )
    try:
        _check_seal(source)
        dataset = decoded(source)
        if dataset is None:  # another library's
            dataset = xr.load_dataset(source, engine="h5netcdf")
    except Exception as cause:  # h5py raises a different error for every kind of damage
        raise EvidenceError(
            f"{source} is damaged or no NetCDF-4 file ({type(cause).__name__}: {cause}); "
            "move it away and run the study again: only what it held is measured anew"
        ) from cause
    version = str(dataset.attrs.get(MARK, ""))
    if version != VERSION:
        found = f"schema version {version!r}" if version else "no mark of skipnorm"
        raise EvidenceError(
            f"{source}: expected evidence of schema version {VERSION!r}, found {found}; "
            "move the file away if it does not belong here"
        )
    del dataset.attrs[MARK]
    try:
        check(dataset)
    except EvidenceError as cause:
        raise EvidenceError(f"{source}: {cause}") from cause
    return dataset


def _check_seal(path: Path) -> None:
    """Refuse a file that is not what was written; one that another library wrote bears no seal."""
    content = path.read_bytes()
    end = len(content) - len(_SEAL) - hashlib.sha256().digest_size
    if end < 0 or content[end : end + len(_SEAL)] != _SEAL:
        return
    if hashlib.sha256(memoryview(content)[:end]).digest() != content[end + len(_SEAL) :]:
        raise ValueError("its content is not what was written")
