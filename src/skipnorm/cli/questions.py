"""Commands about studies: list the inquiries, run one or all, run one's own, write the page again."""

from __future__ import annotations

import shlex
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skipnorm.cli.choices import (
    Decided,
    Gpus,
    Json,
    On,
    Scale,
    Seeds,
    Size,
    States,
    Where,
)
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
    from skipnorm.cli.asked import Asked
    from skipnorm.cli.pages import Answer
    from skipnorm.studies.executors import Executor

__all__ = ["demo", "list_", "report", "run"]


def demo(
    out: Annotated[Path, typer.Option(help="folder for evidence and page")] = Path("runs/demo"),
    scale: Scale = Size.quick,
    seeds: Seeds = None,
    on: On = Where.processes,
    gpus: Gpus = 0.0,
    states: States = None,
    as_json: Json = False,
    decided: Decided = False,
) -> None:
    """The essay's questions, small: measures them all and writes report.html."""
    from skipnorm.inquiries import CATALOGUE

    shared = states or out / "states"  # what several inquiries train alike is trained once
    with _lasting(on) as executor:
        answers = [
            _answer(
                entry.name,
                out / entry.name,
                scale,
                seeds=seeds,
                on=on,
                gpus=gpus,
                states=shared,
                executor=executor,
            )
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
    print_table(["inquiry", "question", "cost on two cores"], rows, whole=1)
    say("Run one with: skipnorm run NAME")


def run(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE.PY|PKG.MODULE:STUDY",
            help="an inquiry of `skipnorm list`, or a Study or Inquiry of your own: the one in a "
            "file (FILE.PY:NAME if it holds several), or by its module and name",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="folder for evidence and page; runs/NAME by default")
    ] = None,
    scale: Scale = Size.quick,
    seeds: Seeds = None,
    on: On = Where.processes,
    gpus: Gpus = 0.0,
    states: States = None,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="PKG.MODULE:BUILD",
            help="ask the inquiry of this network: as it is, without its norms, without its skips",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="what that network learns, such as digits")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="what is taken out of it: norms, skips; repeat it")
    ] = None,
    as_json: Json = False,
    decided: Decided = False,
) -> None:
    """One study: does what is missing of it, judges the claims of its inquiry, writes report.html.

    May be started several times, also on several machines that share the folder: they share the
    work. Stopped by whatever means, it goes on where it was.
    """
    own = _own(name, network, task, without, scale)
    answer = _answer(name, out, scale, seeds=seeds, on=on, gpus=gpus, states=states, own=own)
    page = answer.manifest.folder / "report.html"
    _finish([answer], page, as_json=as_json, decided=decided)


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


def _answer(
    target: str,
    out: Path | None,
    scale: Size,
    *,
    seeds: int | None,
    on: Where,
    gpus: float,
    states: Path | None,
    executor: Executor | None = None,
    own: tuple[Asked, list[str]] | None = None,
) -> Answer:
    from skipnorm.cli.asked import asked
    from skipnorm.cli.pages import answer_of
    from skipnorm.studies.run import run as run_study

    executor = executor or _executor(on, gpus)
    found, more = own or (asked(target, scale=scale.value), [])
    study = found.study if seeds is None else replace(found.study, seeds=range(seeds))
    folder = out or Path("runs") / study.name
    words = ["skipnorm", "run", target, *more, "--scale", scale.value, "--on", on.value]
    words += ["--seeds", str(seeds)] if seeds else []
    words += ["--gpus", f"{gpus:g}"] if gpus else []
    words += ["--states", str(states)] if states else []
    run_study(
        study,
        folder,
        executor=executor,
        failures="keep",
        states=states,
        command=shlex.join([*words, "--out", str(folder)]),
        source=found.source,
    )
    return answer_of(folder)


def _own(
    name: str, network: str | None, task: str | None, without: list[str] | None, scale: Size
) -> tuple[Asked, list[str]] | None:
    """The inquiry as it is asked of a network of one's own, and the words that say so; None where it is not."""
    if network is None:
        if task or without:
            raise StudyError(
                "--task and --without are about a network of your own: name it with --network."
            )
        return None
    if task is None:
        raise StudyError(
            f"What does {network} learn? Expected --task, such as --task digits or --task pkg.module:task."
        )
    from skipnorm.cli.asked import asked_of_own

    words = ["--network", network, "--task", task]
    words += [word for part in without or [] for word in ("--without", part)]
    return asked_of_own(name, network, task, scale=scale.value, parts=without or ()), words


def _lasting(on: Where) -> AbstractContextManager[Executor | None]:
    """For several studies: one crew of processes; where they run elsewhere, nothing is kept."""
    from skipnorm.studies.executors import lasting_processes

    return lasting_processes() if on is Where.processes else nullcontext()


def _executor(on: Where, gpus: float) -> Executor:
    from skipnorm.studies.executors import executor_named
    from skipnorm.studies.on_ray import on_ray

    if gpus and on is not Where.ray:
        raise StudyError(
            f"GPUs are shared out among trials by Ray: expected --gpus with --on ray, found --on "
            f"{on.value}. Elsewhere a trial trains on the device that its training names."
        )
    return partial(on_ray, gpus=gpus) if on is Where.ray else executor_named(on.value)


def _finish(answers: list[Answer], page: Path, *, as_json: bool, decided: bool) -> None:
    from skipnorm.cli.main import Ending
    from skipnorm.cli.pages import verdict_rows, write_answers

    path = write_answers(answers, page)
    rows = [row for answer in answers for row in verdict_rows(answer)]
    if as_json:
        print_json({"report": str(path), "verdicts": rows})
    else:
        _print_verdicts(rows) if rows else _print_standings(answers)
        say(f"Report: {path}")
    missing = [line for answer in answers for line in answer.missing]
    for line in missing:
        complain(line)
    if missing:
        raise typer.Exit(Ending.INCOMPLETE)
    if decided and any(row["ruling"] == "undecided" for row in rows):
        raise typer.Exit(Ending.UNDECIDED)


def _print_standings(answers: list[Answer]) -> None:
    from skipnorm.studies.manifest import GATHERED
    from skipnorm.studies.status import status

    for answer in answers:
        folder = answer.manifest.folder
        say(status(folder).summary)
        say(f"Evidence: {folder / GATHERED}")


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
