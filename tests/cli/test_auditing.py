"""`skipnorm audit`: from a user's file to rulings, code and page."""

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

MODULE = """
import skipnorm as sn
from torch import nn

def build():
    return nn.Sequential(nn.Linear(64, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 10))

def bare():
    return nn.Sequential(nn.Linear(64, 10))

training = sn.Training(steps=15, batch=32, rate=0.3, settings={"momentum": 0.9})
task = sn.Digits(flat=True)
"""


def test_a_file_of_ones_own_is_audited(skipnorm: Callable[..., Result]):
    Path("mine.py").write_text(MODULE)
    words = (
        "--task",
        "mine:task",
        "--training",
        "mine:training",
        "--group",
        "whole",
        "--on",
        "in_process",
    )
    done = skipnorm("audit", "mine:build", *words, "--budget", "2h", "--out", "found", "--json")
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)
    assert data["answers"][0]["group"]["name"] == "all norms"
    assert data["control"]["exact"] is True
    assert Path("found/report.html").is_file()
    assert json.loads(Path("found/audit.json").read_text())["course"] == data["course"]


def test_what_cannot_be_audited_is_said_in_a_sentence(skipnorm: Callable[..., Result]):
    Path("mine.py").write_text(MODULE)
    for words, message in (
        (("mine:bare", "--task", "mine:task"), "expected at least one, found none"),
        (("mine:build", "--task", "nothing"), "Unknown task"),
        (("mine:build", "--task", "mine:task", "--budget", "soon"), "span of time"),
        (("mine:build", "--task", "mine:task", "--ignore", "*"), "not ignored"),
        (("mine:absent", "--task", "mine:task"), "Nothing of that name"),
    ):
        done = skipnorm("audit", *words)
        assert done.exit_code == 1
        assert message in done.stderr
        assert "Traceback" not in done.output
