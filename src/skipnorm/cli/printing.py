"""What the commands print: tables for people, strict JSON for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["complain", "plain", "print_json", "print_numbers", "print_table", "say", "wide_enough"]


def say(text: str) -> None:
    """A line of text on standard output, as it is."""
    sys.stdout.write(f"{text}\n")


def complain(text: str) -> None:
    """A message on standard error, as it is."""
    sys.stderr.write(f"{text}\n")


def print_json(value: Any) -> None:
    """Data as JSON that every parser takes: NaN and infinities become text, never null."""
    say(json.dumps(plain(value), indent=2, allow_nan=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, whole: int = 2) -> None:
    """A table of words: the first columns stay whole, the others fold to the terminal's width."""
    _print(columns, rows, whole=whole)


def print_numbers(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of numbers: nothing folds, it may be wider than the terminal."""
    _print(columns, rows, whole=None)


def wide_enough(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bool:
    """Whether a table fits the terminal without folding."""
    from rich.console import Console

    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    return sum(widths) + 3 * len(widths) <= Console().width


def _print(columns: Sequence[str], rows: Iterable[Sequence[str]], *, whole: int | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=whole is None or index < whole, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    if whole is None:
        wanted = Console(width=10_000).measure(table).maximum
        console = Console(width=max(console.width, wanted))
    console.print(table)


def plain(value: Any) -> Any:
    """The value in JSON's own types: mappings, lists, text, numbers, truth and null.

    >>> plain({"rate": float("inf"), "sites": (1, 2.5), "who": None})
    {'rate': 'Infinity', 'sites': [1, 2.5], 'who': None}
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value if isinstance(value, str | int | float | None) else str(value)
