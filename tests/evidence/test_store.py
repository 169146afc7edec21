"""Evidence comes back as it was written, or the file is named and nothing is trusted."""

import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.evidence import Quantity, label, provenance, read, write

LOSS = Quantity("loss", ("seed", "site"), "nat", "training loss", "definition")


def made_up() -> xr.Dataset:
    values = np.array([[1.5, np.nan], [np.inf, -np.inf]])
    coords = {"seed": [0, 7], "site": ["layer.0", "größe"], "kind": ("site", ["norm", ""])}
    return label({"loss": values}, [LOSS], coords, provenance())


def test_evidence_survives_the_disk_with_nan_and_infinities(tmp_path: Path) -> None:
    evidence = made_up()
    path = write(evidence, tmp_path / "deep" / "trial.nc")
    back = read(path)
    xr.testing.assert_identical(back, evidence)
    assert back["loss"].dtype == np.float64


def test_a_read_file_is_closed_and_can_be_replaced(tmp_path: Path) -> None:
    path = write(made_up(), tmp_path / "trial.nc")
    first = read(path)
    write(made_up().assign_attrs(note="again"), path)
    path.unlink()
    assert float(first["loss"][0, 0]) == 1.5


def test_nothing_but_the_file_is_left_in_the_folder(tmp_path: Path) -> None:
    write(made_up(), tmp_path / "trial.nc")
    assert [entry.name for entry in tmp_path.iterdir()] == ["trial.nc"]


def test_a_failed_write_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(made_up(), tmp_path / "trial.nc")
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EvidenceError, match=r"trial\.nc.*No space left"):
        write(made_up(), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["trial.nc"]


def test_evidence_that_breaks_the_schema_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="states no unit"):
        write(made_up().assign(extra=("seed", [1.0, 2.0])), tmp_path / "trial.nc")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"found none at .*absent\.nc"):
        read(tmp_path / "absent.nc")


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path: Path, keep: float) -> None:
    path = write(made_up(), tmp_path / "trial.nc")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else int(keep)])
    with pytest.raises(EvidenceError, match=r"trial\.nc is damaged.*move it away"):
        read(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.5, 0.9])
def test_a_file_in_which_one_byte_has_changed_is_named(tmp_path: Path, share: float) -> None:
    path = write(made_up(), tmp_path / "trial.nc")
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(EvidenceError, match=r"trial\.nc is damaged.*not what was written"):
        read(path)


def test_what_follows_the_content_is_no_hindrance_to_other_libraries(tmp_path: Path) -> None:
    path = write(made_up(), tmp_path / "trial.nc")
    theirs = xr.load_dataset(path, engine="h5netcdf")
    np.testing.assert_array_equal(theirs["loss"], made_up()["loss"])
    theirs.assign(loss=theirs["loss"] + 1).to_netcdf(path, engine="h5netcdf")
    np.testing.assert_array_equal(read(path)["loss"], made_up()["loss"] + 1)


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    text = tmp_path / "notes.nc"
    text.write_text("not a dataset")
    with pytest.raises(EvidenceError, match=r"notes\.nc is damaged or no NetCDF"):
        read(text)
    foreign = tmp_path / "weather.nc"
    xr.Dataset({"rain": ("day", [1.0])}).to_netcdf(foreign, engine="h5netcdf")
    with pytest.raises(EvidenceError, match=r"weather\.nc.*no mark of skipnorm"):
        read(foreign)


def test_a_marked_file_that_breaks_the_schema_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trial.nc"
    marked = xr.Dataset({"rain": ("day", [1.0])}, attrs={"skipnorm_schema": "1"})
    marked.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(EvidenceError, match=r"trial\.nc: dimension .*'day'"):
        read(path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EvidenceError, match="cannot write evidence into"):
        write(made_up(), tmp_path / "file" / "trial.nc")
