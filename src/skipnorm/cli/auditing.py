"""The command that asks which norms and skips of a network pull their weight."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from skipnorm.cli.choices import Where
from skipnorm.cli.models import Json
from skipnorm.cli.printing import complain, print_json, say

__all__ = ["audit"]


Target = Annotated[
    str,
    typer.Argument(
        metavar="PKG.MODULE:BUILD",
        help="a function of no arguments that returns a network, a recipe, or the name of a model of timm or "
        "Hugging Face (timm:resnet18, hf:owner/model); the current directory can be imported from",
    ),
]
Task = Annotated[
    str, typer.Option(help="such as digits, or pkg.module:task (a DataLoader will do)")
]
Budget = Annotated[str, typer.Option(help="time to spend, such as 90s, 5m or 1h")]
Margin = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="the smallest effect that matters: of accuracy (0.02), or a share of the loss (0.05)",
    ),
]
Checkpoint = Annotated[
    Path | None, typer.Option(help="trained weights, to be priced without training too")
]
Groups = Annotated[
    list[str] | None,
    typer.Option(help="whole, stages, families, single, or a glob over names of sites; repeat it"),
]
Ignored = Annotated[
    list[str] | None, typer.Option(metavar="GLOB", help="sites that stay as they are; repeat it")
]
Plan = Annotated[str | None, typer.Option(help="pkg.module:training, an sn.Training of your own")]
Device = Annotated[str | None, typer.Option(help="where to train, as torch names it")]
On = Annotated[Where, typer.Option(help="where trainings run")]
Out = Annotated[Path | None, typer.Option(help="a folder for evidence, code and page")]


def audit(
    target: Target,
    task: Task,
    budget: Budget = "5m",
    margin: Margin = None,
    checkpoint: Checkpoint = None,
    group: Groups = None,
    ignore: Ignored = None,
    training: Plan = None,
    device: Device = None,
    on: On = Where.processes,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Which norms and skips of a network are load-bearing, found by taking them out.

    Each is taken out, or replaced by something cheaper, and trained beside the original on the same seeds
    and at a learning rate of its own. Started again with the same folder it goes on, with more time if it
    is given more. Writes report.html and, where something simpler is as good, the code for it.
    """
    from skipnorm.audit.conduct import audit as conducted
    from skipnorm.audit.page import write_audit
    from skipnorm.reference import load

    found = conducted(
        target,
        task,
        budget=budget,
        margin=margin,
        checkpoint=checkpoint,
        groups=group or None,
        ignore=tuple(ignore or ()),
        training=load(training) if training else None,
        folder=out,
        executor=on.value,
        device=device,
        progress="auto",
        say=complain,
        command=shlex.join(["skipnorm", *sys.argv[1:]]),
    )
    page = write_audit(found)
    if as_json:
        print_json(found.to_dict())
        return
    say(str(found))
    say(f"Page: {page}")
