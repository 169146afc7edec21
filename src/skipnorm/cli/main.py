"""The program `skipnorm`: its commands, and how each of them may end."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from skipnorm.cli import auditing, linting, models, operating, questions, standings
from skipnorm.cli.orders import InOrder
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
    TERMINATED = 143


_EPILOG = (
    "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but trials of a study have no evidence; "
    "4 done, but a claim is undecided (only with --decided); 130 interrupted; 143 terminated."
)
_RESUMED = ("demo", "run", "audit")


_terminated = threading.Event()
"""A request to end (SIGTERM) came, as schedulers of clusters send it: an interrupt by another name."""


class _Program(TyperGroup):
    """Every command ends with a message and an exit code, never with a bare traceback of ours."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SkipnormError as error:
            complain(str(error))
            raise typer.Exit(Ending.FAILED) from error
        except KeyboardInterrupt as error:
            ending = Ending.TERMINATED if _terminated.is_set() else Ending.INTERRUPTED
            complain(_farewell(ctx.invoked_subcommand, ending.name.capitalize()))
            raise typer.Exit(ending) from error


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
app.command("status")(standings.status)
app.command("anatomy")(models.anatomy)
app.command("lint")(linting.lint)
app.command("measure")(models.measure)
app.command("operate", cls=InOrder)(operating.operate)
app.command("audit")(auditing.audit)


def _farewell(command: str | None, how: str) -> str:
    """What an interrupt has left behind, and how to go on."""
    if command in _RESUMED:
        return f"{how}. Finished trials are kept; go on with:\n  {_this_command()}"
    return f"{how}. Nothing was kept; begin again with:\n  {_this_command()}"


def _this_command() -> str:
    return shlex.join(["skipnorm", *sys.argv[1:]])


def _terminate(number: int, frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what is at work is being ended
    _terminated.set()
    raise KeyboardInterrupt


def main() -> None:
    """Run the program; the current directory can be imported from, as with `python -m`."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    signal.signal(signal.SIGTERM, _terminate)
    app(prog_name="skipnorm")


if __name__ == "__main__":
    main()
