"""One forward and one backward pass through a network, during which every probe reads every site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skipnorm.anatomy.discover import observe
from skipnorm.anatomy.preserve import untouched
from skipnorm.anatomy.sites import Anatomy
from skipnorm.errors import ProbeError
from skipnorm.probes.objective import Loss, inputs_of, loss_of, usable
from skipnorm.probes.probe import Place, Probe
from skipnorm.probes.reader import Reader

__all__ = ["Reading", "check_probes", "pass_through"]


@dataclass(frozen=True)
class Reading:
    """What the probes read in one pass.

    Attributes:
        anatomy: the sites that were met.
        numbers: by quantity and place (index of site, port), one number each.
        loss: the value of the loss, or None where no gradient was asked for.
        notes: what could not be read, and why.
    """

    anatomy: Anatomy
    numbers: Mapping[str, Mapping[Place, float]]
    loss: float | None
    notes: tuple[str, ...]


def pass_through(
    network: nn.Module, batch: Any, probes: Sequence[Probe], *, loss: Loss = None
) -> Reading:
    """Run a network forward, and backward if a probe asks for it, and read every site on the way.

    The network is left as it was: weights, buffers, `.grad`, mode, hooks and random state. Only gradients with
    respect to the signal are computed, none with respect to parameters; so a frozen network is read like any other.

    Raises:
        AnatomyError: the network cannot be looked at.
        ProbeError: the loss cannot be found or differentiated.
    """
    args, named, targets = inputs_of(batch)
    backward = any(probe.needs_gradient for probe in probes)
    with (
        torch.inference_mode(False),
        untouched(network) as ledger,
        torch.set_grad_enabled(backward),
    ):
        reader = Reader(probes)
        try:
            if backward:
                args, named = reader.rooted(args), reader.rooted(named)
            network = getattr(network, "_orig_mod", network)
            observer, outputs = observe(network, args, named, ledger, reader)
            value = _backward(loss_of(outputs, usable(targets), loss), reader) if backward else None
            anatomy = Anatomy(type(network).__name__, observer.sites, observer.notes())
            notes = (*reader.notes, *reader.without_gradient(anatomy))
            return Reading(anatomy, reader.settled(), value, tuple(dict.fromkeys(notes)))
        finally:
            reader.close()


def _backward(objective: Tensor, reader: "Reader") -> float:
    if not reader.roots:
        raise ProbeError(
            "expected an input that can be differentiated, found no real numbers on the way to the loss. "
            "Measure without gradient (probes=['moments', 'likeness']), or feed it real inputs."
        )
    gradients = torch.autograd.grad(objective, reader.roots, allow_unused=True)
    if all(gradient is None for gradient in gradients):
        raise ProbeError(
            "expected a loss that depends on what the network makes of its input, found one that does not. "
            "Look for detach() or a constant on the way to the loss."
        )
    return float(objective.detach())


def check_probes(probes: Sequence[Probe]) -> None:
    """Raise ProbeError where two probes give a quantity the same name."""
    names = [quantity.name for probe in probes for quantity in probe.quantities]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ProbeError(
            f"expected each quantity from one probe, found {twice} from several. Leave one of them out."
        )
