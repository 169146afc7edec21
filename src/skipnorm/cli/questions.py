"""Commands about the inquiries: list them, run one, run all small, write the page again."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skipnorm.cli.printing import (
    complain,
    print_json,
    print_numbers,
    print_table,
    say,
    wide_enough,
)
from skipnorm.errors import StudyError

if TYPE_CHECKING:
    from skipnorm.cli.pages import Answer

__all__ = ["demo", "list_", "report", "run"]


class Where(StrEnum):
    """The executors by name."""

    in_process = "in_process"
    processes = "processes"


class Size(StrEnum):
    """The scales by name."""

    quick = "quick"
    full = "full"


Scale = Annotated[Size, typer.Option(help="quick: small, for a first look; full: as published")]
On = Annotated[Where, typer.Option(help="where trials run: in this process, or one per core")]
Seeds = Annotated[
    int | None, typer.Option(min=1, help="how many seeds; fewer than five decide nothing")
]
Json = Annotated[bool, typer.Option("--json", help="print data instead of tables")]
Decided = Annotated[
    bool, typer.Option("--decided", help="end with exit code 4 if a claim stays undecided")
]


def demo(
    out: Annotated[Path, typer.Option(help="folder for evidence and page")] = Path("runs/demo"),
    scale: Scale = Size.quick,
    seeds: Seeds = None,
    on: On = Where.processes,
    as_json: Json = False,
    decided: Decided = False,
) -> None:
    """The essay's questions, small: measures them all and writes report.html."""
    from skipnorm.inquiries import CATALOGUE

    answers = [
        _answer(entry.name, out / entry.name, scale=scale, seeds=seeds, on=on)
        for entry in CATALOGUE
    ]
    _finish(answers, out / "report.html", as_json=as_json, decided=decided)


def list_(as_json: Json = False) -> None:
    """The inquiries: what each asks and what its answer costs."""
    from skipnorm.inquiries import CATALOGUE

    if as_json:
        print_json([vars(entry) for entry in CATALOGUE])
        return
    rows = [(entry.name, entry.question, entry.cost) for entry in CATALOGUE]
    print_table(["inquiry", "question", "cost on two cores"], rows)
    say("Run one with: skipnorm run NAME")


def run(
    name: Annotated[str, typer.Argument(help="an inquiry of `skipnorm list`")],
    out: Annotated[
        Path | None, typer.Option(help="folder for evidence and page; runs/NAME by default")
    ] = None,
    scale: Scale = Size.quick,
    seeds: Seeds = None,
    on: On = Where.processes,
    as_json: Json = False,
    decided: Decided = False,
) -> None:
    """One inquiry: does what is missing of its study, judges its claims, writes report.html."""
    folder = out or Path("runs") / name
    answer = _answer(name, folder, scale=scale, seeds=seeds, on=on)
    _finish([answer], folder / "report.html", as_json=as_json, decided=decided)


def report(
    folder: Annotated[Path, typer.Argument(help="the folder of a run, or of a demo")],
    out: Annotated[
        Path | None, typer.Option(help="the page; FOLDER/report.html by default")
    ] = None,
    as_json: Json = False,
    decided: Decided = False,
) -> None:
    """The page again, from the evidence alone: runs nothing and needs no torch."""
    from skipnorm.cli.pages import answer_of, study_folders

    answers = [answer_of(one) for one in study_folders(folder)]
    _finish(answers, out or folder / "report.html", as_json=as_json, decided=decided)


def _answer(name: str, folder: Path, *, scale: Size, seeds: int | None, on: Where) -> Answer:
    from skipnorm.cli.pages import answer_of
    from skipnorm.inquiries import load
    from skipnorm.studies.run import run as run_study

    study = load(name).study(scale.value)
    if study.name != name:
        raise StudyError(
            f"A page finds an inquiry by its study: expected a study named {name!r} from the "
            f"inquiry {name!r}, found {study.name!r}. Give them one name."
        )
    if seeds is not None:
        study = replace(study, seeds=range(seeds))
    words = ["skipnorm", "run", name, "--scale", scale.value, "--on", on.value]
    words += ["--seeds", str(seeds)] if seeds else []
    command = shlex.join([*words, "--out", str(folder)])
    run_study(study, folder, executor=on.value, failures="keep", command=command)
    return answer_of(folder)


def _finish(answers: list[Answer], page: Path, *, as_json: bool, decided: bool) -> None:
    from skipnorm.cli.main import Ending
    from skipnorm.cli.pages import verdict_rows, write_answers

    path = write_answers(answers, page)
    rows = [row for answer in answers for row in verdict_rows(answer)]
    if as_json:
        print_json({"report": str(path), "verdicts": rows})
    else:
        _print_verdicts(rows)
        say(f"Report: {path}")
    missing = [line for answer in answers for line in answer.missing]
    for line in missing:
        complain(line)
    if missing:
        raise typer.Exit(Ending.INCOMPLETE)
    if decided and any(row["ruling"] == "undecided" for row in rows):
        raise typer.Exit(Ending.UNDECIDED)


def _print_verdicts(rows: list[dict[str, Any]]) -> None:
    from skipnorm.evidence.wording import number, span

    shown = [
        (
            row["claim"],
            row["ruling"],
            f"{number(row['effect'], row['high'] - row['low'])} {row['unit']}".strip(),
            span(row["low"], row["high"]),
            row["predicted"],
            str(row["seeds"]),
        )
        for row in rows
    ]
    columns = ["claim", "ruling", "effect", "interval", "predicted", "seeds"]
    if not sys.stdout.isatty() or wide_enough(columns, shown):
        print_numbers(columns, shown)
        return
    narrow = (0, 1, 2, 4)  # interval and seeds stand in the report
    print_table([columns[at] for at in narrow], [[row[at] for at in narrow] for row in shown])
