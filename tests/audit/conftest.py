"""The program, in a folder of its own."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from skipnorm.cli.main import app


@pytest.fixture
def skipnorm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call the program in an empty current directory that can be imported from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def call(*words: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["skipnorm", *words])
        return CliRunner().invoke(app, list(words), prog_name="skipnorm", env={"COLUMNS": "160"})

    return call
