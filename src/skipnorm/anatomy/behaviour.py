"""What a hand-written leaf module does, found by trying it on a copy: a norm, an activation, or neither.

A norm's output has the input's shape, changes with the input's direction and not with its scale. An activation's output
at one element depends on that element alone, and not linearly.
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skipnorm.anatomy.preserve import random_states_kept
from skipnorm.anatomy.sites import Family
from skipnorm.anatomy.tensors import operands_of

__all__ = ["Behaviour", "behaviour"]

SCALES = (1e3, 3e3)  # large, so that the norm's eps does not matter
SMALL_SCALES = (3.0, 9.0)  # a softmax at large scale looks like a norm, at small scale it does not
SAMPLES = 4


class Behaviour(NamedTuple):
    """What a leaf module turned out to be; the family is None for an activation."""

    kind: str
    family: Family | None = None


def behaviour(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Behaviour | None:
    """What a leaf module does to its first tensor, or None where it is neither norm nor activation.

    The module is tried on random inputs in a copy, in float64 where it allows that: itself it is never called. Random
    draws happen in a fork of the random state.

    >>> class Tripled(nn.Module):
    ...     def forward(self, x):
    ...         return 3 * x
    >>> class Unit(nn.Module):
    ...     def forward(self, x):
    ...         return x / x.pow(2).mean(-1, keepdim=True).sqrt()
    >>> behaviour(Tripled(), (torch.randn(2, 8),), {}) is None
    True
    >>> behaviour(Unit(), (torch.randn(2, 8),), {})
    Behaviour(kind='norm', family='rms')
    """
    like = next(operands_of(args, kwargs), None)
    if like is None or not like.is_floating_point():
        return None
    if like.dim() < 2 or like.numel() < 4 or _too_heavy(module, like.shape):
        return None
    with random_states_kept(), torch.no_grad():
        for dtype in (torch.float64, like.dtype):
            for training in (module.training, True):
                try:
                    trial = _trial(module, args, kwargs, dtype, training=training)
                    found = _classify(trial, like, dtype, _inherited_family(module))
                except Exception:  # a copy that cannot be tried says nothing about the network
                    continue
                if found is not None:
                    return found
    return None


def _inherited_family(module: nn.Module) -> Family | None:
    kinds: list[tuple[type[nn.Module], Family]] = [
        (nn.modules.batchnorm._BatchNorm, "batch"),
        (nn.LayerNorm, "layer"),
        (nn.GroupNorm, "group"),
        (nn.modules.instancenorm._InstanceNorm, "instance"),
        (nn.RMSNorm, "rms"),
    ]
    return next((family for kind, family in reversed(kinds) if isinstance(module, kind)), None)


def _too_heavy(module: nn.Module, shape: torch.Size) -> bool:
    per_sample = shape[1:].numel()
    return sum(parameter.numel() for parameter in module.parameters()) > 4 * per_sample + 16


def _trial(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dtype: torch.dtype,
    *,
    training: bool,
) -> Callable[[Tensor], Tensor]:
    first = next(operands_of(args, kwargs))
    samples = min(len(first), SAMPLES)

    def cast(value: Any, x: Tensor) -> Any:
        if value is first:
            return x.clone()
        if isinstance(value, Tensor) and value.is_floating_point():
            same_batch = value.dim() and value.shape[0] == len(first)
            return (value[:samples] if same_batch else value).detach().to(dtype)
        return value

    def call(x: Tensor) -> Tensor:
        seed = (
            torch.default_generator.manual_seed if x.is_cpu else torch.manual_seed
        )  # which is slow
        seed(0)  # what is random must be the same function in every trial
        patient = copy.deepcopy(module).to(dtype).train(training)
        rest = {key: cast(value, x) for key, value in kwargs.items()}
        result = patient.forward(*(cast(value, x) for value in args), **rest)
        if not isinstance(result, Tensor) or result.shape != x.shape:
            raise TypeError("not a map of a tensor to one of its shape")
        return result.to(torch.float64)

    return call


def _close(first: Tensor, second: Tensor, tolerance: float) -> bool:
    scale = first.abs().amax().clamp_min(1e-30)
    return bool((first - second).abs().amax() <= tolerance * scale)


def _classify(
    call: Callable[[Tensor], Tensor], like: Tensor, dtype: torch.dtype, family: Family | None
) -> Behaviour | None:
    shape = (min(len(like), SAMPLES), *like.shape[1:])
    draws = torch.Generator().manual_seed(1)
    x, other = (torch.randn(shape, generator=draws, dtype=dtype).to(like.device) for _ in range(2))
    if _elementwise(call, x, other):
        return None if _affine(call, x) else Behaviour("activation")
    loose = 1e-4 if dtype == torch.float64 else 3e-2
    if not _close(call(SCALES[0] * x), call(SCALES[1] * x), loose):
        return None
    if not _close(call(SMALL_SCALES[0] * x), call(SMALL_SCALES[1] * x), 5e-2):
        return None
    result = call(x)
    if _close(result, call(other), 1e-2) or _saturated(result):
        return None
    return Behaviour("norm", family or _family(call, x))


def _saturated(result: Tensor) -> bool:
    """A function that has come to its bounds ignores the scale too, and is no norm for that."""
    return bool((result.abs() > 0.99 * result.abs().amax()).double().mean() > 0.5)


def _elementwise(call: Callable[[Tensor], Tensor], x: Tensor, other: Tensor) -> bool:
    kept = x + other < 0
    before, after = call(x), call(torch.where(kept, x, other))
    return bool((before == after)[kept].all()) and bool((before != after)[~kept].any())


def _affine(call: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    zero = call(torch.zeros_like(x))
    return all(
        _close(call(scale * x) - zero, scale * (call(x) - zero), 1e-3) for scale in (2.0, -1.0)
    )


def _family(call: Callable[[Tensor], Tensor], x: Tensor) -> Family:
    """By which elements feel a change of one, and whether a constant added everywhere is felt."""
    nudged = x.clone()
    nudged[(0,) * x.dim()] += 1.0
    felt = (call(nudged) - call(x)).abs() > 1e-9
    if felt[1:].any():
        return "batch"
    along = [bool(felt[0].transpose(0, axis)[1:].any()) for axis in range(x.dim() - 1)]
    if x.dim() > 3 and not along[0] and all(along[1:]):
        return "instance"
    if x.dim() > 2 and all(along) and not felt[0].flatten(1).any(1).all():
        return "group"
    return "layer" if _close(call(x), call(x + 1.0), 1e-3) else "rms"
