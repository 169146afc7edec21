"""How a network is taught: one frozen value, read without torch."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from skipnorm.errors import TrainingError, nearest

__all__ = ["PRECISIONS", "SCHEDULES", "Training"]

SCHEDULES = ("constant", "linear", "cosine", "step", "one_cycle")
"""The courses of the learning rate that are known by name."""

PRECISIONS = ("full", "bf16", "fp16")
"""What a forward pass computes in: the network's own precision, or by autocast."""


@dataclass(frozen=True, repr=False)
class Training:
    """How a network is taught: optimiser, learning rate and its course, for how many updates.

    Args:
        steps: the number of updates.
        rate: the learning rate at its peak.
        batch: samples per update, drawn without replacement until less than a batch is left.
            Not read where `train` is given batches.
        optimizer: the name of a class of ``torch.optim`` in any case (``"sgd"``, ``"adamw"``), or
            ``"pkg.module:function"``, or a function ``(parameters, lr=..., **settings)``.
        settings: what the optimiser is told besides, such as ``{"momentum": 0.9}``.
        schedule: how the rate falls from its peak: ``"constant"``; ``"linear"`` or ``"cosine"`` to
            zero; ``"step"``, by ``gamma`` at each of ``milestones``; ``"one_cycle"`` (Smith 2018,
            the momentum left as it is); or a function, or ``"pkg.module:function"``, from the share
            of the steps done to a factor.
        warmup: updates in which the rate rises to its peak by equal steps, which is reached at
            update number ``warmup`` counted from 0 (Goyal 2017); of a ``"one_cycle"`` those of its
            rise, 0.3 of all where it is 0.
        milestones: shares of the steps at which the schedule ``"step"`` falls (He 2016: 1/2, 3/4).
        gamma: the factor by which it falls.
        clip: the largest norm of the whole gradient; None leaves it as it is (Pascanu 2013).
        precision: ``"full"``, or ``"bf16"`` or ``"fp16"`` by autocast; the loss is scaled for
            ``"fp16"`` on a GPU.
        device: where it is trained, as torch names it.
        blow_up: a run whose loss is above this has diverged; one that is not finite has in any case.

    Raises:
        TrainingError: a name that is unknown, a number out of its range, or settings that do not
            go together.

    >>> Training(steps=500, optimizer="SGD", settings={"momentum": 0.9})
    Training(steps=500, settings=(('momentum', 0.9),))
    """

    steps: int = 1000
    rate: float = 0.1
    batch: int = 128
    optimizer: str | Callable[..., Any] = "sgd"
    settings: Mapping[str, Any] | tuple[tuple[str, Any], ...] = ()
    schedule: str | Callable[[float], float] = "constant"
    warmup: int = 0
    milestones: tuple[float, ...] = (0.5, 0.75)
    gamma: float = 0.1
    clip: float | None = None
    precision: str = "full"
    device: str = "cpu"
    blow_up: float = math.inf

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Bring equal values to equal text; refuse what makes no sense."""
        for name in ("steps", "batch", "warmup"):
            object.__setattr__(self, name, _whole(name, getattr(self, name)))
        for name in ("rate", "gamma", "blow_up"):
            object.__setattr__(self, name, _positive(name, getattr(self, name)))
        if self.clip is not None:
            object.__setattr__(self, "clip", _positive("clip", self.clip))
        object.__setattr__(self, "milestones", _milestones(self.milestones))
        object.__setattr__(self, "settings", _pairs(self.settings))
        object.__setattr__(self, "optimizer", _optimizer(self.optimizer))
        object.__setattr__(self, "device", str(self.device))
        if isinstance(self.schedule, str) and ":" not in self.schedule:
            _known("schedule", self.schedule, SCHEDULES)
        _known("precision", self.precision, PRECISIONS)
        self._together()

    def _together(self) -> None:
        if not math.isfinite(self.rate) or self.batch < 1:
            raise TrainingError(
                f"expected a finite rate and a batch of at least 1, found {self!r}."
            )
        if self.warmup > self.steps:
            raise TrainingError(
                f"expected a warm-up of at most {self.steps} steps, found {self.warmup}."
            )
        if self.schedule == "one_cycle" and not 1 < self.rise < self.steps - 1:
            raise TrainingError(
                f"expected a cycle that rises for more than 1 step and then falls, found a rise of "
                f"{self.rise:g} of {self.steps} steps. Take more steps, or another warmup."
            )

    @property
    def rise(self) -> float:
        """For how many updates the rate rises.

        >>> Training(steps=100, schedule="one_cycle").rise, Training(warmup=7).rise
        (30.0, 7)
        """
        cycles = self.schedule == "one_cycle" and not self.warmup
        return 0.3 * self.steps if cycles else self.warmup

    @property
    def options(self) -> dict[str, Any]:
        """The optimiser's settings as a dictionary of its own."""
        return dict(self.settings)

    def with_rate(self, rate: float) -> Training:
        """The same training at another learning rate.

        >>> Training(steps=5).with_rate(1)
        Training(steps=5, rate=1.0)
        """
        return replace(self, rate=rate)

    def __repr__(self) -> str:
        """The canonical text: what differs from the defaults; functions by where they live."""
        named = ((field, getattr(self, field.name)) for field in fields(self))
        chosen = [
            f"{field.name}={_text(value)}" for field, value in named if value != field.default
        ]
        return f"{type(self).__name__}({', '.join(chosen)})"


def _text(value: Any) -> str:
    name = getattr(value, "__qualname__", None)
    return f"{value.__module__}:{name}" if name else repr(value)


def _whole(name: str, value: Any) -> int:
    try:
        found = operator.index(value)
    except TypeError:
        found = -1
    if found < 0:
        raise TrainingError(f"expected {name} as a whole number from 0 up, found {value!r}.")
    return found


def _positive(name: str, value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not found > 0:
        raise TrainingError(f"expected {name} as a number above 0, found {value!r}.")
    return found


def _milestones(shares: Any) -> tuple[float, ...]:
    try:
        found = tuple(float(share) for share in shares)
    except (TypeError, ValueError):
        found = (math.nan,)
    if not all(0 < share < 1 for share in found) or list(found) != sorted(set(found)):
        raise TrainingError(
            f"expected milestones as rising shares of the steps, such as (0.5, 0.75), found {shares!r}."
        )
    return found


def _pairs(settings: Any) -> tuple[tuple[str, Any], ...]:
    try:
        pairs = dict(settings)
    except (TypeError, ValueError):
        raise TrainingError(
            f"expected the optimiser's settings as a dict such as {{'momentum': 0.9}}, found {settings!r}."
        ) from None
    if "lr" in pairs:
        raise TrainingError(
            f"expected the learning rate as rate={pairs['lr']!r}, found it in settings."
        )
    lists = {name: tuple(value) for name, value in pairs.items() if isinstance(value, list)}
    return tuple(sorted((pairs | lists).items()))


def _optimizer(optimizer: Any) -> str | Callable[..., Any]:
    """A name in small letters, also for a class of torch.optim; another function as it is."""
    if isinstance(optimizer, str):
        return optimizer if ":" in optimizer else optimizer.lower()
    if isinstance(optimizer, type) and optimizer.__module__.startswith("torch.optim."):
        return optimizer.__name__.lower()
    if not callable(optimizer):
        raise TrainingError(
            f"expected an optimiser's name or a function (parameters, lr=...), found {optimizer!r}."
        )
    made: Callable[..., Any] = optimizer
    return made


def _known(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise TrainingError(f"{name}: {nearest(str(value), choices)}")
