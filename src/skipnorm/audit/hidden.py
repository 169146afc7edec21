"""What a hand-written norm takes its statistics over, found by trying a copy of it."""

import copy

import torch
from torch import Tensor, nn

from skipnorm.anatomy.preserve import random_states_kept

__all__ = ["Spread", "spread_of"]

Spread = tuple[frozenset[int], int, bool, frozenset[int]]
_LARGE = 1e4  # so that eps does not matter


def spread_of(module: nn.Module, shape: tuple[int, ...], channel: int) -> Spread | None:
    """Over which dimensions, in how many groups, whether centred, and along which dimensions the affine part varies.

    A copy is tried in float64 on random input: one element is nudged, and what feels it is the set over which
    a statistic is taken. None where the module is not understood: it cannot be tried, a dimension is felt in part, or
    it does more than to normalise over that set and to scale and shift each channel.

    >>> spread_of(nn.RMSNorm(6), (2, 5, 6), channel=2)
    (frozenset({2}), 1, False, frozenset({2}))
    """
    small = [max(2, min(each, 5)) for each in shape]
    small[channel] = shape[channel]
    if shape[channel] < 2:
        return None
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(small, generator=draws, dtype=torch.float64) * _LARGE
    with random_states_kept(), torch.no_grad():
        try:
            trial = copy.deepcopy(module).double().cpu().train()
            plain = _tried(trial, x)
            over = _felt(trial, x, plain)
            shifted = _tried(trial, x + _LARGE)
        except Exception:  # a module that cannot be tried is not understood
            return None
    centred = torch.allclose(shifted, plain, rtol=0, atol=1e-3)
    if not over or not _is_affine(x, plain, over, channel, centred=centred):
        return None
    return over, 1, centred, frozenset({channel})


def _tried(trial: nn.Module, x: Tensor) -> Tensor:
    result = copy.deepcopy(trial)(x.clone())
    if not isinstance(result, Tensor) or result.shape != x.shape:
        raise TypeError("expected a map of a tensor to one of its shape")
    return result.double()


def _felt(trial: nn.Module, x: Tensor, plain: Tensor) -> frozenset[int]:
    """The dimensions along all of which the change of one element is felt; none where one is felt in part."""
    nudged = x.clone()
    nudged[(0,) * x.dim()] += _LARGE
    felt = (_tried(trial, nudged) - plain).abs() > 1e-9
    over = frozenset(dim for dim in range(x.dim()) if bool(felt.transpose(0, dim)[1:].any()))
    corner = tuple(slice(None) if dim in over else slice(0, 1) for dim in range(x.dim()))
    whole = bool(felt[corner].all()) and int(felt.sum()) == felt[corner].numel()
    return over if whole else frozenset()


def _is_affine(
    x: Tensor, out: Tensor, over: frozenset[int], channel: int, *, centred: bool
) -> bool:
    """Whether the output is the normalised input, scaled and shifted by the channel."""
    dims = sorted(over)
    moved = x - x.mean(dims, keepdim=True) if centred else x
    plain = moved * moved.square().mean(dims, keepdim=True).rsqrt()
    plain, out = (each.movedim(channel, 0).flatten(1) for each in (plain, out))
    rest = plain - plain.mean(1, keepdim=True)
    scale = (rest * out).sum(1, keepdim=True) / rest.square().sum(1, keepdim=True)
    shift = (out - scale * plain).mean(1, keepdim=True)
    misfit = (scale * plain + shift - out).abs().max()
    return bool(misfit <= 1e-4 * out.abs().max())
