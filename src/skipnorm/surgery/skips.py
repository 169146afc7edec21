"""Skips cut, dropped or scaled: what meets at a sum, and in which proportion."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from skipnorm.anatomy.alter import Occasion
from skipnorm.anatomy.channels import channel_dimension
from skipnorm.anatomy.sites import Site, Skip
from skipnorm.errors import SurgeryError
from skipnorm.surgery.operation import Operation
from skipnorm.surgery.patient import Patient, Signal

__all__ = ["CutSkips", "DropBranches", "ScaleSkips"]


@dataclass(frozen=True, kw_only=True, repr=False)
class _OfSkips(Operation):
    changes: ClassVar[str] = "skips"

    def candidates(self, patient: Patient) -> Sequence[Site]:
        """Every skip."""
        return patient.anatomy.skips


@dataclass(frozen=True, kw_only=True, repr=False)
class CutSkips(_OfSkips):
    """Take the shortcuts out, so that only the residual branch goes on.

    The shortcut is removed and not multiplied by zero: no NaN of it reaches the output. In a concatenation zeros stand
    in its place. Applied twice it is an error: there is no such skip any more.

    >>> CutSkips(where="layer3.*")
    CutSkips(where='layer3.*')
    """

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Let the branch go on alone."""
        patient.gate({site: _Scaled(shortcut=0.0) for site in sites})


@dataclass(frozen=True, kw_only=True, repr=False)
class DropBranches(_OfSkips):
    """Take the residual branches out, so that each block becomes its shortcut: a lesion (Veit et al. 2016).

    The branch is still computed, but nothing of it goes on, no NaN and no gradient either. In a concatenation zeros
    stand in its place. Applied twice it is an error: there is no such skip any more.
    """

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Let the shortcut go on alone."""
        patient.gate({site: _Scaled(branch=0.0) for site in sites})


@dataclass(frozen=True, kw_only=True, repr=False)
class ScaleSkips(_OfSkips):
    """Multiply what comes by the shortcut, or by the branch, before the two meet.

    `ScaleSkips(branch=0.5)` scales by a constant; `branch=0` is a cut: the operand is removed. With `learnable`, each
    factor that is given becomes a parameter that starts there:

    - SkipInit (De & Smith 2020): `ScaleSkips(branch=1 / math.sqrt(blocks), learnable=True)`, or `branch=0`;
    - ReZero (Bachlechner et al. 2020): `ScaleSkips(branch=0, learnable=True)`;
    - LayerScale (Touvron et al. 2021): `ScaleSkips(branch=1e-6, learnable=True, per="channel")`;
    - stochastic depth (Huang et al. 2016): `ScaleSkips(drop=0.2)` drops the branch of each sample with that
      probability in training, and divides what is left by 0.8, so that evaluation stays as it is.

    Applied twice, the factors multiply. A learned factor costs one parameter a skip, or one a channel.

    Args:
        where, expect: see `Operation`.
        shortcut: factor of everything that came by a shortcut; None leaves it alone.
        branch: factor of everything else.
        learnable: whether the given factors are learned.
        per: one learned factor for the whole signal (`tensor`), or one for each `channel`.
        drop: probability, at least 0 and less than 1, that a sample goes without its branch in training.

    Raises:
        SurgeryError: nothing to do, a factor that is not finite, or a probability out of range.
    """

    shortcut: float | None = None
    branch: float | None = None
    learnable: bool = False
    per: Literal["tensor", "channel"] = "tensor"
    drop: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings that do nothing or make no sense."""
        super().__post_init__()
        given = [factor for factor in (self.shortcut, self.branch) if factor is not None]
        if not given and not self.drop:
            raise SurgeryError(
                "expected a factor, such as ScaleSkips(branch=0.5), or a drop probability; found neither."
            )
        if not all(math.isfinite(factor) for factor in given):
            raise SurgeryError(f"{self}: expected finite factors, found {given}.")
        if not 0 <= self.drop < 1:
            raise SurgeryError(
                f"{self}: expected drop to be at least 0 and less than 1, found {self.drop}. "
                "To drop every branch, try DropBranches()."
            )
        if self.learnable and not given:
            raise SurgeryError(f"{self}: expected a factor to learn, such as branch=0, found none.")
        if self.per not in ("tensor", "channel") or (self.per == "channel" and not self.learnable):
            raise SurgeryError(
                f"{self}: expected per='tensor', or per='channel' with learnable=True, found {self.per!r}."
            )

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Scale the terms where they meet."""
        signals = patient.signals(("shortcut", "branch")) if self.learnable else {}
        edits = {}
        for site in sites:
            factors: dict[str, float | str | None] = {}
            for port in ("shortcut", "branch"):
                value: float | None = getattr(self, port)
                factors[port] = value
                if value is not None and self.learnable:
                    learned = self._parameter(value, site, signals[site.name, port])
                    factors[port] = patient.hold(site, f"{port}_scale", learned)
            edits[site] = _Scaled(**factors, drop=self.drop)
        patient.gate(edits)

    def _parameter(self, value: float, site: Site, signal: Signal) -> nn.Parameter:
        size: tuple[int, ...] = ()
        if self.per == "channel":
            assert isinstance(site, Skip)
            shape = site.shape
            if site.merge == "concat":
                shape = signal.shape
                if len(site.shortcuts) > 1:
                    raise SurgeryError(
                        f"{self} at {site.name}: expected one shortcut to scale by channel, found a concatenation with "
                        f"{len(site.shortcuts)}. Try per='tensor'."
                    )
            dim = channel_dimension(torch.empty(shape, device="meta"), signal.channels)
            size = (shape[dim], *[1] * (len(shape) - 1 - dim))
        narrow = signal.dtype in (torch.float16, torch.bfloat16)
        precision = torch.float32 if narrow else signal.dtype
        return nn.Parameter(torch.full(size, value, dtype=precision, device=signal.device))


@dataclass(frozen=True)
class _Scaled:
    """The edit: each term times its factor (a number, or the name of a parameter), a zero factor left out."""

    shortcut: float | str | None = None
    branch: float | str | None = None
    drop: float = 0.0

    def __call__(self, at: Occasion) -> Tensor:
        assert isinstance(at.site, Skip)
        if at.into is not None and not self.drop:
            first, second = at.into
            one, two = (
                self.shortcut if place in at.site.shortcuts else self.branch for place in (0, 1)
            )
            if one != 0 and not isinstance(one, str) and not isinstance(two, str):
                return _summed_into(first, one, second, two)
        terms = parts = at.parts()
        factors = [
            self.shortcut if place in at.site.shortcuts else self.branch
            for place in range(len(parts))
        ]
        if self.drop:
            terms = [self._dropped(at, part, place) for place, part in enumerate(parts)]
        if at.site.merge == "concat":
            return at.join(
                [
                    torch.zeros_like(term) if factor == 0 else _times(at, term, factor)
                    for term, factor in zip(terms, factors, strict=True)
                ]
            )
        kept = [(t, factor) for t, factor in zip(terms, factors, strict=True) if factor != 0]
        return _whole(_sum(at, kept), parts, alone=len(kept) == 1)

    def _dropped(self, at: Occasion, part: Tensor, place: int) -> Tensor:
        assert isinstance(at.site, Skip)
        if place in at.site.shortcuts or not at.module.training:
            return part
        keep = 1 - self.drop
        mask = torch.rand(
            part.shape[:1] + (1,) * (part.dim() - 1), device=part.device, dtype=torch.float32
        )
        return torch.where(mask < keep, part / keep, torch.zeros_like(part))


def _summed_into(first: Tensor, one: float | None, second: Tensor, two: float | None) -> Tensor:
    """The scaled terms, both by constants, in the memory of the first: as the network itself writes there."""
    if one is not None:
        first.mul_(one)
    return first if two == 0 else first.add_(second, alpha=1 if two is None else two)


def _sum(at: Occasion, kept: Sequence[tuple[Tensor, float | str | None]]) -> Tensor:
    """The scaled terms together: in one pass where one of two has a constant factor."""
    if len(kept) == 2:
        (one, first), (two, second) = kept
        if first is None and isinstance(second, float | int):
            return torch.add(one, two, alpha=second)
        if second is None and isinstance(first, float | int):
            return torch.add(two, one, alpha=first)
    return at.join([_times(at, term, factor) for term, factor in kept])


def _times(at: Occasion, term: Tensor, factor: float | str | None) -> Tensor:
    if factor is None:
        return term
    if isinstance(factor, str):
        learned: Tensor = getattr(at.module, factor)
        return term * learned.to(term.dtype)
    return term * factor


def _whole(result: Tensor, parts: Sequence[Tensor], *, alone: bool) -> Tensor:
    """The result in the shape and the precision that the whole sum would have, sharing no memory with a term."""
    precision = parts[0].dtype
    for part in parts[1:]:
        if part.dtype != precision:
            precision = torch.promote_types(precision, part.dtype)
    if result.dtype != precision:
        result = result.to(precision)
    if not alone:
        return result
    shape = torch.broadcast_shapes(*(part.shape for part in parts))  # type: ignore[no-untyped-call]
    whole: Tensor = result.broadcast_to(shape).clone()
    return whole
