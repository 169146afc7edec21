"""An inquiry costs what the list says: core-seconds of its quick scale, alone and from nothing. Minutes each."""

import subprocess
import sys

import pytest

from skipnorm.inquiries import CATALOGUE

resource = pytest.importorskip("resource", reason="needs the clock of child processes")
pytestmark = pytest.mark.slow

SLACK = 1.5
"""Another processor, and other programs on it."""


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_the_quick_scale_costs_what_the_list_says(entry, tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = ["run", entry.name, "--on", "in_process", "--out", str(tmp_path), "--json"]
    command = [sys.executable, "-m", "skipnorm", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < SLACK * entry.quick
