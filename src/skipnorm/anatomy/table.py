"""An anatomy as a table: aligned text for the terminal, HTML for a notebook, repeated blocks folded."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

__all__ = ["as_html", "as_text", "folded"]

Row = dict[str, Any]
COLUMNS = ("index", "name", "kind", "nature", "operation", "shape")
FOLD_FROM = 20
LONGEST_BLOCK = 64


def _pattern(row: Row) -> tuple[str, ...]:
    name = re.sub(r"(?<![A-Za-z_])\d+", "*", str(row["name"]))
    return (name, row["kind"], row["nature"], row["operation"], str(row["shape"]))


def _repeats(patterns: Sequence[tuple[str, ...]], start: int) -> tuple[int, int]:
    best = (1, 1)
    for period in range(1, min(LONGEST_BLOCK, (len(patterns) - start) // 2) + 1):
        block, times = patterns[start : start + period], 1
        while patterns[start + times * period : start + (times + 1) * period] == block:
            times += 1
        if times > 1 and period * (times - 1) > best[0] * (best[1] - 1):
            best = (period, times)
    return best


def folded(rows: Sequence[Row], *, above: int = FOLD_FROM) -> list[tuple[int, list[Row]]]:
    """The rows as blocks with the number of times each is repeated; short tables are left whole.

    >>> row = {"kind": "norm", "nature": "", "operation": "", "shape": ()}
    >>> rows = [{"name": f"blocks.{i}.norm", **row} for i in range(5)]
    >>> [(times, len(block)) for times, block in folded(rows, above=3)]
    [(5, 1)]
    """
    if len(rows) <= above:
        return [(1, list(rows))]
    patterns, blocks, at = [_pattern(row) for row in rows], [], 0
    while at < len(rows):
        period, times = _repeats(patterns, at)
        blocks.append((times, list(rows[at : at + period])))
        at += period * times
    return blocks


def _cells(row: Row) -> list[str]:
    shape = "x".join(map(str, row["shape"])) or "scalar"
    return [str(row[column]) for column in COLUMNS[:-1]] + [shape]


def as_text(title: str, rows: Sequence[Row], notes: Sequence[str]) -> str:
    """The table for a terminal: a title, aligned columns, then what was not seen."""
    blocks = folded(rows)
    body = [_cells(row) for _, block in blocks for row in block]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *body, strict=True)]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(
            cell.ljust(width) for cell, width in zip(cells, widths, strict=True)
        ).rstrip()

    lines = [title, line(COLUMNS)]
    for times, block in blocks:
        if times > 1:
            lines.append(f"  {times} times, the first of them:")
        lines += [line(_cells(row)) for row in block]
        if times > 1:
            lines.append(f"  (end of the block that repeats {times} times)")
    lines += [f"not seen: {note}" for note in notes]
    return "\n".join(lines)


def as_html(title: str, rows: Sequence[Row], notes: Sequence[str]) -> str:
    """The table for a notebook."""
    head = "".join(f"<th>{column}</th>" for column in COLUMNS)
    body = []
    for times, block in folded(rows):
        if times > 1:
            body.append(f'<tr><th colspan="{len(COLUMNS)}">{times} times:</th></tr>')
        body += [
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(row)) + "</tr>"
            for row in block
        ]
        if times > 1:
            body.append(f'<tr><th colspan="{len(COLUMNS)}">end of the block</th></tr>')
    unseen = "".join(f"<p>not seen: {escape(note)}</p>" for note in notes)
    return (
        f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>{unseen}"
    )
