"""The command that operates on a model of one's own and shows what has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from skipnorm.cli.models import Inputs, Json, Seed, Target
from skipnorm.cli.orders import operation
from skipnorm.cli.printing import print_json, print_numbers, say
from skipnorm.errors import StudyError, SurgeryError

if TYPE_CHECKING:
    from torch import nn

    from skipnorm.anatomy.sites import Anatomy
    from skipnorm.cli.inputs import Calling
    from skipnorm.surgery import Operation

__all__ = ["operate"]

_MOST = 40
"""Lines of changes in a terminal."""
_EXAMPLE = "such as --cut-skips 'layer3.*' or --swap-norm none"


def operate(
    target: Target,
    do: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OPERATION",
            help="an operation with all its settings, as in Python: \"CutSkips(where='layer3.*', expect=2)\"; "
            "repeat it, in any mixture with the short forms",
        ),
    ] = None,
    inputs: Inputs = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """The sites of a network before and after operations on it, and what they changed.

    Operations are carried out in the order in which they are written. Each has
    a short form, which gives its most important setting:

    --cut-skips GLOB        --swap-norm KIND      --freeze-affine GLOB
    --drop-branches GLOB    --fold-norm GLOB      --remove-affine GLOB
    --scale-skips FACTOR    --move-norm SIDE      --freeze-statistics GLOB
    --add-skips GLOB        --insert-norm KIND    --noisy-norm GLOB
    --permute-blocks ORDER  --reinitialize SCHEME --standardize-weights GLOB

    GLOB: a pattern over names of sites, '*' for all; FACTOR: of the branch;
    KIND: batch, layer, group, instance, rms; for --swap-norm also none, static;
    SIDE: before_activation, after_activation; ORDER: reverse, shuffle, 1,0,2;
    SCHEME: he, glorot, lecun, orthogonal, fixup, looks_linear.
    """
    from skipnorm.cli.target import subject
    from skipnorm.surgery import operate as operated

    operations = [operation(text) for text in do or []]
    if not operations:
        raise SurgeryError(f"Expected at least one operation, {_EXAMPLE}; found none.")
    network, calling, _ = subject(target, inputs or [], seed=seed)
    before = _anatomy(network, calling)
    altered = operated(network, *operations, inputs=_given(calling), keep_original=False)
    after = _anatomy(altered, calling)
    if as_json:
        print_json(_data(before, after, altered))
        return
    say(f"Before: {before}\n")
    say(_done(operations, altered))
    if before.sites == after.sites:
        say("\nThe sites are the same as before.")
    else:
        say(f"\nAfter: {after}\n")
        say(_changes(before, after))
    say("")
    _print_sizes(network, altered)


def _anatomy(network: nn.Module, calling: Calling) -> Anatomy:
    from skipnorm.anatomy.discover import anatomy

    return anatomy(network, *calling.positional, **dict(calling.named))


def _given(calling: Calling) -> Any:
    """The inputs in one piece."""
    if calling.named and calling.positional:
        raise StudyError(
            "A network is operated on with named inputs or with positional ones: expected one kind, found "
            f"{len(calling.positional)} positional and {len(calling.named)} named ones."
        )
    return dict(calling.named) or calling.positional


def _done(operations: list[Operation], altered: nn.Module) -> str:
    from skipnorm.surgery import operations_of

    done = operations_of(altered)[-len(operations) :]
    return "\n".join(["Done:", *(f"  {number}. {each}" for number, each in enumerate(done, 1))])


def _changes(before: Anatomy, after: Anatomy) -> str:
    """The diff under a headline that counts it, indented."""
    lines = before.diff(after).splitlines()
    lost, gained = (sum(line.startswith(sign) for line in lines) for sign in "-+")
    shown = [f"  {line[0]} {line[1:]}" for line in lines[:_MOST]]
    if len(lines) > _MOST:
        shown.append(f"  ... and {len(lines) - _MOST} more: --json lists all")
    return "\n".join([f"Changes: {lost} sites lost (-), {gained} gained (+)", *shown])


def _print_sizes(network: nn.Module, altered: nn.Module) -> None:
    rows = [
        (name, f"{one:,}", f"{two:,}" if one != two else "the same")
        for name, one, two in zip(
            ("parameters", "of them trained", "buffers"),
            _sizes(network),
            _sizes(altered),
            strict=True,
        )
    ]
    print_numbers(["numbers in the network", "before", "after"], rows)


def _sizes(network: nn.Module) -> tuple[int, int, int]:
    parameters = list(network.parameters())
    return (
        sum(each.numel() for each in parameters),
        sum(each.numel() for each in parameters if each.requires_grad),
        sum(each.numel() for each in network.buffers()),
    )


def _data(before: Anatomy, after: Anatomy, altered: nn.Module) -> dict[str, Any]:
    from skipnorm.surgery import operations_of

    lines = before.diff(after).splitlines()
    return {
        "operations": [
            {"operation": str(done.operation), "sites": done.sites}
            for done in operations_of(altered)
        ],
        "before": before.to_dicts(),
        "after": after.to_dicts(),
        "lost": [line[1:] for line in lines if line.startswith("-")],
        "gained": [line[1:] for line in lines if line.startswith("+")],
    }
