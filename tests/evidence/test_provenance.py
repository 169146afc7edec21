"""Provenance names what made a result; its source of truth is the installed metadata."""

import platform
from datetime import datetime
from importlib import import_module
from importlib.metadata import version

import pytest

import skipnorm
from skipnorm.evidence import provenance
from skipnorm.evidence.provenance import LIBRARIES


def test_versions_are_those_installed() -> None:
    found = provenance()
    assert found["skipnorm"] == skipnorm.__version__
    assert found["python"] == platform.python_version()
    assert found["xarray"] == version("xarray")
    assert set(LIBRARIES) <= set(found)
    assert all(isinstance(value, str) and value for value in found.values())


def test_the_date_is_iso_and_knows_its_zone() -> None:
    assert datetime.fromisoformat(provenance()["date"]).utcoffset() is not None


def test_a_library_that_is_not_there_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    room = import_module("skipnorm.evidence.provenance")
    monkeypatch.setattr(room, "LIBRARIES", ("no-such-library",))
    assert provenance()["no-such-library"] == "absent"
