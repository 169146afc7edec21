"""What lint says of a network: findings, and the table of them."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, overload

from skipnorm.errors import nearest

__all__ = ["Finding", "Lint", "Severity"]

Severity = Literal["warning", "note"]
_WIDTH = 100
_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a rule has found.

    Attributes:
        rule: the name of the rule, such as `bias-before-norm`.
        severity: `warning` where something is lost or wasted for certain; `note` where it is a choice to know of.
        sites: what it is about, the culprit first: names of sites, else paths of modules, else names of parameters.
        reason: why that matters, in one sentence.
        source: who says so.
        fix: what to do, in one sentence or in code.
        parameters: how many parameters fewer there are after the fix; None where that is not its point.
    """

    rule: str
    severity: Severity
    sites: tuple[str, ...]
    reason: str
    source: str
    fix: str
    parameters: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The finding in plain values, for json or a data frame."""
        return {**vars(self), "sites": list(self.sites)}

    def __str__(self) -> str:
        return f"{self.severity}: {self.rule} at {', '.join(self.sites)}: {self.reason} ({self.source}). {self.fix}"


@dataclass(frozen=True)
class Lint(Sequence[Finding]):
    """What lint has found: a sequence of findings that prints as a table, warnings first.

    Attributes:
        network: class name of the network.
        findings: all of them, warnings first, each rule's in order of execution.
        unseen: what looks like a site but could not be looked into, a sentence each.

    >>> print(Lint("Sequential"))
    Sequential: nothing found
    """

    network: str
    findings: tuple[Finding, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings of severity `warning`."""
        return tuple(each for each in self.findings if each.severity == "warning")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """The findings of severity `note`."""
        return tuple(each for each in self.findings if each.severity == "note")

    def of(self, rule: str) -> tuple[Finding, ...]:
        """The findings of one rule."""
        return tuple(each for each in self.findings if each.rule == rule)

    def without(self, *rules: str) -> "Lint":
        """The same without the findings of some rules; KeyError with the nearest name for a rule that there is not."""
        from skipnorm.audit.lint import RULES

        for rule in rules:
            if rule not in RULES:
                raise KeyError(nearest(rule, RULES))
        kept = tuple(each for each in self.findings if each.rule not in rules)
        return Lint(self.network, kept, self.unseen)

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    @overload
    def __getitem__(self, at: int) -> Finding: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Finding, ...]: ...
    def __getitem__(self, at: int | slice) -> Finding | tuple[Finding, ...]:
        return self.findings[at]

    def to_dicts(self) -> list[dict[str, Any]]:
        """One plain dict a finding."""
        return [each.to_dict() for each in self.findings]

    @property
    def summary(self) -> str:
        """The counts in one line."""
        if not self.findings:
            return "nothing found"
        counted = ((len(self.warnings), "warning"), (len(self.notes), "note"))
        return " · ".join(_count(number, noun) for number, noun in counted)

    def __str__(self) -> str:
        lines = [f"{self.network}: {self.summary}"]
        groups = _groups(self.findings)
        if groups:
            lines += ["", *_table(groups)]
        for group in groups:
            lines += ["", *_paragraph(group)]
        lines += [f"not seen: {note}" for note in self.unseen]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        cells = (
            (each.severity, each.rule, ", ".join(each.sites), f"{each.reason} ({each.source})")
            for each in self.findings
        )
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in cells
        )
        return f"<table><caption>{escape(self.network)}: {self.summary}</caption><tbody>{body}</tbody></table>"


def _groups(findings: Sequence[Finding]) -> list[list[Finding]]:
    """The findings that differ in their sites alone, together."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for each in findings:
        groups.setdefault((each.severity, each.rule, each.reason), []).append(each)
    return list(groups.values())


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _saved(group: Sequence[Finding]) -> str:
    known = [each.parameters for each in group if each.parameters is not None]
    return _count(sum(known), "parameter") if known else ""


def _table(groups: Sequence[Sequence[Finding]]) -> list[str]:
    rows = [("severity", "rule", "found", "saves", "first")]
    rows += [
        (group[0].severity, group[0].rule, str(len(group)), _saved(group), group[0].sites[0])
        for group in groups
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _paragraph(group: Sequence[Finding]) -> list[str]:
    first = group[0]
    patterns: dict[str, list[str]] = {}
    for each in group:
        patterns.setdefault(re.sub(r"(?<![A-Za-z_])\d+", "*", each.sites[0]), []).append(
            each.sites[0]
        )
    places = [
        names[0] if len(names) == 1 else f"{pattern} ({len(names)})"
        for pattern, names in patterns.items()
    ]
    more = f", and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    entries = (
        ("at", ", ".join(places[:_SHOWN]) + more),
        ("why", f"{first.reason} ({first.source})"),
        ("fix", first.fix),
    )
    lines = [f"{first.rule}"]
    for word, text in entries:
        indent = " " * 6
        lines += textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=f"  {word}".ljust(6),
            subsequent_indent=indent,
            break_on_hyphens=False,
            break_long_words=False,
        )
    return lines
