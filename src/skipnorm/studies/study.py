"""What is compared: variants of a network on a task, each drawn with the same seeds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from skipnorm.errors import StudyError, nearest

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Askable", "Buildable", "Study", "Variant"]


DTYPES = ("float32", "float64", "float16", "bfloat16")


class Buildable(Protocol):
    """A recipe of any class: frozen; equal recipe and seed give equal weights."""

    def build(self, seed: int) -> Any:
        """A fresh network whose weights depend on nothing but the recipe and the seed."""


class Askable(Protocol):
    """A task of any class: samples and a loss."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    @property
    def loss(self) -> Any:
        """A name, a callable ``(outputs, targets) -> scalar``, or None."""

    def batch(self, size: int, seed: int) -> Any:
        """``size`` samples, the same ones for the same seed."""


@dataclass(frozen=True)
class Variant:
    """One side of a comparison: a network on a task, and what of its measurement to keep.

    ``dtype`` is torch's default one while the network is built and the batch is drawn.
    ``reduce`` turns the measured dataset into a smaller one before it is stored (variants with
    different sites can then be compared along a shared dimension such as ``layer``). Write it as
    ``"pkg.module:function"`` or give a function of a module; a lambda has no name that another
    process could load.
    """

    network: Buildable
    task: Askable
    batch: int = 128
    dtype: str = "float32"
    reduce: str | Callable[[xr.Dataset], xr.Dataset] | None = None

    def __post_init__(self) -> None:
        """Refuse an empty batch and an unknown precision."""
        if self.batch < 1:
            raise StudyError(f"A batch holds at least 1 sample: expected batch >= 1, found {self}.")
        if self.dtype not in DTYPES:
            raise StudyError(f"A network cannot be built in {nearest(self.dtype, DTYPES)}")


@dataclass(frozen=True)
class Study:
    """Variants x seeds: every variant is drawn and measured with every seed, so effects are paired.

    ``seeds`` is any sequence of distinct numbers from 0 up, kept as a tuple. ``probes`` as
    `measure` takes them; None stands for the default ones.

    Raises:
        StudyError: no variant, no seed, a repeated seed, or a name that cannot be a folder.

    >>> study = Study("depth", {"plain": Variant(network=None, task=None)}, seeds=range(3))
    >>> study.seeds
    (0, 1, 2)
    """

    name: str
    variants: Mapping[str, Variant]
    seeds: Sequence[int] = range(20)
    probes: Any = None

    def __post_init__(self) -> None:
        """Take the mapping and the seeds as values of its own."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise StudyError(
                "A study's name is a folder's name: expected letters, digits, '.', '_' and '-', "
                f"found {self.name!r}."
            )
        if not self.variants:
            raise StudyError(f"The study {self.name!r} compares nothing: give it a variant.")
        object.__setattr__(self, "variants", dict(self.variants))
        object.__setattr__(self, "seeds", _seeds(self.seeds))
        if isinstance(self.probes, list):
            object.__setattr__(self, "probes", tuple(self.probes))


def _seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    chosen = tuple(map(int, seeds)) if isinstance(seeds, Sequence) else ()
    if not chosen or len(set(chosen)) != len(chosen) or min(chosen) < 0:
        raise StudyError(
            "A study needs a sequence of distinct seeds from 0 up, such as range(20): "
            f"found {seeds!r}."
        )
    return chosen
