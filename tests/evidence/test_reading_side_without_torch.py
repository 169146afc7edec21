"""The reading side works where torch cannot be imported at all."""

import subprocess
import sys

PROGRAM = """
import importlib, pkgutil, sys

class Barred:
    def find_spec(self, name, path=None, target=None):
        if name == "torch" or name.startswith("torch."):
            raise ImportError("torch is barred here")

sys.meta_path.insert(0, Barred())
seen = []
for room in ("evidence", "verdicts", "figures", "report"):
    package = importlib.import_module(f"skipnorm.{room}")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
        seen.append(module.name)
assert "torch" not in sys.modules
assert len(seen) >= 20, seen

import tempfile, pathlib, xarray as xr
from skipnorm import evidence, figures, report, verdicts
folder = pathlib.Path(tempfile.mkdtemp())
gain = evidence.Quantity("gain", ("seed",), "1", "growth", "definition")
made = evidence.label({"gain": [2.0, 2.1, 2.2, 2.1, 2.0]}, [gain], {"seed": range(5)},
                      evidence.provenance())
back = evidence.read(evidence.write(made, folder / "trial.nc"))
claim = verdicts.Claim("c", "It grows.", "s", "paper", lambda e: e["gain"], verdicts.AtLeast(1.0),
                       figure="f")
verdict = verdicts.judge(claim, back)
figure = figures.intervals(verdict.to_dataset())
section = report.Section("s", "Does it?", "By hand.", "true", [verdict], {"f": figure})
page = report.write_page(folder / "report.html", "t", [section], provenance=back.attrs)
assert verdict.ruling == "supported" and page.stat().st_size > 1_000_000
assert "torch" not in sys.modules
print("read, judged and reported")
"""


def test_evidence_is_read_judged_and_reported_without_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "read, judged and reported"
