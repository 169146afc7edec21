"""Which operation was compared with what on which third-party family: the table, and a reason for every other cell.

A test of a cell records the property `operated`: operation, family and the computation that it was compared with.
`python -m tests.surgery.table` writes docs/coverage_operations.md.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.surgery.kin import KIN, Kin, truth

__all__ = ["BY", "FAMILIES", "OPERATIONS", "PAGE", "cells", "page", "reason", "text"]

PAGE = Path(__file__).parents[2] / "docs" / "coverage_operations.md"
FAMILIES = tuple(KIN)

SOURCE = "the same network with the addition edited in its source"
HOOK = "hooks that compute the norm's formula by hand"
OPERATIONS: Mapping[str, str] = {
    "CutSkips": SOURCE,
    "DropBranches": SOURCE,
    "ScaleSkips": SOURCE,
    "AddSkips": "hooks that add a module's input to its output",
    "PermuteBlocks": "a copy with its list of blocks put in another order by hand",
    "SwapNorm": HOOK,
    "FoldNorm": "the original, and torch's own fusion",
    "MoveNorm": "hooks that carry the norm out behind the activation",
    "InsertNorm": "hooks behind the linear maps, or the addition edited in the source",
    "FreezeAffine": "the parameters of the norms' modules",
    "RemoveAffine": HOOK,
    "FreezeStatistics": "the batch norms alone in evaluation mode",
    "NoisyNorm": "hooks with the noise written out for known draws",
}
BY = OPERATIONS

NO_SKIP = "no skip"
NO_NORM = "no norm"
NO_BATCH_NORM = "no batch norm: the others have their statistics from each input anew"
NO_BLOCK = (
    "no plain block: its smallest modules with weights and a site change the shape, or hold a skip"
)
UNLISTED = "has such blocks, but which ones they are is not written down here"
NO_ROW = "no two blocks of one shape in a row, or blocks that depend on their place"
NO_PLACE = "a norm, a view or another module stands directly behind each linear map or convolution"
BESIDE = "no norm stands directly in front of an activation"
INSIDE = "its norms are calls in the code of a module that does more: refused"


def sites(operation: str, family: str) -> int:
    """How many sites the definition of the family gives an operation, with the `where` that the test uses."""
    kin, known = KIN[family], truth(family)
    if reason(operation, family):
        return 0
    if operation in ("CutSkips", "DropBranches", "ScaleSkips"):
        return known.identity + known.projection + known.concat
    numbers = {
        "InsertNorm": kin.maps or kin.without,
        "FoldNorm": kin.folded,
        "MoveNorm": kin.number_moved,
    }
    return numbers.get(operation, sum(known.norms.values()))


def reason(operation: str, family: str) -> str:
    """Why a cell is empty; nothing where it is not."""
    kin = KIN[family]
    if operation in ("CutSkips", "DropBranches", "ScaleSkips"):
        return "" if kin.edits else NO_SKIP
    if operation in kin.unlisted:
        return UNLISTED
    if operation in ("AddSkips", "PermuteBlocks"):
        if operation == "AddSkips":
            return "" if kin.blocks else NO_BLOCK
        return "" if kin.row else NO_ROW
    if operation == "InsertNorm":
        return "" if kin.maps or kin.without else NO_PLACE
    if not kin.norms:
        return NO_NORM
    if operation in ("FoldNorm", "FreezeStatistics"):
        return "" if kin.norms == "batch" else NO_BATCH_NORM
    if operation in ("FreezeAffine", "RemoveAffine"):
        return INSIDE if kin.inside else ""
    return _not_moved(kin) if operation == "MoveNorm" else ""


def _not_moved(kin: Kin) -> str:
    if kin.number_moved:
        return ""
    if kin.inside:
        return INSIDE
    return BESIDE


def cells() -> list[tuple[str, str]]:
    """(operation, family) wherever there is something to do."""
    return [
        (each, family) for each in OPERATIONS for family in FAMILIES if not reason(each, family)
    ]


def text(noted: Mapping[tuple[str, str], bool]) -> Iterator[str]:
    """The table for a terminal: y where a comparison was run and held."""
    numbers = _numbers()
    yield f"{'':18}" + " ".join(OPERATIONS)
    for family in FAMILIES:
        row = []
        for operation in OPERATIONS:
            why = reason(operation, family)
            if why:
                row.append(str(numbers[why]))
            else:
                held = noted.get((operation, family))
                row.append("-" if held is None else "y" if held else "FAIL")
        yield f"{family:18}" + " ".join(
            f"{cell:>{len(each)}}" for cell, each in zip(row, OPERATIONS, strict=True)
        )
    yield from (f"{number}: {why}" for why, number in numbers.items())


def _numbers() -> dict[str, int]:
    found = dict.fromkeys(reason(each, family) for family in FAMILIES for each in OPERATIONS)
    return {why: number for number, why in enumerate((each for each in found if each), start=1)}


def page() -> str:
    """docs/coverage_operations.md as it should be."""
    numbers = _numbers()
    lines = [
        "# Which operation was compared with what",
        "",
        "Every operation on third-party families from `transformers`, in both modes: *y* where "
        "the number of sites equals that of the architecture's definition and the output that of an independent "
        "computation; a number is why there is nothing to compare. The suite prints the same table, as far as "
        "it was run (`make findings` runs the rest), and fails where this page is out of date: "
        "`python -m tests.surgery.table`.",
        "",
        "| family | " + " | ".join(OPERATIONS) + " |",
        "|---|" + "---|" * len(OPERATIONS),
    ]
    for family in FAMILIES:
        row = (reason(each, family) for each in OPERATIONS)
        lines.append(
            f"| {family} | " + " | ".join(str(numbers[why]) if why else "y" for why in row) + " |"
        )
    lines += ["", *(f"{number}. {why}" for why, number in numbers.items()), ""]
    lines += ["Compared with:", "", *(f"- `{each}`: {by}" for each, by in OPERATIONS.items()), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
