"""The command that says how far a study is. Never needs torch."""

from __future__ import annotations

import shutil
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from skipnorm.cli.printing import print_json, say

__all__ = ["status"]


def status(
    folder: Annotated[Path, typer.Argument(help="the folder of a run, or of a demo")],
    as_json: Annotated[bool, typer.Option("--json", help="print every trial as data")] = False,
) -> None:
    """What of a study is done, diverged, running (and by whom), failed or missing; how to go on.

    Ends with exit code 3 while trials have no evidence.
    """
    from skipnorm.cli.main import Ending
    from skipnorm.cli.pages import study_folders
    from skipnorm.studies.status import status as status_of

    found = [status_of(one) for one in study_folders(folder)]
    if as_json:
        print_json([one.to_dict() for one in found])
    else:
        for one in found:
            say(_fitted(str(one)))
    if not all(one.complete for one in found):
        raise typer.Exit(Ending.INCOMPLETE)


def _fitted(text: str) -> str:
    """Long lines folded to the width of the terminal, if it is one; a command stays in one piece."""
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns
    told, begun, command = text.partition("\nGo on with:\n")
    lines = (
        textwrap.fill(line, width, subsequent_indent=" " * 4, break_on_hyphens=False)
        for line in told.splitlines()
    )
    return "\n".join(lines) + begun + command
