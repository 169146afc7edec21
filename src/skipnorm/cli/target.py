"""The network that a command is about, with something to feed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from skipnorm.cli.inputs import Calling, as_calling, inputs_for
from skipnorm.errors import StudyError
from skipnorm.studies.reference import load

if TYPE_CHECKING:
    from torch import nn

__all__ = ["subject", "task_subject", "with_targets"]


def subject(target: str, inputs: Sequence[str], *, seed: int) -> tuple[nn.Module, Calling, Any]:
    """The network, how to call it, and its targets where the target gives some (else None).

    Raises:
        StudyError: the target makes no network, or nobody says what to feed it.
    """
    network, *rest = _built(target, seed=seed)
    given = inputs_for(inputs, seed=seed)
    if inputs:
        return network, given, rest[1] if len(rest) > 1 else None
    if not rest:
        raise StudyError(
            f"The network of {target!r} needs something to eat: expected --input SHAPE such as "
            "--input 8x3x32x32, or a function that returns (network, inputs); found neither."
        )
    return network, as_calling(rest[0]), rest[1] if len(rest) > 1 else None


def task_subject(target: str, task: str, *, batch: int, seed: int) -> tuple[nn.Module, Any, Any]:
    """The network, a batch of the task, and the task's loss."""
    from skipnorm.tasks import named

    chosen = named(task)
    network, *_ = _built(target, seed=seed)
    return network, chosen.batch(batch, seed), chosen.loss


def with_targets(
    network: nn.Module, calling: Calling, targets: Any, *, seed: int
) -> tuple[Any, str | None]:
    """A batch for `measure`, and the loss where it is for us to choose.

    Given targets are taken; a network that returns a loss of its own is asked for that; otherwise
    the targets are a random direction of the output and the loss is the inner product with it.

    Raises:
        StudyError: inputs of both kinds, or an output in which no tensor is found.
    """
    if calling.named and calling.positional:
        raise StudyError(
            "A network is measured on named inputs or on positional ones: expected one kind, "
            f"found {len(calling.positional)} positional and {len(calling.named)} named ones."
        )
    inputs = dict(calling.named) or calling.positional
    if targets is not None:
        return (inputs, targets), None
    outputs = _outputs(network, calling)
    if _part(outputs, "loss") is not None:
        return (inputs, None), None
    return (inputs, _direction(outputs, seed=seed)), "inner_product"


def _outputs(network: nn.Module, calling: Calling) -> Any:
    """What a copy of the network returns, so that the network itself stays as it is."""
    import torch

    try:
        with torch.random.fork_rng(), torch.no_grad():
            return deepcopy(network)(*calling.positional, **dict(calling.named))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise StudyError(
            f"{type(network).__name__} was expected to run on the given inputs, but it raised "
            f"{type(error).__name__}: {error}. Check their shapes, names and dtypes."
        ) from error


def _part(outputs: Any, name: str) -> Any:
    return outputs.get(name) if isinstance(outputs, Mapping) else getattr(outputs, name, None)


def _direction(outputs: Any, *, seed: int) -> Any:
    """A standard normal number for every entry of the output (its logits, or its first part)."""
    import torch

    found = outputs
    if not isinstance(outputs, torch.Tensor):
        parts = list(outputs.values()) if isinstance(outputs, Mapping) else outputs
        first = parts[0] if isinstance(parts, list | tuple) and parts else None
        logits = _part(outputs, "logits")
        found = first if logits is None else logits
    if not isinstance(found, torch.Tensor):
        raise StudyError(
            f"A random direction needs a tensor in the output, found {type(outputs).__name__}. "
            "Give --task, or labels among named inputs, or let the target return (network, "
            "inputs, targets)."
        )
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(found.shape, generator=generator).to(found)


def _built(target: str, *, seed: int) -> tuple[Any, ...]:
    """Network, then inputs and targets as far as the target gives them."""
    import torch

    found = load(target)
    made = found
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if hasattr(found, "build"):
            made = found.build(seed)
        elif callable(found) and not isinstance(found, torch.nn.Module):
            made = _called(found, target)
    parts = tuple(made) if isinstance(made, tuple) else (made,)
    if not isinstance(parts[0], torch.nn.Module) or len(parts) > 3:
        raise StudyError(
            f"{target!r} should give a torch.nn.Module, (network, inputs) or (network, inputs, "
            f"targets); found {', '.join(type(part).__name__ for part in parts)}."
        )
    return parts


def _called(build: Any, target: str) -> Any:
    from inspect import Parameter, signature

    kinds = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    try:
        needed = [
            name
            for name, parameter in signature(build).parameters.items()
            if parameter.default is Parameter.empty and parameter.kind not in kinds
        ]
    except (TypeError, ValueError):
        needed = []
    if needed:
        raise StudyError(
            f"{target!r} should be callable without arguments, but it needs "
            f"{', '.join(needed)}. Write a function that fills them in."
        )
    return build()
