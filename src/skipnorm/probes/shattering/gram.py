"""The inner products between the gradients of samples: layer by layer where that is understood, else one by one."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from skipnorm.errors import ProbeError
from skipnorm.probes.objective import Loss, inputs_of, loss_of
from skipnorm.probes.shattering.added import gram_of_all
from skipnorm.probes.shattering.exact import Progress, sample_gradients
from skipnorm.probes.shattering.layerwise import Watch
from skipnorm.probes.shattering.samples import (
    COUPLED,
    coupled,
    main_output,
    mapped,
    refuse_mixing_loss,
    rooted_inputs,
    sample_count,
    some_samples,
)
from skipnorm.probes.shattering.statistics import Run
from skipnorm.probes.shattering.uses import Use

__all__ = ["Gram", "Trials", "input_gram", "parameter_gram", "refuse_coupled"]

TRIAL = 3
Inputs = tuple[Any, dict[str, Any]]


@dataclass
class Gram:
    """Inner products between the samples' gradients.

    Attributes:
        matrix: samples x samples, float64.
        layerwise: the parameters that were understood layer by layer.
        others: those that were not, and were had one sample after the other.
        how: the way taken for the others.
    """

    matrix: Tensor
    layerwise: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    how: str = ""


@dataclass
class _Trial:
    """What a few samples showed: for every use of a parameter, how many rows a sample has (0: not told apart)."""

    rows: list[tuple[str, int]]


class Trials:
    """Trials of one network, one for all batches whose samples have the same shapes."""

    def __init__(self) -> None:
        self._known: dict[Any, _Trial] = {}

    def of(
        self, inputs: Inputs, run: Run, parameters: Mapping[str, Tensor], samples: int
    ) -> _Trial:
        """What a few samples of such a batch showed."""
        kind = (min(TRIAL, samples), _kind(inputs, samples))
        if kind not in self._known:
            self._known[kind] = _try(inputs, run, parameters, samples)
        return self._known[kind]


def _kind(value: Any, samples: int) -> Any:
    """The same for batches that a network treats alike."""
    if isinstance(value, Tensor):
        first = len(value) if value.dim() and len(value) != samples else None
        return first, value.shape[1:], value.dtype, value.device
    if isinstance(value, Mapping):
        return tuple((name, _kind(each, samples)) for name, each in value.items())
    if isinstance(value, tuple | list):
        return tuple(_kind(each, samples) for each in value)
    return value if isinstance(value, int | float | str | None) else id(value)


def input_gram(run: Run, batch: Any, loss: Loss, trials: Trials) -> Gram:
    """The Gram matrix of the gradients with respect to the network's real inputs.

    Raises:
        ProbeError: there are none, or the network mixes samples.
    """
    args, named, targets = inputs_of(batch)
    samples = _samples((args, named))
    trials.of((args, named), run, {}, samples)
    inputs, roots = rooted_inputs((args, named))
    if not roots:
        raise ProbeError(
            "expected real numbers among the inputs, found integers only, which have no gradient. "
            "Take the embedding's weight instead: wrt='parameters', where='*embed*'."
        )
    outputs = run(*inputs)
    refuse_mixing_loss(outputs, targets, loss, samples)
    objective = loss_of(outputs, targets, loss)
    found = torch.autograd.grad(objective, roots, allow_unused=True)
    parts = [part.flatten(1) for part in found if part is not None and len(part) == samples]
    return Gram(_rows_gram(torch.cat(parts, dim=1)))


def parameter_gram(
    run: Run,
    batch: Any,
    loss: Loss,
    parameters: dict[str, Tensor],
    method: str,
    progress: Progress | None,
    trials: Trials,
) -> Gram:
    """The Gram matrix of the gradients with respect to parameters.

    Raises:
        ProbeError: the network mixes samples, or (`layerwise`) uses a parameter in a way that is not understood.
    """
    args, named, targets = inputs_of(batch)
    samples = _samples((args, named))
    own = parameters if method in ("auto", "layerwise") else {}
    trial = trials.of((args, named), run, own, samples)
    gram = Gram(torch.zeros(samples, samples, dtype=torch.float64), [], list(parameters))
    if own:
        gram = _layerwise(run, (args, named), targets, loss, parameters, trial, samples)
    if gram.others and method == "layerwise":
        raise ProbeError(
            f"expected parameters that are used in ways that are understood, found {gram.others[:5]} used otherwise. "
            "Take method='auto', or leave them out by where=."
        )
    if gram.others:
        rest = {name: parameters[name] for name in gram.others}
        way = "loop" if method == "loop" else "vmap" if method == "vmap" else "auto"
        rows, gram.how = sample_gradients(
            run, (args, named), targets, loss, rest, samples, method=way, progress=progress
        )
        gram.matrix = gram.matrix + _rows_gram(rows).to(gram.matrix)
    return gram


def _layerwise(
    run: Run,
    inputs: Inputs,
    targets: Any,
    loss: Loss,
    parameters: dict[str, Tensor],
    trial: _Trial,
    samples: int,
) -> Gram:
    with Watch(parameters, samples) as watch:
        outputs = run(*mapped(inputs, torch.clone))
    refuse_mixing_loss(outputs, targets, loss, samples)
    objective = loss_of(outputs, targets, loss)
    noted = watch.noted
    others = set(watch.others)
    if [note.name for note in noted] != [name for name, _ in trial.rows]:
        others |= {note.name for note in noted}
    else:
        for note, (name, rows) in zip(noted, trial.rows, strict=True):
            if note.length != rows * samples or not note.intact:
                others.add(name)
    edges = [note.edge for note in noted]
    found = torch.autograd.grad(objective, edges, allow_unused=True) if edges else ()
    uses: dict[str, list[tuple[Use, Tensor]]] = {}
    for note, gradient in zip(noted, found, strict=True):
        if gradient is not None and note.name not in others:
            uses.setdefault(note.name, []).append((note.use, gradient))
    with torch.no_grad():
        total = gram_of_all(uses.values(), samples)
    layerwise = [name for name in parameters if name not in others]
    return Gram(total, layerwise, [name for name in parameters if name in others])


def refuse_coupled(run: Run, batch: Any) -> None:
    """Raise ProbeError where the network mixes samples."""
    args, named, _ = inputs_of(batch)
    _try((args, named), run, {}, sample_count((args, named)))


def _try(inputs: Inputs, run: Run, parameters: Mapping[str, Tensor], samples: int) -> _Trial:
    """Pull a random covector at the first of a few samples back: what reaches another sample tells them coupled."""
    kept = min(TRIAL, samples)
    with suppress(RuntimeError, ValueError, IndexError):  # some networks want the whole batch
        return _pulled(some_samples(inputs, samples, kept), run, parameters, kept)
    return _pulled(inputs, run, parameters, samples)


def _pulled(inputs: Inputs, run: Run, parameters: Mapping[str, Tensor], kept: int) -> _Trial:
    rooted, roots = rooted_inputs(inputs)
    with Watch(parameters, kept) as watch:
        out = main_output(run(*rooted))
    if len(out) % kept:
        raise ProbeError(
            f"expected an output with rows for each of {kept} samples, found the shape {tuple(out.shape)}. "
            "Wrap the network in a module that returns one output per sample."
        )
    if not roots and coupled(run, inputs, kept):
        raise ProbeError(COUPLED)
    generator = torch.Generator().manual_seed(0)
    first = len(out) // kept
    covector = torch.randn(out[:first].shape, generator=generator, dtype=torch.float64).to(out)
    ends: list[Any] = [*roots, *(note.edge for note in watch.noted)]
    found: tuple[Tensor | None, ...] = ()
    if ends and out.requires_grad:
        found = torch.autograd.grad(out[:first], ends, covector, allow_unused=True)
    reached = _reached(found, kept)
    if any(reached[: len(roots)]):
        raise ProbeError(COUPLED)
    rows = []
    seen = zip(watch.noted, found[len(roots) :], reached[len(roots) :], strict=True)
    for note, part, others in seen:
        told = part is not None and note.length % kept == 0 and not others
        rows.append((note.name, note.length // kept if told else 0))
    return _Trial(rows)


def _reached(gradients: Sequence[Tensor | None], kept: int) -> list[bool]:
    """For each, whether rows of other samples than the first have a gradient."""
    found = [False] * len(gradients)
    others = {
        place: part[len(part) // kept :]
        for place, part in enumerate(gradients)
        if part is not None and len(part) % kept == 0
    }
    sums = [torch.linalg.vector_norm(part, ord=1) for part in others.values()]
    sizes = torch.stack(sums).tolist() if sums else []
    for (place, part), size in zip(others.items(), sizes, strict=True):
        unknown = math.isnan(size)  # some of it is not a number, and the rest may be nothing
        found[place] = bool(part.nan_to_num(0.0).any()) if unknown else size > 0
    return found


def _samples(inputs: Any) -> int:
    samples = sample_count(inputs)
    if samples < 2:
        raise ProbeError(
            f"expected two samples or more, found {samples}: it takes two gradients to compare."
        )
    return samples


def _rows_gram(rows: Tensor) -> Tensor:
    tallest = rows.abs().amax(dim=1, keepdim=True)
    sizes = torch.where(tallest > 0, tallest, torch.ones_like(tallest))
    units = rows / sizes
    grown = sizes[:, 0].double()
    return (units @ units.T).double() * torch.outer(grown, grown)
