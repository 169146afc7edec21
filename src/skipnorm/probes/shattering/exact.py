"""Gradients of samples one by one: exact for every network, dear, and the measure of the layer-wise way."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap

from skipnorm.errors import ProbeError
from skipnorm.probes.objective import Loss, loss_of
from skipnorm.probes.shattering.samples import main_output, mapped, refuse_mixing_loss
from skipnorm.probes.shattering.statistics import Run

__all__ = ["sample_gradients"]

Progress = Callable[[int, int], None]


def sample_gradients(
    run: Run,
    inputs: tuple[Any, dict[str, Any]],
    targets: Any,
    loss: Loss,
    parameters: Mapping[str, Tensor],
    samples: int,
    *,
    method: str = "auto",
    progress: Progress | None = None,
) -> tuple[Tensor, str]:
    """Each sample's part of the gradient of the loss, samples x parameters, and how it was had.

    The loss is differentiated to the network's output once; what each sample's output then pulls back is its part.
    By `vmap(grad)` where the network allows it, else in a loop over the samples on one graph, which is right for every
    network, dropout and data-dependent control flow included.

    Raises:
        ProbeError: the parts do not add up to the gradient: the loss depends on the network by more than its output.
    """
    points = {name: value.detach().clone().requires_grad_() for name, value in parameters.items()}
    outputs = run(*mapped(inputs, torch.clone), parameters=points)
    out = main_output(outputs)
    refuse_mixing_loss(outputs, targets, loss, samples)
    if len(out) % samples:
        raise ProbeError(
            f"expected an output with a row for each of the {samples} samples, found the shape {tuple(out.shape)}. "
            "Wrap the network in a module that returns one output per sample."
        )
    objective = loss_of(outputs, targets, loss)
    whole = torch.autograd.grad(
        objective, [out, *points.values()], retain_graph=True, allow_unused=True
    )
    covector = torch.zeros_like(out) if whole[0] is None else whole[0]
    found, how = None, "a loop over samples"
    if method != "loop":
        try:
            found = _by_vmap(run, inputs, covector, points, samples)
            how = "vmap(grad)"
        except Exception as error:
            if method == "vmap":
                raise ProbeError(
                    f"expected a network that torch.func.vmap can map, but it raised {type(error).__name__}: {error}. "
                    "Take method='loop'."
                ) from error
    if found is None:
        found = _by_loop(out, covector, points, samples, progress)
    found = found.detach()
    _add_up(found, [*whole[1:]], points)
    return found, how


def _by_vmap(
    run: Run,
    inputs: tuple[Any, dict[str, Any]],
    covector: Tensor,
    points: Mapping[str, Tensor],
    samples: int,
) -> Tensor:
    rows: list[Tensor] = []
    mapped(inputs, lambda tensor: rows.append(tensor) if _per_sample(tensor, samples) else None)
    given = run.recorded or None

    def pulled(parameters: dict[str, Tensor], own: list[Tensor], weights: Tensor) -> Tensor:
        left = iter(own)
        one = mapped(
            inputs,
            lambda tensor: next(left)[None] if _per_sample(tensor, samples) else tensor,
        )
        buffers = {
            name: value.clone() for name, value in run.network.named_buffers()
        }  # to write into
        out = main_output(run(*one, parameters=buffers | parameters, given=given))
        return (out * weights).sum()

    weights = covector.detach().reshape(samples, -1, *covector.shape[1:])
    values = {name: value.detach() for name, value in points.items()}
    each = vmap(grad(pulled), in_dims=(None, 0, 0), randomness="error")(values, rows, weights)
    return torch.cat([each[name].flatten(1) for name in points], dim=1)


def _per_sample(tensor: Tensor, samples: int) -> bool:
    return tensor.dim() > 0 and len(tensor) == samples


def _by_loop(
    out: Tensor,
    covector: Tensor,
    points: Mapping[str, Tensor],
    samples: int,
    progress: Progress | None,
) -> Tensor:
    found = []
    for sample in range(samples):
        share = torch.zeros_like(covector).reshape(samples, -1)
        share[sample] = covector.reshape(samples, -1)[sample]
        parts = torch.autograd.grad(
            [out],
            list(points.values()),
            [share.reshape(out.shape)],
            retain_graph=True,
            allow_unused=True,
        )
        zeros = (torch.zeros_like(value) for value in points.values())
        found.append(
            torch.cat([
                (zero if part is None else part).flatten()
                for part, zero in zip(parts, zeros, strict=True)
            ])
        )  # fmt: skip
        if progress is not None:
            progress(sample + 1, samples)
    return torch.stack(found)


def _add_up(found: Tensor, whole: list[Tensor | None], points: Mapping[str, Tensor]) -> None:
    sizes = [value.numel() for value in points.values()]
    parts: tuple[Tensor, ...] = torch.split(found.sum(0).double(), sizes)
    error, size = 0.0, float(found.double().square().sum())
    for part, expected in zip(parts, whole, strict=True):
        reference = torch.zeros_like(part) if expected is None else expected.flatten().double()
        error += float((part - reference).square().sum())
    if error**0.5 > 1e-3 * size**0.5:
        raise ProbeError(
            "expected the gradients of the samples to add up to that of the loss, found that they do not "
            f"(error {error**0.5:.1e} of {size**0.5:.1e}): the loss depends on more than the network's output "
            "that was found. Wrap the network so that it returns that output alone, and pass loss=."
        )
