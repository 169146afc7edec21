"""What is published names no machine: no home folder, no build host, no address of a registry."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = re.compile(r"(?<![\w.])/(?:home|Users|root|work|opt|mnt|tmp|data)/\w", re.ASCII)
TEXTS = {".py", ".md", ".toml", ".txt", ".html", ".j2", ".css", ".js", ""}


def published() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a clone")
    files = (ROOT / line for line in listed.stdout.splitlines())
    return [path for path in files if path.suffix in TEXTS and path.is_file()]


def test_no_published_file_names_a_place_on_a_machine():
    me = Path(__file__)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in published()
        if path != me
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if PLACES.search(line)
    ]
    assert not found
