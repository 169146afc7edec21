"""What holds for every test: one thread, a random state of its own, torch only where it is used."""

import os
import random
import sys
from collections.abc import Iterator
from typing import Any

import pytest

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"


@pytest.fixture(autouse=True)
def own_random_state() -> Iterator[None]:
    """Start every test from the same random state, and leave none behind."""
    state = random.getstate()
    random.seed(0)
    torch = sys.modules.get("torch")
    if torch is None:
        yield
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield
    random.setstate(state)


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark of tests that fill the table of `tests/coverage.py`."""
    words = "checks(probe, ..., by=): compares probes with an independent computation on a family"
    config.addinivalue_line("markers", words)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every report of such a test say what it checks, so that it reaches the process that prints."""
    for item in items:
        for mark in item.iter_markers("checks"):
            family = item.callspec.params["family"]  # type: ignore[attr-defined]
            item.user_properties.append(("checks", [*mark.args, family, mark.kwargs["by"]]))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print which probe was compared with what on which family, as far as it was run."""
    from tests.coverage import Table

    table = Table()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in getattr(report, "user_properties", ()):
                if name == "checks":
                    *probes, family, by = value
                    for probe in probes:
                        table.note(probe, family, by, outcome == "passed")
    if table.cells:
        terminalreporter.section("family x probe: compared with an independent computation")
        for line in table.text():
            terminalreporter.write_line(line)
    operated = {
        tuple(value): outcome == "passed"
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        for name, value in getattr(report, "user_properties", ())
        if name == "operated"
    }
    if operated:
        from tests.surgery.table import text

        terminalreporter.section("family x operation: compared with an independent computation")
        for line in text(operated):
            terminalreporter.write_line(line)
