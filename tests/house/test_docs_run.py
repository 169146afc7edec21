"""Documentation that runs: the Python blocks of README.md, in order, in one process."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_python_of_the_readme_runs(tmp_path: Path):
    readme = ROOT / "README.md"
    if not readme.is_file():
        pytest.skip("no README.md yet")
    blocks = BLOCK.findall(readme.read_text(encoding="utf-8"))
    assert blocks, "README.md should show some Python"
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    run = (
        f"import runpy; runpy.run_path({str(script)!r}, run_name='readme')"  # no program: no study
    )
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_readme_shows_the_study_of_the_examples_whole():
    example = (ROOT / "examples/study.py").read_text(encoding="utf-8")
    assert len(example.splitlines()) <= 25
    assert example in (ROOT / "README.md").read_text(encoding="utf-8")


def test_links_between_documents_lead_somewhere():
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    broken = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text("utf-8"))
        if not (document.parent / target).exists()
    ]
    assert not broken
