"""The toy world, importable here and in worker processes, in place of the real measurement."""

import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def toyworld(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import toyworld

    monkeypatch.setattr("skipnorm.studies.readings.questions", toyworld.questions)
    monkeypatch.setitem(sys.modules, "skipnorm.studies.measure", toyworld)
    return toyworld
