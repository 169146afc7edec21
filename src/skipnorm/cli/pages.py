"""From a study's folder to its answer, and from answers to one page. Never imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skipnorm.errors import EvidenceError
from skipnorm.inquiries import CATALOGUE, Inquiry
from skipnorm.studies.manifest import GATHERED, Manifest, collect, read_manifest

if TYPE_CHECKING:
    import xarray as xr

    from skipnorm.report import Remark, Section
    from skipnorm.verdicts import Verdict

__all__ = ["Answer", "answer_of", "study_folders", "verdict_rows", "write_answers"]


@dataclass(frozen=True)
class Answer:
    """An inquiry with its evidence and what that rules on its claims."""

    inquiry: Inquiry
    manifest: Manifest
    evidence: xr.Dataset
    verdicts: tuple[Verdict, ...]

    @property
    def missing(self) -> list[str]:
        """What a reader should know about trials without evidence, in lines; often none."""
        absent = sum(not path.is_file() for path in self.manifest.files)
        if not absent:
            return []
        total, command = len(self.manifest.files), self.manifest.go_on
        failed = sum(path.is_file() for path in self.manifest.failures)
        tracebacks = f" ({failed} failed: see {self.manifest.folder / 'failed'})" if failed else ""
        return [
            f"{self.inquiry.name}: {absent} of {total} trials have no evidence{tracebacks}. "
            f"Go on with:\n  {command}"
        ]


def study_folders(folder: Path) -> list[Path]:
    """The folders of studies at or directly under a folder: the catalogue's first, in its order.

    Raises:
        EvidenceError: there is none.
    """
    if (folder / "study.json").is_file():
        return [folder]
    order = [entry.name for entry in CATALOGUE]
    found = sorted(path.parent for path in folder.glob("*/study.json"))
    if not found:
        raise EvidenceError(
            f"Not the folder of a run: expected study.json in {str(folder)!r} or in a folder of "
            f"it named after an inquiry ({', '.join(order)}), found none. Try `skipnorm demo`."
        )
    known = [path for name in order for path in found if path.name == name]
    return known + [path for path in found if path not in known]


def answer_of(folder: Path) -> Answer:
    """The answer that the evidence in a study's folder gives.

    A study that belongs to no inquiry has no claims: its answer shows what was measured.

    Raises:
        EvidenceError: the folder holds no evidence.
        StudyError: the inquiry that its study belongs to is gone.
    """
    from skipnorm.verdicts import judge

    manifest = read_manifest(folder)
    evidence = collect(folder)
    inquiry = _inquiry_of(manifest, evidence)
    verdicts = tuple(judge(claim, evidence) for claim in inquiry.claims)
    return Answer(inquiry, manifest, evidence, verdicts)


def _inquiry_of(manifest: Manifest, evidence: xr.Dataset) -> Inquiry:
    from skipnorm.cli.asked import inquiry_at
    from skipnorm.cli.bare import bare_inquiry

    catalogued = manifest.study in [entry.name for entry in CATALOGUE]
    source = manifest.source or (manifest.study if catalogued else "")
    return inquiry_at(source) if source else bare_inquiry(manifest.study, evidence)


def write_answers(answers: Sequence[Answer], path: Path) -> Path:
    """One self-contained page with a section for every answer, and where it lies."""
    from skipnorm.report import write_page

    whole = len(answers) > 1
    return write_page(
        path,
        _TITLE if whole else answers[0].inquiry.question,
        [_section(answer, path.parent) for answer in answers],
        lead=_LEAD if whole else "",
        notes=_notes(answers) if whole else (),
        remarks=_remarks() if whole else (),
        provenance=_made_with(answers),
    )


def verdict_rows(answer: Answer) -> list[dict[str, Any]]:
    """The verdicts as rows of plain values, one a claim."""
    from skipnorm.verdicts import table

    return [{"inquiry": answer.inquiry.name, **row} for row in table(answer.verdicts)]


_TITLE = "Do you need the skip? Can you skip the norm?"


_LEAD = (
    "An essay asks why batch normalisation and skip connections work. Each of its claims, and of the papers it rests "
    "on, was predicted, measured and ruled on."
)


def _section(answer: Answer, beside: Path) -> Section:
    from skipnorm.report import Section

    inquiry, kept = answer.inquiry, answer.manifest.folder / GATHERED
    return Section(
        name=inquiry.name,
        question=inquiry.question,
        method=inquiry.method,
        command=answer.manifest.command,
        verdicts=answer.verdicts,
        figures={name: draw(answer.evidence) for name, draw in inquiry.figures.items()},
        captions=inquiry.captions,
        essay=inquiry.essay,
        headline=inquiry.headline,
        answers=inquiry.answers,
        evidence=_address(kept, beside),
    )


def _address(kept: Path, beside: Path) -> str:
    """Where a page finds the evidence; empty where it does not lie with the page, and would not travel with it."""
    inside = kept.is_file() and kept.resolve().is_relative_to(beside.resolve())
    return Path(relpath(kept, beside)).as_posix() if inside else ""


def _notes(answers: Sequence[Answer]) -> list[str]:
    from skipnorm.inquiries.full_scale import comparison, full_rulings

    found = [
        ((answer.inquiry.name, verdict.claim.name), verdict.ruling)
        for answer in answers
        for verdict in answer.verdicts
    ]
    return [comparison(found, full_rulings())]


def _remarks() -> list[Remark]:
    from skipnorm.inquiries.corrections import CORRECTIONS
    from skipnorm.report import Remark

    return [
        Remark(
            statement=each.statement, where=each.where, text=each.problem, claims=tuple(each.claims)
        )
        for each in CORRECTIONS
    ]


def _made_with(answers: Sequence[Answer]) -> dict[str, str]:
    """What the evidence was made with: every version that occurs, and when."""
    kept: dict[str, dict[str, None]] = {}
    for answer in answers:
        for key, joined in answer.evidence.attrs.items():
            kept.setdefault(str(key), {}).update(dict.fromkeys(str(joined).split(" | ")))
    return {key: ", ".join(values) for key, values in kept.items()}
