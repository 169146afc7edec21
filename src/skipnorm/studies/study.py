"""What is compared: variants of a network on a task, trained or not, each with the same seeds."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from skipnorm.errors import StudyError, nearest

if TYPE_CHECKING:
    import xarray as xr

    from skipnorm.training.training import Training

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
    """One side of a comparison: a network on a task, how it learns, and what is kept of its reading.

    ``batch`` is how many samples a probe reads; ``dtype`` torch's default one while the network is
    built and the batch is drawn. ``reduce`` turns the measured dataset into a smaller one before it
    is stored (variants with different sites can then be compared along a shared dimension such as
    ``layer``). Write it as ``"pkg.module:function"`` or give a function of a module; a lambda has no
    name that another process could load.

    Args:
        training: how it learns; None measures it as it was built.
        rates: peak learning rates in place of the training's own, each a trial of its own with
            a label along the dimension ``rate``. Compare networks over a grid: a comparison at one
            rate compares rates as much as networks.
        operations: surgery on the built network, before any training.
        probes: what is read of this variant, in place of what the study reads.
        seeds: with how many of the study's seeds it is drawn, from the first on; all unless given.
            For a variant that is trained beside cheaper ones.

    Raises:
        StudyError: no sample or seed, an unknown precision, rates without training or not positive.
    """

    network: Buildable
    task: Askable
    batch: int = 128
    dtype: str = "float32"
    reduce: str | Callable[[xr.Dataset], xr.Dataset] | None = None
    training: Training | None = None
    rates: Sequence[float] = ()
    operations: Sequence[Any] = ()
    probes: Any = None
    seeds: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be built or trained; take sequences as tuples."""
        if self.seeds is not None and self.seeds < 1:
            raise StudyError(
                f"A variant is drawn once at least: expected seeds >= 1, found {self}."
            )
        if self.batch < 1:
            raise StudyError(f"A batch holds at least 1 sample: expected batch >= 1, found {self}.")
        if self.dtype not in DTYPES:
            raise StudyError(f"A network cannot be built in {nearest(self.dtype, DTYPES)}")
        several = isinstance(self.operations, Sequence)
        object.__setattr__(
            self, "operations", tuple(self.operations) if several else (self.operations,)
        )
        object.__setattr__(self, "rates", _rates(self.rates, self.training))
        object.__setattr__(self, "probes", _asked(self.probes))


@dataclass(frozen=True)
class Study:
    """Variants x seeds: every variant is drawn and measured with every seed, so effects are paired.

    ``seeds`` is any sequence of distinct numbers from 0 up, kept as a tuple. ``probes`` are those of
    `measure`, by name or by value, and beside them any that is asked of a whole network: by its
    verb's name (``"curvature"``), as the verb, as a `functools.partial` of it with settings, or a
    function ``(network, batch) -> xr.Dataset`` of your own. None stands for the default ones.

    ``at`` says after how many updates a network is read: numbers, ``"initial"``, ``"half"`` and
    ``"end"``, or a function from the last number to those, such as ``partial(log_spaced, count=8)``
    (`skipnorm.training.steps`). By default at the start and, where it learns, at the end.

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
    at: Any = ("initial", "end")

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
        object.__setattr__(self, "probes", _asked(self.probes))


def _seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    chosen = tuple(map(int, seeds)) if isinstance(seeds, Sequence) else ()
    if not chosen or len(set(chosen)) != len(chosen) or min(chosen) < 0:
        raise StudyError(
            "A study needs a sequence of distinct seeds from 0 up, such as range(20): "
            f"found {seeds!r}."
        )
    return chosen


def _rates(rates: Sequence[float], training: Training | None) -> tuple[float, ...]:
    chosen = tuple(map(float, rates))
    if chosen and training is None:
        raise StudyError(
            f"Learning rates need a training: expected Variant(..., training=sn.Training(...), "
            f"rates=...), found rates {chosen} and no training."
        )
    if len(set(chosen)) != len(chosen) or not all(0 < r < math.inf for r in chosen):
        raise StudyError(
            f"A grid of learning rates holds distinct positive numbers: found {rates!r}."
        )
    return chosen


def _asked(probes: Any) -> Any:
    """The same probes as values that another process can load: lists as tuples, verbs unwrapped."""
    if isinstance(probes, list | tuple):
        return tuple(map(_asked, probes))
    if isinstance(probes, partial):
        return partial(_asked(probes.func), *probes.args, **probes.keywords)
    return inspect.unwrap(probes) if inspect.isfunction(probes) else probes
