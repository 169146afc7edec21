"""anatomy(network, *inputs): run the network once and list its norms, activations and skips."""

from typing import Any

import torch
from torch import nn

from skipnorm.anatomy.observe import Observer
from skipnorm.anatomy.preserve import Ledger, untouched
from skipnorm.anatomy.sighting import Listener
from skipnorm.anatomy.sites import Anatomy
from skipnorm.anatomy.taps import tapped
from skipnorm.anatomy.tensors import fresh, tensors_in
from skipnorm.errors import AnatomyError

__all__ = ["anatomy", "observe"]


def anatomy(network: nn.Module, *inputs: Any, **named: Any) -> Anatomy:
    """Every norm, activation and skip of a network, in order of execution.

    The network is run once, without gradients, in the mode (train or eval) that it is in, on its own device;
    afterwards it is as it was, down to BatchNorm's counters and the random state.

    Args:
        network: any module. Compiled ones are run eagerly; scripted ones cannot be looked into.
        *inputs: what the network is called with.
        **named: what it is called with by name.

    Raises:
        AnatomyError: the network is scripted or wrapped in DataParallel, does not run on these inputs, or returns
            nothing that depends on their values.

    >>> block = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.ReLU())
    >>> print(anatomy(block, torch.zeros(2, 4)))
    Sequential: 1 norm (1 layer) · 1 activation · 0 skips
    index  name  kind        nature  operation   shape
    0      1     norm        layer   layer_norm  2x4
    1      2     activation          relu        2x4
    """
    _refuse_unobservable(network)
    network = getattr(network, "_orig_mod", network)
    with untouched(network) as ledger, torch.no_grad():
        observer, _ = observe(network, inputs, named, ledger)
        return Anatomy(type(network).__name__, observer.sites, observer.notes())


def observe(
    network: nn.Module,
    inputs: tuple[Any, ...],
    named: dict[str, Any],
    ledger: Ledger,
    listener: Listener | None = None,
) -> tuple[Observer, Any]:
    """One forward pass under observation: the observer with what it met, and what the network returned.

    Raises:
        AnatomyError: as `anatomy` does.
    """
    _refuse_unobservable(network)
    observer = Observer(network, ledger, listener)
    for tensor in tensors_in((inputs, named)):
        ledger.keep(tensor)
    observer.root((inputs, named))
    kind = type(network).__name__
    try:
        with tapped(observer, network):
            outputs = network(*fresh(inputs), **fresh(named))
    except Exception as error:
        if error is observer.listeners_error:
            raise
        raise AnatomyError(_failed(kind, inputs, named, error)) from error
    returned = list(tensors_in(outputs))
    if not any((node := observer.lineage[tensor]) and node.signal for tensor in returned):
        raise AnatomyError(
            f"expected an output of {kind} that depends on the values of its input, found {len(returned)} "
            "tensors that do not. Either the network ignores its input, or the path runs through calls "
            "that cannot be seen (scripted functions, extensions). Pass the input that matters, or replace those calls."
        )
    return observer, outputs


def _refuse_unobservable(network: nn.Module) -> None:
    if not isinstance(network, nn.Module):
        raise AnatomyError(
            f"expected a torch.nn.Module, found {type(network).__name__}. Wrap a plain function in a module."
        )
    for name, module in network.named_modules():
        if isinstance(module, nn.DataParallel):
            raise AnatomyError(
                f"expected plain modules, found a DataParallel wrapper at {name or 'the root'!r}, whose replicas "
                "run in threads of their own. Try what it wraps: `network.module`."
            )
        if isinstance(module, torch.jit.ScriptModule | torch.jit.ScriptFunction):
            raise AnatomyError(
                f"expected Python modules, found a scripted one at {name or 'the root'!r} ({type(module).__name__}), "
                "whose calls cannot be seen. Try the module from before torch.jit.script or torch.jit.trace."
            )


def _failed(kind: str, inputs: tuple[Any, ...], named: dict[str, Any], error: Exception) -> str:
    shapes = [tuple(tensor.shape) for tensor in tensors_in((inputs, named))]
    return (
        f"expected {kind} to run on the given inputs (tensors of shape {shapes}), but it raised "
        f"{type(error).__name__}: {error}. Try network(*inputs) by itself: it should fail in the same way."
    )
