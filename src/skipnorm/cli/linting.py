"""The command that reads an architecture for what its norms and skips do in vain or to its harm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from skipnorm.cli.models import Inputs, Json, Seed, Target
from skipnorm.cli.printing import print_json, say
from skipnorm.errors import StudyError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["lint"]

_WARNED = 1
"""The exit code where something of severity `warning` was found, as linters have it."""


def lint(
    target: Target,
    inputs: Inputs = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(min=0, help="also look at what such a decay of all parameters would act on"),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="a rule to leave out, such as foldable-gain; repeat it"),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """What a network's norms and skips do in vain or to its harm, from one look at it.

    The network is looked at in the mode (train or eval) in which the target gives it. Exit code 1 if
    something of severity "warning" was found, 0 if there are notes at most.
    """
    from skipnorm.audit.lint import lint as linted
    from skipnorm.cli.target import subject

    network, calling, _ = subject(target, inputs or [], seed=seed)
    optimizer = None if weight_decay is None else _decaying(network, weight_decay)
    found = linted(network, *calling.positional, optimizer=optimizer, **dict(calling.named))
    try:
        found = found.without(*(ignore or []))
    except KeyError as error:
        raise StudyError(f"--ignore: {error.args[0]}") from error
    if as_json:
        print_json(found.to_dicts())
    else:
        say(str(found))
    if found.warnings:
        raise typer.Exit(_WARNED)


def _decaying(network: nn.Module, decay: float) -> torch.optim.Optimizer:
    from torch.optim import SGD

    return SGD(network.parameters(), lr=1.0, weight_decay=decay)
