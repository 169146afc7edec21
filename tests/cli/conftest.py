"""The program with a catalogue of one toy inquiry, in a folder of its own."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from skipnorm import inquiries
from skipnorm.cli import pages
from skipnorm.cli.main import app


@pytest.fixture
def skipnorm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call the program in an empty current directory that can be imported from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def call(*words: str, **environment: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["skipnorm", *words])
        env = {"COLUMNS": "160", **environment}
        return CliRunner().invoke(app, list(words), prog_name="skipnorm", env=env)

    return call


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import toy_inquiry

    entry = inquiries.Entry("toy", toy_inquiry.TOY.question, quick=1, full=2)
    for module in (inquiries, pages):
        monkeypatch.setattr(module, "CATALOGUE", (entry,))
    monkeypatch.setattr(inquiries, "load", lambda name: toy_inquiry.TOY)
    monkeypatch.setattr("skipnorm.studies.readings.questions", toy_inquiry.questions)
    monkeypatch.setitem(sys.modules, "skipnorm.studies.measure", toy_inquiry)
