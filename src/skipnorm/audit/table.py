"""An audit as text for a terminal."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from skipnorm.audit.advice import shown
from skipnorm.audit.wording import as_good, effect_words, interval_words, margin_words, more_words
from skipnorm.studies.progress import span

if TYPE_CHECKING:
    from skipnorm.audit.audit import Answer, Audit

__all__ = ["as_text"]

_WIDTH = 110


def as_text(audit: Audit) -> str:
    """Rulings in a table, then why, advice, controls, and what was not tested."""
    lines = [f"{audit.network} on {audit.task}: {audit.anatomy.summary}", ""]
    lines += _table(audit)
    lines += ["", *_reasons(audit)]
    lines += ["", *_advice(audit)]
    lines += ["", *_foot(audit)]
    return "\n".join(lines)


def _table(audit: Audit) -> list[str]:
    rows: list[tuple[str, ...]] = [
        ("group", "sites", "ruling", "without it", "interval", "seeds", "rate")
    ]
    for answer in audit.answers:
        rows.append(_row(audit, answer))
    for each in [
        *(sub for answer in audit.answers for sub in answer.substitutes),
        *audit.additions,
    ]:
        found = each.standing
        rows.append(
            (
                f"({each.arm})",
                "",
                as_good(found.ruling),
                effect_words(found.effect, audit.score),
                interval_words(found, audit.score),
                str(found.seeds),
                f"{each.tuned.rate:g}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _row(audit: Audit, answer: Answer) -> tuple[str, ...]:
    assert answer.removal is not None
    found = answer.removal.standing
    return (
        answer.group.name,
        str(len(answer.group.sites)),
        answer.ruling,
        effect_words(found.effect, audit.score),
        interval_words(found, audit.score),
        str(found.seeds),
        f"{answer.removal.tuned.rate:g}",
    )


def _reasons(audit: Audit) -> list[str]:
    lines = []
    for answer in audit.answers:
        assert answer.removal is not None
        text = f"{answer.group.name} · {answer.ruling}: {answer.why}"
        if answer.ruling == "undecided":
            text += f"; {more_words(answer.removal.standing, audit.seconds_a_seed)}"
        lines += _wrapped(text)
    return lines


def _advice(audit: Audit) -> list[str]:
    advice = audit.advice
    if advice is None:
        return ["Advice: leave it as it is; nothing simpler that was run is as good."]
    savings = ", ".join(f"{name} {shown(share)}" for name, share in advice.saving.items())
    told = (
        f"Advice: {advice.arm} ({advice.what}), at rate {advice.rate:g}: "
        f"{effect_words(advice.effect, audit.score)} against the original. Measured: {savings}."
    )
    lines = _wrapped(told, indent="")
    if advice.code:
        lines += ["", *textwrap.indent(advice.code.rstrip(), "    ").splitlines()]
        lines += ["", f"This is in {audit.folder / 'simplified.py'}"]
    return lines


def _foot(audit: Audit) -> list[str]:
    level = f"{audit.level:.3f}" if audit.score == "accuracy" else f"{audit.level:.4g}"
    lines = _wrapped(
        f"The original has a test {audit.score} of {level} (standard deviation over seeds {audit.noise:.2g}). "
        f"What matters: {margin_words(audit.margin, audit.score)}; the smallest effect that this budget "
        f"tells from none in four of five audits: {_size(audit)}.",
        indent="",
    )
    if audit.control is not None:
        exact = "exactly none" if audit.control.exact else f"up to {audit.control.worst:.2g}"
        lines += _wrapped(
            f"Control: an edit that changes nothing ({audit.control.what}), trained {audit.control.seeds} "
            f"times under its own key, makes a difference of {exact}.",
            indent="",
        )
    lines += _wrapped(f"Trained: {audit.course}.", indent="")
    lines += [f"note: {note}" for note in audit.notes]
    if audit.lint.findings:
        lines.append(f"lint: {audit.lint.summary} (skipnorm lint says which)")
    if audit.left_out:
        lines += ["", "Not tested:"]
        reasons: dict[str, list[str]] = {}
        for name, why in audit.left_out:
            reasons.setdefault(why, []).append(name)
        for why, names in reasons.items():
            lines += _wrapped(f"{why}: {', '.join(names)}")
    lines += [
        "",
        f"{span(audit.seconds)} of {span(audit.budget)}; evidence, code and page in {audit.folder}",
    ]
    return lines


def _size(audit: Audit) -> str:
    return (
        margin_words(float(f"{audit.smallest:.2g}"), audit.score)
        if audit.smallest == audit.smallest
        else "unknown"
    )


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, subsequent_indent="      ", initial_indent=indent, break_on_hyphens=False
    )
