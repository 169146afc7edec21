"""The program `skipnorm`: its commands, and how each of them may end."""

from __future__ import annotations

import shlex
import sys
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from skipnorm.cli import models, questions
from skipnorm.cli.printing import complain
from skipnorm.errors import SkipnormError

__all__ = ["Ending", "app", "main"]


class Ending(IntEnum):
    """The exit codes: what a script may rely on."""

    DONE = 0
    FAILED = 1
    MISUSED = 2
    INCOMPLETE = 3
    UNDECIDED = 4
    INTERRUPTED = 130


_EPILOG = (
    "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but trials of a study failed; "
    "4 done, but a claim is undecided (only with --decided); 130 interrupted."
)


class _Program(TyperGroup):
    """Every command ends with a message and an exit code, never with a bare traceback of ours."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SkipnormError as error:
            complain(str(error))
            raise typer.Exit(Ending.FAILED) from error
        except KeyboardInterrupt as error:
            complain(f"Interrupted. What is finished is kept; go on with:\n  {_this_command()}")
            raise typer.Exit(Ending.INTERRUPTED) from error


app = typer.Typer(
    cls=_Program,
    help="Do you need the skip? Can you skip the norm? Measured, on any PyTorch network.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("demo")(questions.demo)
app.command("list")(questions.list_)
app.command("run")(questions.run)
app.command("report")(questions.report)
app.command("anatomy")(models.anatomy)
app.command("measure")(models.measure)


def _this_command() -> str:
    return shlex.join(["skipnorm", *sys.argv[1:]])


def main() -> None:
    """Run the program; the current directory can be imported from, as with `python -m`."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    app(prog_name="skipnorm")
