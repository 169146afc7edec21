"""The slope of the very function that acts at a site, whatever it is: by autograd, else from its values alone."""

import copy
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge, saved_tensors_hooks

from skipnorm.anatomy.operations import ACTIVATIONS
from skipnorm.anatomy.sighting import Sighting
from skipnorm.formulas.nonlinearity import secant_slopes, steepest_slope

__all__ = ["Local", "from_values", "reference_slope"]

_ACTIVATIONS_OF_TORCH = nn.Tanh.__module__


class Local:
    """Autograd across one site, from the moment its input is seen to the moment its output is.

    What the function saves for its backward pass is saved here and not where gradient checkpointing would have to
    compute it again. An input that is overwritten has left its edge in the graph beforehand.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.edge: GradientEdge | None = None
        self._hooks: AbstractContextManager[Any] | None = None
        if tensor.requires_grad and torch.is_grad_enabled():
            self.edge = get_gradient_edge(tensor)
            self._hooks = saved_tensors_hooks(_as_it_is, _as_it_is)
            self._hooks.__enter__()

    def close(self) -> None:
        """Let the network save again as it did."""
        if self._hooks is not None:
            self._hooks.__exit__(None, None, None)
            self._hooks = None

    def slopes(self, output: Tensor) -> Tensor | None:
        """``d output / d input`` element by element, or None where autograd does not reach."""
        self.close()
        if self.edge is None or not output.requires_grad:
            return None
        try:
            (slopes,) = torch.autograd.grad(
                [output],
                [self.edge],
                [torch.ones_like(output)],
                retain_graph=True,
                allow_unused=True,
            )
        except RuntimeError:  # a function without a derivative
            return None
        return None if slopes is None else slopes.detach()


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def from_values(x: Tensor, y: Tensor) -> Tensor:
    """Slopes from pairs of values of (units, samples, positions), where autograd does not reach."""
    return secant_slopes(x.flatten(1), y.flatten(1)).reshape(x.shape)


def reference_slope(sighting: Sighting, units: int) -> float:
    """The largest slope that the function at a site can have, or 0 where it cannot be tried by itself.

    A module that is the activation is tried in a copy, a torch function by its name with its usual settings.
    """
    module, name = sighting.call.module, sighting.finding.operation
    tries: list[Any] = []
    itself = not sighting.address.operation or type(module).__module__ == _ACTIVATIONS_OF_TORCH
    if isinstance(module, nn.Module) and itself:
        tries.append(_on_its_own(module, sighting))
    if name in ACTIVATIONS:
        tries += [getattr(holder, name, None) for holder in (torch.nn.functional, torch)]
    for function in tries:
        if function is None:
            continue
        try:
            return steepest_slope(function, units)
        except Exception:  # it wants more than an input: then what is met must do
            continue
    return 0.0


def _on_its_own(module: nn.Module, sighting: Sighting) -> Any:
    rank = len(sighting.shape) or 2

    def function(grid: Tensor) -> Tensor:
        patient = copy.deepcopy(module).double().cpu().eval()
        x = grid.reshape(len(grid), *[1] * (rank - 2), -1) if rank > 2 else grid
        if rank == 4:
            x = grid.reshape(len(grid), -1, 1, 1)
        result: Tensor = patient(x)
        if result.shape != x.shape:
            raise TypeError("not pointwise")
        return result

    return function
