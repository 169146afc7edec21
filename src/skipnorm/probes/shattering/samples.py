"""A batch as a row of samples, and whether the network treats each by itself."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from skipnorm.anatomy.tensors import tensors_in
from skipnorm.errors import ProbeError
from skipnorm.probes.objective import Loss, loss_of

__all__ = [
    "coupled",
    "main_output",
    "mapped",
    "refuse_mixing_loss",
    "rooted_inputs",
    "sample_count",
    "some_samples",
]

COUPLED = (
    "expected a network that treats each sample by itself, found that the output of one sample depends on others "
    "(BatchNorm with batch statistics, or something like it): gradients of samples are not defined there. Take "
    "statistics='detached' (statistics of the batch as constants of the backward pass, as Balduzzi et al. 2017 do) or "
    "statistics='running'; a norm written by hand must .detach() its statistics, or be made an nn.BatchNorm."
)


def mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same nest of tuples, lists and dicts with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: mapped(each, change) for key, each in value.items()}
    if type(value) in (tuple, list):
        return type(value)(mapped(each, change) for each in value)
    return value


def rooted_inputs(inputs: Any) -> tuple[Any, list[Tensor]]:
    """Copies that may be written into, and the roots of the real ones in autograd's graph."""
    roots: list[Tensor] = []

    def root(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor.clone()
        roots.append(tensor.detach().clone().requires_grad_())
        return roots[-1].clone()

    return mapped(inputs, root), roots


def sample_count(inputs: Any) -> int:
    """How many samples there are: the length of the first tensor."""
    for tensor in tensors_in(inputs):
        if tensor.dim():
            return len(tensor)
    raise ProbeError("expected a batch with at least one tensor, found none")


def some_samples(inputs: Any, samples: int, kept: int) -> Any:
    """The first few samples; tensors that do not have one entry a sample stay as they are."""

    def cut(tensor: Tensor) -> Tensor:
        return tensor[:kept] if tensor.dim() and len(tensor) == samples else tensor

    return mapped(inputs, cut)


def main_output(outputs: Any) -> Tensor:
    """The tensor among the outputs that the loss is about: the only one, `logits`, or the first real one."""
    if isinstance(outputs, Mapping):
        outputs = outputs.get("logits", list(outputs.values()))
    for tensor in tensors_in(outputs):
        if tensor.is_floating_point() and tensor.dim():
            return tensor
    raise ProbeError(
        f"expected a tensor of real numbers among the outputs, found {type(outputs).__name__}. Wrap the network in a "
        "module that returns the tensor that matters."
    )


def coupled(run: Callable[..., Any], inputs: tuple[Any, dict[str, Any]], kept: int) -> bool:
    """Whether the first sample's output moves when all others become copies of it: for inputs without gradients."""

    def alike(tensor: Tensor) -> Tensor:
        each = tensor.dim() and len(tensor) == kept
        return tensor[:1].expand_as(tensor).clone() if each else tensor.clone()

    with torch.no_grad():
        first = main_output(run(*mapped(inputs, torch.clone)))
        given = getattr(run, "recorded", None) or None
        second = main_output(run(*mapped(inputs, alike), given=given))
    rows = len(first) // kept
    return not torch.allclose(first[:rows], second[:rows], rtol=1e-4, equal_nan=True)


def refuse_mixing_loss(outputs: Any, targets: Any, loss: Loss, samples: int) -> None:
    """Raise ProbeError where a sample's gradient at the output turns when the outputs of others change."""
    if not callable(loss) or not isinstance(outputs, Tensor) or len(outputs) % samples:
        return
    rows = len(outputs) // samples

    def first(values: Tensor) -> Tensor:
        point = values.detach().clone().requires_grad_()
        found = torch.autograd.grad(loss_of(point, targets, loss), point, allow_unused=True)[0]
        return torch.zeros(1) if found is None else found[:rows].double().flatten()

    copies = outputs[:rows].repeat(samples, *[1] * (outputs.dim() - 1))
    here, there = first(outputs), first(copies)
    sizes = torch.linalg.vector_norm(here) * torch.linalg.vector_norm(there)
    if bool(sizes > 0) and float(here @ there) < (1 - 1e-4) * float(sizes):
        raise ProbeError(
            "expected a loss that is a sum (or mean) over samples, found one that compares them: a sample has no "
            "gradient of its own. Take a loss without terms between samples."
        )
