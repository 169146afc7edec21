"""operate(network, operation, ..., inputs=x): an altered copy of a network."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from skipnorm.errors import AnatomyError, SurgeryError
from skipnorm.surgery.operation import Operation, chosen
from skipnorm.surgery.patient import Patient
from skipnorm.surgery.record import Done, recorded

__all__ = ["operate"]


def operate(
    network: nn.Module, *operations: Operation, inputs: Any, keep_original: bool = True
) -> nn.Module:
    """A copy of a network with one or several alterations, made in order; the network itself is left as it is.

    The copy is a module of the same class, with the same call, attributes and keys, under every entry point. Each
    operation meets the sites that the ones before it have left.

    Args:
        network: any module, in the mode in which its sites are to be found.
        *operations: what to do.
        inputs: what the network is called with: a tensor, a tuple of them, or a dict (by name). They are run through
            to find the sites, and once more to see that the altered network runs.
        keep_original: whether the copy remembers the original, for `original()`; costs the memory of its weights.

    Raises:
        SurgeryError: an operation finds no site, or another number than it expects, or cannot be done exactly; or the
            altered network does not run on these inputs.
        AnatomyError: the network does not run, or cannot be looked into.

    >>> import torch
    >>> from skipnorm.surgery import CutSkips
    >>> class Block(nn.Linear):
    ...     def forward(self, x):
    ...         return x + super().forward(x)
    >>> block, x = Block(2, 2), torch.ones(1, 2)
    >>> plain = operate(block, CutSkips(), inputs=x)
    >>> torch.allclose(plain(x), block(x) - x, atol=1e-6), isinstance(plain, Block)
    (True, True)
    """
    _refuse(network, operations)
    args, named = _call(inputs)
    altered = _copied(network)
    before = _copied(network) if keep_original else None
    with _own_randomness():
        patient = Patient(altered, args, named)
        for operation in operations:
            sites = chosen(operation, operation.candidates(patient), patient.anatomy)
            operation.apply(patient, sites)
            recorded(altered, Done(operation, tuple(site.name for site in sites)), before)
            _keep_off_the_fast_path(altered)
            patient = _after(operation, sites, patient)
    return altered


def _keep_off_the_fast_path(altered: nn.Module) -> None:
    """A fused encoder layer would read the weights of the norms that it thinks it has."""
    for module in altered.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0


def _after(operation: Operation, sites: Any, patient: Patient) -> Patient:
    """The patient as the next operation meets it: that it still runs is seen here, before anyone uses it."""
    try:
        return Patient(patient.network, patient.inputs, patient.named)
    except AnatomyError as error:
        names = ", ".join(site.name for site in sites[:6])
        raise SurgeryError(f"{operation} at {names}: the altered network fails. {error}") from error


def _call(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(inputs, dict):
        return (), dict(inputs)
    return (tuple(inputs), {}) if isinstance(inputs, tuple | list) else ((inputs,), {})


def _refuse(network: nn.Module, operations: tuple[Operation, ...]) -> None:
    if not operations:
        raise SurgeryError("expected at least one operation, such as CutSkips(), found none.")
    for operation in operations:
        if not isinstance(operation, Operation):
            raise SurgeryError(
                f"expected operations, such as CutSkips(), found {operation!r}"
                + (": call it." if isinstance(operation, type) else ".")
            )
    wrapped = getattr(network, "_orig_mod", None) or getattr(network, "module", None)
    if isinstance(wrapped, nn.Module) and type(network).__module__.startswith("torch."):
        raise SurgeryError(
            f"expected a plain network, found a {type(network).__name__} around a {type(wrapped).__name__}. "
            "Operate on what it wraps, and wrap the result."
        )


def _copied(network: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(network)
    except Exception as error:
        raise SurgeryError(
            f"expected a {type(network).__name__} that can be copied, but copy.deepcopy raised "
            f"{type(error).__name__}: {error}."
        ) from error


@contextmanager
def _own_randomness() -> Iterator[None]:
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(0)
        yield
