"""How many norms and skips has every architecture family that can be built here? Writes the table that is claimed on.

    python -m benchmarks.census        # from the repository's folder; about a minute

Families are the small configurations of `tests/anatomy/families.py`, whose anatomy is known from the definition of
each architecture; variants of one family (two block types of one ResNet) count once, by the first.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import torch
import transformers
from tests.anatomy.families import FAMILIES

import skipnorm as sn
from skipnorm.inquiries.rescaling.census import COUNTS, FAMILIES_FILE

TABLE = Path(__file__).parents[1] / "src/skipnorm/inquiries" / FAMILIES_FILE

#: Variants of a family that stands in the table already, by the name of their function.
VARIANTS = {
    "resnet_bottleneck": "resnet_basic",
    "regnet_y": "regnet_x",
    "bit_bottleneck": "bit_preactivation",
    "dinov2_swiglu": "dinov2_gelu",
    "segformer_segmentation": "segformer",
    "t5_gated": "t5",
}
SHORT = {"resnet_basic": "resnet", "regnet_x": "regnet", "bit_preactivation": "bit"}
SHORT |= {"dinov2_gelu": "dinov2"}


def counted() -> Iterator[dict[str, int | str]]:
    """A row for every family: its name, its class and what one forward pass of it holds."""
    for family in FAMILIES:
        if family.__name__ in VARIANTS:
            continue
        torch.manual_seed(0)
        case = family()
        yield {
            "family": SHORT.get(family.__name__, family.__name__),
            "model": type(case.network).__name__,
            **_counts(sn.anatomy(case.network.eval(), *case.args, **case.kwargs)),
        }


def _counts(anatomy: sn.Anatomy) -> dict[str, int]:
    norms = Counter(norm.family for norm in anatomy.norms)
    named = {name: norms.pop(name, 0) for name in ("batch", "layer", "group", "rms")}
    sums = Counter(skip.shortcut for skip in anatomy.skips if skip.merge == "add")
    found = {
        "norms": len(anatomy.norms),
        **named,
        "other": norms.total(),
        "identity": sums["identity"],
        "projection": sums["projection"],
        "concat": sum(skip.merge == "concat" for skip in anatomy.skips),
        "activations": len(anatomy.activations),
    }
    assert list(found) == list(COUNTS)
    return found


def table() -> str:
    """The rows as text, with versions and date."""
    made = {
        "transformers": transformers.__version__,
        "torch": torch.__version__.partition("+")[0],
        "date": datetime.now(UTC).date().isoformat(),
    }
    rows = [{**row, **made} for row in counted()]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    TABLE.write_text(table(), "utf-8")
    print(TABLE.read_text("utf-8"))
