"""Commands about a model of one's own, named as ``pkg.module:build``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skipnorm.cli.printing import print_json, print_numbers, say
from skipnorm.errors import StudyError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["anatomy", "measure"]

Target = Annotated[
    str,
    typer.Argument(
        metavar="PKG.MODULE:BUILD",
        help="a network, or a function of no arguments that returns one, or (network, inputs), "
        "or (network, inputs, targets); the current directory can be imported from",
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "-i",
        help="8x3x32x32, ids=2x16:int64<100 (named, with dtype and limit), or a function "
        "pkg.module:inputs; repeat it for several inputs",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="seed of the weights and of the inputs")]
Json = Annotated[bool, typer.Option("--json", help="print data instead of a table")]


def anatomy(target: Target, inputs: Inputs = None, seed: Seed = 0, as_json: Json = False) -> None:
    """The sites of a network: its norms, activations and skips, in order of execution."""
    from skipnorm.anatomy.discover import anatomy as discover
    from skipnorm.cli.target import subject

    network, calling, _ = subject(target, inputs or [], seed=seed)
    found = discover(network, *calling.positional, **dict(calling.named))
    if as_json:
        print_json(found.to_dicts())
    else:
        say(str(found))


def measure(
    target: Target,
    inputs: Inputs = None,
    task: Annotated[
        str | None, typer.Option(help="take samples and loss from a task, such as digits")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="how many samples of the task")] = 128,
    loss: Annotated[
        str | None,
        typer.Option(help="cross_entropy, mse or inner_product; inferred where it can be"),
    ] = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="keep the evidence in this NetCDF file")] = None,
    as_json: Json = False,
) -> None:
    """Signals and gradients at every site of a network.

    Without targets and without a loss of the network's own, the gradient is that of a random
    direction of the output: every entry of the output receives a standard normal gradient.
    """
    from skipnorm.cli.target import subject, task_subject, with_targets
    from skipnorm.evidence import write
    from skipnorm.studies.measure import measure as measured_on

    if task is not None:
        network, samples, own_loss = task_subject(target, task, batch=batch, seed=seed)
        loss = loss or own_loss
    else:
        network, calling, targets = subject(target, inputs or [], seed=seed)
        samples, direction = with_targets(network, calling, targets, seed=seed)
        if direction and loss not in (None, direction):
            raise StudyError(
                f"The loss {loss!r} needs targets: expected --task, or a target that returns "
                "(network, inputs, targets), found neither."
            )
        loss = loss or direction
    evidence = measured_on(network, samples, loss=loss)
    if out is not None:
        write(evidence, out)
    if as_json:
        print_json(evidence.to_dict())
        return
    _print_sites(evidence)
    if "notes" in evidence.attrs:
        say(evidence.attrs["notes"])
    say(f"Evidence: {out}" if out else "All quantities: --json, or --out FILE.nc")


_SHOWN = {
    "mean sq": "mean_square",
    "correlation": "sample_correlation",
    "rank": "effective_rank",
    "gradient": "gradient_mean_square",
    "cosine": "gradient_cosine",
    "via shortcut": "flow_shortcut_share",
    "via branch": "flow_branch_share",
}


def _print_sites(evidence: xr.Dataset) -> None:
    """One row a site, with the quantities of its output; a dash where one does not apply."""
    columns = {title: name for title, name in _SHOWN.items() if name in evidence}
    rows = [
        [
            str(site),
            str(evidence["kind"].sel(site=site).item()) if "kind" in evidence.coords else "",
            *(_cell(evidence[name].sel(site=site)) for name in columns.values()),
        ]
        for site in evidence["site"].values
    ]
    say("At the output of every site")
    print_numbers(["site", "kind", *columns], rows)


def _cell(value: Any) -> str:
    if "port" in value.dims:
        value = value.sel(port="output")
    number = float(value)
    return "-" if number != number else f"{number:.3g}"
