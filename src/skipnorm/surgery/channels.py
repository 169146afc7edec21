"""Norms of a signal whose channels stand anywhere: which module, and what scale and shift the old one had."""

import copy
import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from skipnorm.errors import SurgeryError
from skipnorm.networks.norms import MapNorm
from skipnorm.surgery.patient import Signal

__all__ = [
    "Kind",
    "Moved",
    "affine_of",
    "agree",
    "channel_of",
    "eps_of",
    "fresh_norm",
    "normalised",
]

Kind = Literal["batch", "layer", "group", "instance", "rms"]

GROUPS = 32
"""Groups of a group norm where nobody says otherwise (Wu & He 2018)."""


class Moved(nn.Module):
    """A norm that wants its channels second, of a signal that has them elsewhere.

    >>> Moved(nn.BatchNorm1d(2), dim=2)(torch.zeros(3, 5, 2)).shape
    torch.Size([3, 5, 2])
    """

    def __init__(self, norm: nn.Module, dim: int) -> None:
        super().__init__()
        self.norm, self.dim = norm, dim

    def forward(self, x: Tensor) -> Tensor:
        """The norm of the signal, with its channels where they were."""
        normed: Tensor = self.norm(x.movedim(self.dim, 1))
        return normed.movedim(1, self.dim).contiguous()

    def extra_repr(self) -> str:
        """Where the channels stand."""
        return f"channels in dimension {self.dim}"


def channel_of(signal: Signal) -> int:
    """The dimension that counts channels: the known one, else the second of maps and the last of all else."""
    rank = len(signal.shape)
    if signal.channels is not None and signal.channels < rank:
        return signal.channels
    return 1 if rank >= 4 else rank - 1


def fresh_norm(
    kind: Kind, signal: Signal, *, groups: int | None = None, eps: float = 1e-5, affine: bool = True
) -> nn.Module:
    """A new norm of a kind for such a signal, with scale 1 and shift 0 per channel.

    On maps (channels second), `layer` and `rms` take all channels and positions of a sample; where the channels
    are last, those of each position. `group` takes 32 groups, or the largest smaller number that divides the channels.

    Raises:
        SurgeryError: an instance norm of a signal without positions, or groups that do not divide the channels.
    """
    rank, dim = len(signal.shape), channel_of(signal)
    features = signal.shape[dim]
    if kind in ("layer", "rms"):
        if dim == rank - 1:
            if kind == "layer":
                return _like(signal, nn.LayerNorm(features, eps=eps, elementwise_affine=affine))
            return _like(signal, nn.RMSNorm(features, eps=eps, elementwise_affine=affine))
        made: nn.Module = MapNorm(kind, features, affine=affine, eps=eps)
    elif kind == "group":
        made = nn.GroupNorm(_groups(features, groups), features, eps=eps, affine=affine)
    elif kind == "batch":
        made = _by_rank(rank, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)(
            features, eps=eps, affine=affine
        )
    else:
        if rank < 3 or math.prod(signal.shape) == signal.shape[0] * features:
            raise SurgeryError(
                f"expected a signal with positions to take an instance norm over, found one of shape {signal.shape}. "
                "Try to='layer'."
            )
        made = _by_rank(rank, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)(
            features, eps=eps, affine=affine
        )
    return _like(signal, made if dim == 1 else Moved(made, dim))


def eps_of(norm: nn.Module) -> float:
    """What a norm adds to its variance, whatever it calls it; 1e-5 where it does not say."""
    for name in ("eps", "variance_epsilon", "epsilon"):
        value = getattr(norm, name, None)
        if isinstance(value, float | int):
            return float(value)
    return 1e-5


def _by_rank(rank: int, *kinds: type[nn.Module]) -> type[nn.Module]:
    if rank > 5:
        raise SurgeryError(f"expected a signal of at most 5 dimensions, found one of {rank}.")
    return kinds[max(rank - 3, 0)]


def _groups(features: int, wanted: int | None) -> int:
    if wanted is not None:
        if wanted < 1 or features % wanted:
            divisors = [each for each in range(1, features + 1) if features % each == 0]
            raise SurgeryError(
                f"expected groups that divide the {features} channels ({divisors}), found {wanted}."
            )
        return wanted
    return next(each for each in range(min(GROUPS, features), 0, -1) if features % each == 0)


def _like(signal: Signal, module: nn.Module) -> nn.Module:
    return module.to(device=signal.device, dtype=signal.dtype)


def normalised(x: Tensor, family: str, dim: int, *, groups: int = 1, eps: float = 0.0) -> Tensor:
    """A signal normalised as a family does it, without scale and shift.

    >>> normalised(torch.tensor([[3.0, 4.0]]), "rms", 1).square().mean().item()
    1.0
    """
    if family == "batch":
        return _whitened(x, [each for each in range(x.dim()) if each != dim], eps)
    if family == "instance":
        return _whitened(x, [each for each in range(1, x.dim()) if each != dim], eps)
    if family == "group":
        moved = x.movedim(dim, 1)
        parts = moved.reshape(moved.shape[0], groups, -1)
        return _whitened(parts, [2], eps).reshape(moved.shape).movedim(1, dim)
    over = [dim] if dim == x.dim() - 1 else list(range(1, x.dim()))
    if family == "rms":
        return x * torch.rsqrt(x.square().mean(over, keepdim=True) + eps)
    return _whitened(x, over, eps)


def _whitened(x: Tensor, over: list[int], eps: float) -> Tensor:
    centred = x - x.mean(over, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(over, keepdim=True) + eps)


def agree(module: nn.Module, plain: nn.Module, family: str, signal: Signal) -> bool:
    """Whether a norm is another one, but for scale and shift: tried on one random signal like the network's."""
    affine = affine_of(module, family, signal)
    if affine is None:
        return False
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(signal.shape, generator=generator, dtype=torch.float64).to(signal.device)
    per = [-1] + [1] * (x.dim() - 1 - channel_of(signal))
    with torch.no_grad():
        one, two = (copy.deepcopy(each).double().train()(x) for each in (module, plain))
        scale, shift = (each.double().view(per) for each in affine)
    return torch.allclose(one, two * scale + shift, rtol=1e-3, atol=1e-3)


def affine_of(module: nn.Module, family: str, signal: Signal) -> tuple[Tensor, Tensor] | None:
    """The scale and shift per channel that a norm module applies, or None if it is no such norm.

    Known by trial, whatever the module calls its parameters and however it reads them (Gemma's scale is 1 + weight):
    a float64 copy is run on random signals of large scale, and its output regressed on the plain
    normalised signal, channel by channel. Where the fit is not exact, there is no such scale and shift. Layer and RMS
    norms are tried over all of a map, and at each of its positions.
    """
    dim = channel_of(signal)
    trial = copy.deepcopy(module).double().to(signal.device).train()
    shape = [3] + [min(each, 5) for each in signal.shape[1:]]
    shape[dim] = signal.shape[dim]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, *shape, generator=generator, dtype=torch.float64).to(signal.device) * 1e4
    with torch.no_grad():
        try:
            outputs = [trial(each) for each in x]
        except Exception:
            return None
        if any(not isinstance(out, Tensor) or out.shape != x.shape[1:] for out in outputs):
            return None
        for plain in _plain(x, family, dim, getattr(module, "num_groups", 1)):
            found = _regressed(torch.stack(outputs), plain, dim + 1)
            if found is not None:
                named = [(each, found[at]) for at, each in enumerate(("weight", "bias"))]
                scale, shift = (_exactly(trial, *each) for each in named)
                return scale.to(signal.dtype), shift.to(signal.dtype)
    return None


def _plain(x: Tensor, family: str, dim: int, groups: int) -> Iterator[Tensor]:
    """Several signals, each normalised by itself, in the ways that a norm of this family may have."""
    yield torch.stack([normalised(each, family, dim, groups=groups) for each in x])
    if family in ("layer", "rms") and dim != x.dim() - 2:
        moved = x.movedim(dim + 1, -1)
        each_position = [normalised(each, family, each.dim() - 1) for each in moved]
        yield torch.stack(each_position).movedim(-1, dim + 1)


def _regressed(out: Tensor, plain: Tensor, dim: int) -> tuple[Tensor, Tensor] | None:
    channels = out.shape[dim]
    plain, out = (side.movedim(dim, 0).reshape(channels, -1) for side in (plain, out))
    centred = plain - plain.mean(1, keepdim=True)
    scale = (centred * out).sum(1) / centred.square().sum(1)
    shift = out.mean(1) - scale * plain.mean(1)
    misfit = (scale[:, None] * plain + shift[:, None] - out).abs().max()
    if not math.isfinite(float(misfit)) or float(misfit) > 1e-4 * float(out.abs().max() + 1e-12):
        return None
    return scale, shift


def _exactly(module: nn.Module, name: str, found: Tensor) -> Tensor:
    """The parameter that a regression has found, to the last bit, where it is one (or 1 more than one), or nothing."""
    held = getattr(module, name, None)
    candidates = [torch.full_like(found, 1.0 if name == "weight" else 0.0)]
    if isinstance(held, Tensor) and held.shape == found.shape:
        candidates = [held, 1 + held]
    for value in candidates:
        if torch.allclose(value, found, rtol=1e-4, atol=1e-4):
            return value.clone()
    return found
