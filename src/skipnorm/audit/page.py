"""The page of an audit: the network in the colours of its rulings, why, what instead, and what was not tested."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from skipnorm.audit.advice import shown
from skipnorm.audit.cards import verdict_of
from skipnorm.audit.marks import marks_of
from skipnorm.audit.mechanisms import MECHANISMS
from skipnorm.audit.priced import checkpoint_section
from skipnorm.audit.rulings import LOOKS
from skipnorm.audit.wording import as_good, effect_words, interval_words, margin_words, more_words
from skipnorm.figures.circuit import SHADES, circuit
from skipnorm.figures.contrast import Cell, contrast
from skipnorm.figures.intervals import intervals
from skipnorm.report import Section, write_page
from skipnorm.studies.progress import span
from skipnorm.verdicts import Verdict

if TYPE_CHECKING:
    from skipnorm.audit.advice import Advice
    from skipnorm.audit.audit import Answer, Audit, Trialled

__all__ = ["write_audit"]


def write_audit(audit: Audit, path: str | Path | None = None) -> Path:
    """The page, beside the audit's evidence unless another place is given; returns where it lies."""
    sections = [_picture(audit), _rulings(audit), _reasons(audit)]
    if audit.lesions is not None:
        sections.append(checkpoint_section(audit))
    sections += [_instead(audit), _untested(audit)]
    counts = {
        ruling: list(audit.rulings.values()).count(ruling) for ruling in audit.rulings.values()
    }
    told = ", ".join(f"{count} {ruling}" for ruling, count in counts.items())
    lead = (
        f"{audit.anatomy.summary}. Of {len(audit.answers)} groups: {told}. What matters: "
        f"{margin_words(audit.margin, audit.score)}."
    )
    title = f"Which norms and skips does {audit.network} need on {audit.task}?"
    return write_page(
        path or audit.folder / "report.html",
        title,
        sections,
        lead=lead,
        provenance={
            "time": f"{span(audit.seconds)} of {span(audit.budget)}",
            "folder": str(audit.folder),
        },
        counts=False,  # an audit has words of its own: they are in the lead
    )


def _picture(audit: Audit) -> Section:
    figures = {"network": circuit(marks_of(audit))}
    captions = {
        "network": "The network in order of execution. Norms lie on the line, each shortcut is an arc over the "
        "sites since the skip before it, each branch a bar below. A site has the colour of the narrowest group "
        "that was tested with it."
    }
    several = [answer.removal for answer in audit.answers if answer.removal is not None]
    if several:
        forest = _forest(several, audit.margin)
        figures["effects"] = intervals(forest, x_title=_axis(audit), looks=SHADES)
        figures["effects"].for_each_trace(
            lambda trace: trace.update(name="the margin"), selector={"name": "predicted"}
        )
        captions["effects"] = (
            "What the absence of each group costs, with its interval. Shaded: the margin within which it does not "
            "matter. A run that diverges lies at the edge."
        )
    method = [f"{audit.course[:1].upper()}{audit.course[1:]}.", _control(audit)]
    return Section(
        "network",
        "Which of them does it need?",
        "\n\n".join(filter(None, method)),
        audit.command or "sn.audit(...)",
        figures=figures,
        captions=captions,
    )


def _rulings(audit: Audit) -> Section:
    looks = ", ".join(f"{100 * share:.0f} % by {seeds}" for seeds, share in LOOKS)
    method = (
        "Load-bearing: all of the interval lies beyond the margin. Idle: all of it lies within the margin to both "
        "sides. Helpful or harmful: all of it lies on one side of none, a part of it within the margin. Intervals are "
        "Student's over seeds, paired with the original, or order statistics where a run diverged; Holm-adjusted over "
        f"the groups of one kind and level; of a family's chance of error, {looks} seeds."
    )
    return Section(
        "rulings",
        "On what does that rest?",
        method,
        audit.command or "sn.audit(...)",
        verdicts=[_card(audit, answer) for answer in audit.answers],
    )


def _card(audit: Audit, answer: Answer) -> Verdict:
    assert answer.removal is not None
    sentence = f"It does as well without {answer.group.name}. Found: {answer.ruling}."
    why = _row(audit, answer)
    return verdict_of(audit, answer.removal, sentence, why, topic="each group taken out")


def _forest(several: Sequence[Trialled], margin: float) -> xr.Dataset:
    """As `figures.intervals` takes it: effects as what happens to the score's cost."""
    standings = [each.standing for each in several]
    columns: dict[str, list[Any]] = {
        "effect": [each.effect for each in standings],
        "low": [each.low for each in standings],
        "high": [each.high for each in standings],
        "predicted_low": [-margin] * len(standings),
        "predicted_high": [margin] * len(standings),
        "ruling": [each.ruling for each in standings],
    }
    return xr.Dataset(
        {name: ("case", np.asarray(values)) for name, values in columns.items()},
        {"case": [each.arm for each in several]},
    )


def _axis(audit: Audit) -> str:
    return "accuracy lost" if audit.score == "accuracy" else "logarithm of the loss's ratio"


def _row(audit: Audit, answer: Answer) -> str:
    assert answer.removal is not None
    found = answer.removal.standing
    ends = interval_words(found, audit.score)
    text = f"{answer.why[:1].upper()}{answer.why[1:]}. Interval {ends}, {found.seeds} seeds."
    if answer.ruling == "undecided":
        text += f" {more_words(found, audit.seconds_a_seed)}."
    return text


def _control(audit: Audit) -> str:
    if audit.control is None:
        return ""
    exact = "exactly none" if audit.control.exact else f"up to {audit.control.worst:.2g}"
    return (
        f"Controls: an edit that changes nothing ({audit.control.what}), trained {audit.control.seeds} times under "
        f"its own key, makes a difference of {exact}; between seeds the original varies by {audit.noise:.2g} (standard "
        f"deviation). The smallest effect that this budget tells from none in four of five audits is "
        f"{audit.smallest:.2g}."
    )


def _reasons(audit: Audit) -> Section:
    several = [answer.removal for answer in audit.answers if answer.removal is not None]
    several += [each for answer in audit.answers for each in answer.substitutes]
    several += list(audit.additions)
    order = [*(each.title for each in MECHANISMS), "usable learning rates"]
    cells = [
        Cell(each.arm, change.title, change.before, change.after, _look(change))
        for each in several
        for change in sorted(each.changes, key=lambda change: order.index(change.title))
    ]
    cells.sort(key=lambda cell: order.index(cell.column))
    figures = {"mechanisms": contrast(cells)} if cells else {}
    captions = {
        "mechanisms": "At initialisation, five draws: what each alteration changes. The number is the reading with the "
        "alteration; a band is the range in which training is expected to work. The last column counts learning rates."
    }
    method = "\n\n".join(f"{each.title}: {each.meaning} ({each.source})." for each in MECHANISMS)
    return Section(
        "reasons",
        "Why? Which mechanisms change without them?",
        method,
        audit.command or "sn.audit(...)",
        figures=figures,
        captions=captions if cells else {},
    )


def _look(change: Any) -> str:
    if not change.size:
        return "as before"
    if change.before_within and not change.after_within:
        return "out of its band"
    return "in its band again" if change.after_within and not change.before_within else "changed"


def _instead(audit: Audit) -> Section:
    advice = audit.advice
    several = [each for answer in audit.answers for each in answer.substitutes]
    several += list(audit.additions)
    cards = [
        verdict_of(
            audit,
            each,
            f"It does as well with: {each.arm}. Found: {as_good(each.standing.ruling)}.",
            f"{each.what[:1].upper()}{each.what[1:]}: "
            f"{effect_words(each.standing.effect, audit.score)} against the original.",
            topic="what may stand in",
        )
        for each in several
    ]
    if advice is None:
        text = "Leave it as it is: nothing simpler that was run is as good within the margin."
        command = audit.command or "sn.audit(...)"
        return Section("advice", "What to do instead?", text, command, verdicts=cards)
    return Section(
        "advice",
        "What to do instead?",
        "\n\n".join(_advised(audit, advice)),
        advice.code or audit.command,
        verdicts=cards,
    )


def _advised(audit: Audit, advice: Advice) -> list[str]:
    cost = effect_words(advice.effect, audit.score)
    lines = [
        f"{advice.arm[:1].upper()}{advice.arm[1:]}: {advice.what}. At learning rate {advice.rate:g}: {cost} against "
        "the original."
    ]
    before, after = advice.before, advice.after
    if before is not None and after is not None:
        pairs = {
            "parameters": (f"{before.parameters:,}", f"{after.parameters:,}"),
            "memory": (f"{before.kept:,}", f"{after.kept:,} bytes kept for the backward pass"),
            "training time": (f"{1e3 * before.training:.3g}", f"{1e3 * after.training:.3g} ms"),
            "inference time": (f"{1e3 * before.inference:.3g}", f"{1e3 * after.inference:.3g} ms"),
        }
        lines += [
            f"{name[:1].upper()}{name[1:]}: {old} to {new}, {shown(advice.saving[name])}."
            for name, (old, new) in pairs.items()
        ]
    return [*lines, "The code below makes the network that was measured."]


def _untested(audit: Audit) -> Section:
    lines = [f"{name}: {why}." for name, why in audit.left_out]
    lines += [f"{note}." for note in audit.notes]
    lines += [
        f"Lint: {each.rule} at {', '.join(each.sites)}: {each.reason}"
        for each in audit.lint.findings[:12]
    ]
    lines.append(
        "Never tested here: longer training, other tasks, other widths and depths, and combinations of groups that "
        "are not listed. A ruling holds for this network, this task and this length of training."
    )
    return Section(
        "untested", "What was not tested?", "\n\n".join(lines), audit.command or "sn.audit(...)"
    )
