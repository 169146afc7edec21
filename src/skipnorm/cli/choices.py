"""The options that commands about studies share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Decided", "Gpus", "Json", "On", "Scale", "Seeds", "Size", "States", "Where"]


class Where(StrEnum):
    """The executors by name."""

    in_process = "in_process"
    processes = "processes"
    ray = "ray"


class Size(StrEnum):
    """The scales by name."""

    quick = "quick"
    full = "full"
    paper = "paper"


Scale = Annotated[
    Size,
    typer.Option(
        help="quick: small, for a first look; full: with the seeds and sizes to rule on; paper: networks as "
        "published, for a GPU or a cluster (not every inquiry has it)"
    ),
]
On = Annotated[
    Where,
    typer.Option(
        help="where trials run: in this process, one per core, or on the Ray cluster of RAY_ADDRESS"
    ),
]
Gpus = Annotated[
    float, typer.Option(min=0, help="GPUs that each trial occupies, such as 1 or 0.5 (--on ray)")
]
Seeds = Annotated[
    int | None, typer.Option(min=1, help="how many seeds; fewer than five decide nothing")
]
States = Annotated[
    Path | None,
    typer.Option(help="folder of trained networks that several runs share; else each has its own"),
]
Json = Annotated[bool, typer.Option("--json", help="print data instead of tables")]
Decided = Annotated[
    bool, typer.Option("--decided", help="end with exit code 4 if a claim stays undecided")
]
