"""What each norm, shortcut and branch of a trained network is worth without training it again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.audit.arms import removal_of
from skipnorm.audit.groups import Group
from skipnorm.errors import SkipnormError, StudyError
from skipnorm.evidence.summaries import student

if TYPE_CHECKING:
    from torch import nn

    from skipnorm.anatomy.sites import Anatomy
    from skipnorm.audit.costs import Cost

__all__ = ["Lesions", "Price", "lesions_of", "loaded"]

_BATCHES, _SIZE = 8, 128
_KEYS = ("state_dict", "model_state_dict", "model", "network")
"""Under which names a checkpoint may hold the weights."""

FADED = 0.01
"""A gain, or a branch against its shortcut, below this does next to nothing."""


@dataclass(frozen=True)
class Price:
    """What taking a group out of the trained network costs, with 95 % intervals over batches.

    `loss` rises and `accuracy` falls by this; accuracy is NaN where answers are no classes.
    """

    group: str
    sites: int
    loss: tuple[float, float, float]
    accuracy: tuple[float, float, float]


@dataclass(frozen=True)
class Lesions:
    """What a checkpoint says.

    Attributes:
        loss, accuracy: of the trained network, on its validation samples.
        prices: of each group that could be taken out.
        faded: norms of which a tenth or more of the gains are below 0.01 of their largest, with the share.
        idle: skips whose branch is less than 0.01 of the shortcut in size, with the ratio.
        folded: batch norms that can be folded into the layer before them, exactly.
        before, after: costs before and after folding; None where nothing folds.
        notes: what could not be measured.
    """

    loss: float
    accuracy: float
    prices: tuple[Price, ...]
    faded: tuple[tuple[str, float], ...]
    idle: tuple[tuple[str, float], ...]
    folded: tuple[str, ...]
    before: Cost | None
    after: Cost | None
    notes: tuple[str, ...]


def loaded(network: nn.Module, checkpoint: str | Path) -> nn.Module:
    """The network with the weights of a file: a state dict, or a dict that holds one.

    Raises:
        StudyError: no such file, or weights of another network.
    """
    import torch

    path = Path(checkpoint)
    if not path.is_file():
        raise StudyError(f"There is no checkpoint {str(path)!r}: expected a file of torch.save.")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise StudyError(
            f"The checkpoint {str(path)!r} cannot be read as plain weights: {error}. Save "
            "network.state_dict() with torch.save."
        ) from error
    for key in _KEYS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    try:
        network.load_state_dict(found)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise StudyError(
            f"The checkpoint {str(path)!r} does not fit {type(network).__name__}: {error}"
        ) from error
    return network


def lesions_of(network: nn.Module, task: Any, groups: Sequence[Group], anatomy: Anatomy) -> Lesions:
    """Prices of all groups and of every single site, faded gains, idle branches, and what folds.

    The network is looked at in evaluation mode; each lesion has its running statistics estimated
    anew from the batch, where it has such.
    """
    batches = _batches(task)
    network.eval()
    whole = _scores(network, batches, task.loss)
    prices, notes = _prices(
        network, batches, task.loss, [*groups, *_alone(groups, anatomy)], anatomy, whole
    )
    folded, before, after = _folded(network, batches[0], task.loss)
    return Lesions(
        float(np.mean(whole[:, 0])),
        float(np.mean(whole[:, 1])),
        tuple(prices),
        _faded(network, batches[0]),
        _idle(network, batches[0], task.loss),
        folded,
        before,
        after,
        tuple(notes),
    )


def _batches(task: Any) -> list[Any]:
    from skipnorm.errors import TaskError

    count = getattr(task, "count", None)
    for split in ("validation", "test", "train"):
        try:
            size = min(_SIZE, max(2, count(split) // _BATCHES)) if count else _SIZE
            return [task.batch(size, seed, split=split) for seed in range(_BATCHES)]
        except (TaskError, TypeError):
            continue
    return [task.batch(_SIZE, seed) for seed in range(_BATCHES)]


def _scores(network: nn.Module, batches: Sequence[Any], loss: Any) -> np.ndarray:
    """Loss and accuracy of each batch."""
    from skipnorm.studies.verbs import scores

    rows = []
    for batch in batches:
        found = scores(network, batch, loss=loss, statistics="recalibrated", shift=False)
        rows.append([float(found["loss"]), float(found.get("accuracy", math.nan))])
    return np.array(rows)


def _alone(groups: Sequence[Group], anatomy: Anatomy) -> list[Group]:
    """Every site by itself, as far as it belongs to a group and is not asked about already."""
    known = {(group.kind, group.sites) for group in groups}
    allowed = {name for group in groups for name in group.sites}
    found = []
    for kind, sites in (
        ("norms", anatomy.norms),
        ("shortcuts", anatomy.skips),
        ("branches", anatomy.skips),
    ):
        word = kind.removesuffix("s") if kind != "branches" else "branch"
        for site in sites:
            if site.name in allowed and (kind, (site.name,)) not in known:
                found.append(Group(f"{word} {site.name}", kind, (site.name,), 2))  # type: ignore[arg-type]
    return found


def _prices(
    network: nn.Module,
    batches: Sequence[Any],
    loss: Any,
    groups: Sequence[Group],
    anatomy: Anatomy,
    whole: np.ndarray,
) -> tuple[list[Price], list[str]]:
    from skipnorm.surgery import operate
    from skipnorm.tasks.losses import inputs_of

    args, named, _ = inputs_of(batches[0])
    prices, notes = [], []
    for group in groups:
        try:
            altered = operate(
                network, removal_of(group, anatomy), inputs=named or args, keep_original=False
            )
            cost = _scores(altered, batches, loss) - whole
        except SkipnormError as error:
            notes.append(f"{group.name}: {error}")
            continue
        prices.append(
            Price(group.name, len(group.sites), _interval(cost[:, 0]), _interval(-cost[:, 1]))
        )
    return prices, notes


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    if not np.isfinite(values).all():
        middle = float(np.median(values)) if not np.isnan(values).any() else math.nan
        return middle, float(values.min()), float(values.max())
    centre, low, high = student(values, 0.95, "linear")
    return float(centre), float(low), float(high)


def _faded(network: nn.Module, batch: Any) -> tuple[tuple[str, float], ...]:
    """Norms of which many gains are next to nothing."""
    from skipnorm.studies.verbs import activation

    try:
        found = activation(network, batch)
    except SkipnormError:
        return ()
    gains = np.abs(found["unit_gain"].values)
    rows = []
    for name, row in zip(found["site"].values, gains, strict=True):
        known = row[np.isfinite(row)]
        if (
            known.size
            and known.max() > 0
            and (share := float((known < FADED * known.max()).mean())) >= 0.1
        ):
            rows.append((str(name), share))
    return tuple(rows)


def _idle(network: nn.Module, batch: Any, loss: Any) -> tuple[tuple[str, float], ...]:
    """Skips whose branch is next to nothing beside the shortcut."""
    from skipnorm.studies.verbs import paths

    try:
        found = paths(network, batch, loss=loss, walks=0, deleted=(), swaps=(), draws=1)
    except SkipnormError:
        return ()
    pairs = zip(found["site"].values, found["branch_ratio"].values, strict=True)
    return tuple((str(name), float(ratio)) for name, ratio in pairs if ratio < FADED)


def _folded(
    network: nn.Module, batch: Any, loss: Any
) -> tuple[tuple[str, ...], Cost | None, Cost | None]:
    """Which norms fold away exactly, and what that saves."""
    from skipnorm.audit.costs import costs_of
    from skipnorm.surgery import FoldNorm, operate, operations_of
    from skipnorm.tasks.losses import inputs_of

    args, named, _ = inputs_of(batch)
    try:
        folded = operate(network, FoldNorm(), inputs=named or args, keep_original=False)
    except SkipnormError:
        return (), None, None
    names = tuple(name for done in operations_of(folded) for name in done.sites)
    costs = costs_of({"before": network, "after": folded}, batch, loss)
    network.eval()
    return names, costs["before"], costs["after"]
