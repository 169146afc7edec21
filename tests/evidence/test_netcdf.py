"""Files are ordinary NetCDF-4. Truth: xarray with h5netcdf, which reads and writes the same without us."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.evidence import read, write
from skipnorm.evidence.netcdf import decoded, encoded
from skipnorm.evidence.store import MARK

MEANING = {"unit": "1", "meaning": "made up", "source": "definition"}


def every_kind() -> xr.Dataset:
    """Each kind of number, truths, text in and beyond ASCII, labels of labels, and attributes."""
    dims, count = ("variant", "seed"), np.arange(6).reshape(2, 3)
    values = {
        "whole": count.astype(np.int16),
        "large": count.astype(np.int64) + 2**60,
        "counted": count.astype(np.uint8),
        "single": count.astype(np.float32) / 3,
        "double": np.array([[1.5, np.nan, np.inf], [-np.inf, -0.0, 5e-324]]),
        "truth": count % 2 == 0,
        "word": np.array([["a", "", "größe"], ["λ", "two words", "x" * 300]]),
    }
    found = {name: (dims, array, MEANING) for name, array in values.items()}
    found["alone"] = ((), 2.5, {**MEANING, "number": 3, "share": 0.5, "list": np.array([1, 2])})
    found["yes"] = ((), True, MEANING)
    found["said"] = ((), "ein Wort", MEANING)
    coords = {"variant": ["plain", "mit Brücke"], "seed": [7, 2, 5], "rate": 0.1}
    labels = {"kind": ("variant", ["norm", ""]), "place": (dims, count)}
    attrs = {"note": "two\nlines", "empty": "", "long": "y" * 100_000, "count": 4}
    return xr.Dataset(found, coords | labels, attrs)


def empty() -> xr.Dataset:
    """No site at all."""
    return xr.Dataset({"value": ("site", np.zeros(0), MEANING)}, {"site": np.zeros(0, "<U3")})


@pytest.mark.parametrize("make", [every_kind, empty, xr.Dataset])
def test_xarray_reads_what_was_written(tmp_path: Path, make) -> None:
    path = write(make(), tmp_path / "t.nc")
    theirs = xr.load_dataset(path, engine="h5netcdf")
    assert theirs.attrs.pop(MARK) == "1"
    xr.testing.assert_identical(theirs, make())
    xr.testing.assert_identical(read(path), make())


@pytest.mark.parametrize("make", [every_kind, empty])
def test_kinds_and_order_are_those_that_were_written(tmp_path: Path, make) -> None:
    back = read(write(make(), tmp_path / "t.nc"))
    assert [*back.data_vars] == [*make().data_vars]
    for name, variable in make().variables.items():
        assert back[name].dims == variable.dims
        if variable.dtype.kind != "U":
            assert back[name].dtype == variable.dtype
            assert back[name].values.tobytes() == variable.values.tobytes()


def test_what_xarray_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.nc"
    every_kind().assign_attrs({MARK: "1"}).to_netcdf(path, engine="h5netcdf")
    assert decoded(path) is None
    back = read(path)
    xr.testing.assert_identical(back, every_kind())
    again = write(back.assign(twice=2 * back["double"].assign_attrs(MEANING)), tmp_path / "u.nc")
    np.testing.assert_array_equal(read(again)["twice"], 2 * every_kind()["double"])


def test_kinds_that_the_format_lacks_are_widened(tmp_path: Path) -> None:
    given = xr.Dataset(
        {
            "half": ("seed", np.array([0.1, np.inf], np.float16), MEANING),
            "fixed": ("seed", np.array([b"a", b"\xc3\xb6"]), MEANING),
        },
        {"seed": [0, 1]},
    )
    back = read(write(given, tmp_path / "t.nc"))
    assert back["half"].dtype == np.float32
    np.testing.assert_array_equal(back["half"], given["half"])
    assert back["fixed"].values.tolist() == ["a", "ö"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (every_kind().assign_attrs(made=None), "'made', found object"),
        (every_kind().assign_attrs(settings={"a": 1}), "'settings', found object"),
        (every_kind().rename(double="a/b"), "without '/'"),
        (every_kind().assign_coords(day=np.datetime64("2020-01-01")), "'day', found datetime64"),
        (every_kind().assign_attrs(cut="a\0b"), "NetCDF"),
    ],
)
def test_what_no_file_could_hold_is_refused_and_leaves_nothing(tmp_path, given, words) -> None:
    with pytest.raises(EvidenceError, match=words):
        write(given, tmp_path / "t.nc")
    assert list(tmp_path.iterdir()) == []


def test_dimensions_are_scales_as_the_specification_has_them(tmp_path: Path) -> None:
    """The HDF5 library's own view, by which any tool finds the labels of a dimension."""
    path = tmp_path / "t.nc"
    path.write_bytes(encoded(every_kind()))
    with h5py.File(path) as file:
        double = file["double"]
        assert [dim[0].name for dim in double.dims] == ["/variant", "/seed"]
        assert file["seed"].is_scale
        assert h5py.h5ds.is_attached(double.id, file["seed"].id, 1)
        assert not h5py.h5ds.is_attached(double.id, file["seed"].id, 0)
        assert h5py.h5ds.get_scale_name(file["variant"].id) == b"variant"
        used = [file[reference].name for reference, _ in file["variant"].attrs["REFERENCE_LIST"]]
    both = {f"/{name}" for name, array in every_kind().variables.items() if "variant" in array.dims}
    assert set(used) == both - {"/variant"}


def test_equal_evidence_makes_equal_files() -> None:
    assert encoded(every_kind()) == encoded(every_kind())


def test_large_numbers_are_compressed_and_come_back_to_the_last_bit(tmp_path: Path) -> None:
    meta = {"unit": "1", "meaning": "made up", "source": "definition"}
    values = np.full((3, 700, 211), np.nan)
    values[1, 2:5] = np.random.default_rng(0).standard_normal((3, 211))
    values[2, -1, -1] = -np.inf
    labels = {"seed": range(3), "x": range(700), "y": range(211)}
    large = xr.Dataset(
        {"z": (tuple(labels), values, meta)}, {k: list(v) for k, v in labels.items()}
    )
    path = write(large, tmp_path / "large.nc")
    assert path.stat().st_size < 0.05 * values.nbytes
    np.testing.assert_array_equal(read(path)["z"].values, values)
    with xr.open_dataset(path, engine="h5netcdf") as opened:
        np.testing.assert_array_equal(opened["z"].values, values)
