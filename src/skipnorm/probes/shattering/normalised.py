"""A norm as its own single call, and what its gain multiplies, by way of the statistics that it used."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Normalised", "batch_normalised", "group_normalised", "layer_normalised"]


@dataclass
class Normalised:
    """What a norm returned, and how its input becomes what the gain multiplies: `(inputs - centre) * scale`."""

    out: Tensor
    inputs: Tensor
    centre: Tensor
    scale: Tensor


def layer_normalised(
    input: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> Normalised | None:
    """`F.layer_norm`, or None where it would not be that very kernel."""
    if not _plain(input, weight, bias):
        return None
    out, mean, scale = torch.native_layer_norm(input, shape, weight, bias, eps)
    return Normalised(out, input.detach(), mean.detach(), scale.detach())


def group_normalised(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Normalised | None:
    """`F.group_norm`, or None where it would not be that very kernel."""
    if not _plain(input, weight, bias) or not input.is_contiguous() or not input.numel():
        return None
    samples, channels = input.shape[:2]
    places = input.numel() // (samples * channels)
    out, mean, scale = torch.native_group_norm(
        input, weight, bias, samples, channels, places, num_groups, eps
    )

    def laid(statistic: Tensor) -> Tensor:
        wide = statistic.detach().repeat_interleave(channels // num_groups, dim=1)
        return wide.reshape(samples, channels, *[1] * (input.dim() - 2))

    return Normalised(out, input.detach(), laid(mean), laid(scale))


def batch_normalised(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Normalised | None:
    """`F.batch_norm` by given statistics, or None where it takes those of the batch."""
    if training or running_mean is None or running_var is None:
        return None
    out = torch.nn.functional.batch_norm(
        input, running_mean, running_var, weight, bias, False, momentum, eps
    )
    shape = (1, -1, *[1] * (input.dim() - 2))
    centre = running_mean.detach().clone().reshape(shape)
    scale = (running_var.detach() + eps).rsqrt().reshape(shape)
    return Normalised(out, input.detach(), centre, scale)


def _plain(input: Tensor, *parameters: Any) -> bool:
    """Whether nothing is cast on the way."""
    alike = all(each is None or each.dtype == input.dtype for each in parameters)
    return alike and not torch.is_autocast_enabled(input.device.type)
