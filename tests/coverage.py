"""Which probe was compared with an independent computation on which third-party family: the table, and who fills it.

A test that compares is marked `checks(probe, ..., by=...)` and has the parameter `family`. Cells without such a test
have a reason in `REASONS`. `python -m tests.coverage` writes docs/coverage.md.
"""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

__all__ = ["FAMILIES", "PAGE", "PROBES", "REASONS", "Table", "checks", "from_marks", "page"]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "coverage.md"
FAMILIES = (
    "ResNet", "ConvNeXt", "BiT", "PoolFormer", "Swin", "ViT", "BERT", "GPT-2", "Llama", "T5",
)  # fmt: skip
ATTENTION = ("Swin", "ViT", "BERT", "GPT-2", "Llama", "T5")
PROBES = (
    "moments", "activation_summary", "likeness", "gradient", "flow", "activation", "curvature", "drift",
    "gradient_correlation", "identical", "input_gradient_autocorrelation", "jacobian", "landscape", "paths",
    "scores", "shift_gradient", "smoothness",
)  # fmt: skip
_EXTRA = "not asked: its kinds of layers (convolutions, pooling, attention) are among those of the families beside it"
_TWO_STREAMS = "not asked: encoder and decoder both call its embedding, so that no one place starts all of its signal"
REASONS: Mapping[tuple[str, str], str] = {
    ("jacobian", "T5"): _TWO_STREAMS,
    **{
        (probe, family): _EXTRA
        for probe in PROBES
        for family in ("BiT", "PoolFormer", "Swin")
        if probe not in ("gradient_correlation", "input_gradient_autocorrelation", "jacobian")
    },
}
"""By probe and family, why a cell has no test."""

Cells = dict[tuple[str, str], str]


def checks(*probes: str, by: str) -> pytest.MarkDecorator:
    """Marks a test over families as the comparison of these probes with an independent computation."""
    return pytest.mark.checks(*probes, by=by)


@dataclass
class Table:
    """By probe and family: by which computation it was checked, and what failed."""

    cells: Cells = field(default_factory=dict)
    failed: set[tuple[str, str]] = field(default_factory=set)

    def note(self, probe: str, family: str, by: str, passed: bool) -> None:
        self.cells[probe, family] = by
        if not passed:
            self.failed.add((probe, family))

    def rows(self) -> Iterator[list[str]]:
        """A probe, a cell for each family, and the computations that the letters stand for."""
        for probe in PROBES:
            known = {family: self.cells.get((probe, family)) for family in FAMILIES}
            truths = list(dict.fromkeys(by for by in known.values() if by))
            letters = dict(zip(truths, "abcdef", strict=False))
            numbers = {reason: str(number) for reason, number in numbered().items()}
            row = []
            for family, by in known.items():
                mark = letters[by] if by else numbers.get(REASONS.get((probe, family), ""), ".")
                row.append("FAIL" if (probe, family) in self.failed else mark)
            key = "; ".join(f"{letter}: {by}" for by, letter in letters.items())
            yield [probe, *row, key or "not run this time"]

    def text(self) -> Iterator[str]:
        """The table for a terminal."""
        yield f"{'':31}" + " ".join(f"{family:>10}" for family in FAMILIES)
        for probe, *cells, key in self.rows():
            yield f"{probe:31}" + " ".join(f"{cell:>10}" for cell in cells) + f"  {key}"
        yield from (f"{number}: {reason}" for reason, number in numbered().items())


def numbered() -> dict[str, int]:
    """The reasons in the order in which they come."""
    return {
        reason: number for number, reason in enumerate(dict.fromkeys(REASONS.values()), start=1)
    }


def from_marks() -> Table:
    """The table that the marks promise: what is checked where every test passes."""
    table = Table()
    for path in sorted((ROOT / "tests" / "probes").glob("test_*_families.py")):
        code = importlib.import_module(f"tests.probes.{path.stem}")
        for value in vars(code).values():
            marks = list(getattr(value, "pytestmark", ())) if callable(value) else []
            for mark in (each for each in marks if each.name == "checks"):
                for family in families_of(marks):
                    for probe in mark.args:
                        table.note(probe, family, mark.kwargs["by"], True)
    return table


def families_of(marks: list[Any]) -> list[str]:
    """The families over which a test goes."""
    (values,) = (
        mark.args[1] for mark in marks if mark.name == "parametrize" and mark.args[0] == "family"
    )
    return list(values)


def page() -> str:
    """docs/coverage.md as it should be."""
    lines = [
        "# What was compared with what",
        "",
        "Every probe on third-party families from `transformers`: the letter names the independent computation with "
        "which the suite compares it, a number the reason why a cell has none. Written by `python -m tests.coverage`; "
        "the suite prints the same table at its end, as far as it was run, and fails where this page is out of date.",
        "",
        "| probe | " + " | ".join(FAMILIES) + " | compared with |",
        "|---|" + "---|" * (len(FAMILIES) + 1),
    ]
    lines += [
        "| `" + probe + "` | " + " | ".join(row) + " |" for probe, *row in from_marks().rows()
    ]
    lines += ["", *(f"{number}. {reason}" for reason, number in numbered().items()), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
