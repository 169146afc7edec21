"""The two hemispheres and the layers: proven by import-linter, and by blocking torch."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BLOCK_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ImportError("torch is blocked in this test")
sys.meta_path.insert(0, NoTorch())
"""


def run_without_torch(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCK_TORCH + code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_import_contracts_are_kept():
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("import-linter is not installed")
    done = subprocess.run(
        [program, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_block_blocks():
    assert "torch is blocked" in run_without_torch("import torch").stderr


@pytest.mark.parametrize(
    "module",
    [
        "skipnorm.evidence",
        "skipnorm.verdicts",
        "skipnorm.figures",
        "skipnorm.report.page",
        "skipnorm.studies.study",
        "skipnorm.studies.manifest",
        "skipnorm.networks.recipe",
        "skipnorm.cli.main",
        "skipnorm.cli.pages",
    ],
)
def test_reading_needs_no_torch(module: str):
    done = run_without_torch(f"import {module}")
    assert done.returncode == 0, done.stderr


def test_every_inquiry_is_read_without_torch():
    code = "from skipnorm.inquiries import CATALOGUE, load\n"
    code += "for entry in CATALOGUE:\n    load(entry.name).study('quick')"
    done = run_without_torch(code)
    assert done.returncode == 0, done.stderr
