"""The networks of a trial: as they were built, and after as many updates as are asked for.

Beside the evidence, a folder keeps the states of every training under its training key:
``states/<key>/step-N.pt``, from which a run can go on. Whatever asks for the same training finds them there.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skipnorm.studies.claims import take as claimed
from skipnorm.studies.plan import Trial
from skipnorm.studies.sowing import sow

if TYPE_CHECKING:
    from skipnorm.training.state import State
    from skipnorm.training.training import Training

__all__ = ["fresh", "states_folder", "visits"]

_BETWEEN = 2000
"""Updates, at the least, between two checkpoints of a run on its way; it is kept by the clock as well."""

_PAUSE = 0.2
"""Seconds between two looks at a training that another process has in hand."""


def states_folder(folder: Path, states: Path | None = None) -> Path:
    """Where the states of trainings are kept: within a study's folder unless a shared one is given."""
    return folder / "states" if states is None else states


def fresh(trial: Trial) -> Any:
    """The network of a trial before its first update: built, and operated upon where so asked."""
    variant = trial.variant
    sow(trial.seed)
    network = variant.network.build(trial.seed)
    if variant.operations:
        network = _operated(trial, network)
    if variant.training is not None:
        network = network.to(variant.training.device).train()
    return network


def visits(
    trial: Trial, steps: Sequence[int], states: Path | None
) -> Iterator[tuple[Any, State | None]]:
    """The network at each of these steps in rising order, with what its training says of it.

    A state that is kept is loaded; one that is not is trained for, from the nearest that is, and kept.
    A run that has diverged ends the visits: its last state says so, whatever its step.

    Args:
        trial: which network, task, training and seed.
        steps: numbers of updates; at 0 there is no training to say anything.
        states: the folder of all states; None keeps none.
    """
    if 0 in steps:
        yield fresh(trial), None
    later = tuple(step for step in steps if step > 0)
    if states is None:
        found = _trained(trial, later, None) if later else iter(())
    else:
        found = (_kept(trial, step, states / trial.training_key) for step in later)
    for state in found:
        yield state.network, state
        if state.diverged is not None:
            return


def _kept(trial: Trial, step: int, place: Path) -> State:
    """One state, by way of its file: a file of an earlier step is where the run begins."""
    path = place / f"step-{step}.pt"
    with _alone_at(place / "claim"):
        nearest = _nearest(place, step)
        if not path.exists() and nearest is not None:
            _copy(nearest, path)
        return next(_trained(trial, (step,), path))


def _trained(trial: Trial, steps: tuple[int, ...], kept: Path | None) -> Iterator[State]:
    from skipnorm.training.train import train

    variant = trial.variant
    training: Training = variant.training  # type: ignore[assignment]
    every = max(training.steps // 10, _BETWEEN)
    return train(
        fresh(trial), variant.task, training, seed=trial.seed, at=steps, kept=kept, every=every
    )


def _nearest(place: Path, step: int) -> Path | None:
    """The file of the latest state before a step."""
    found = {int(path.stem.removeprefix("step-")): path for path in place.glob("step-*.pt")}
    return max(((at, path) for at, path in found.items() if at < step), default=(0, None))[1]


def _copy(source: Path, target: Path) -> None:
    """The same content under another name: by a link where that is possible; files are replaced, not altered."""
    try:
        os.link(source, target)
    except OSError:
        draft = target.with_name(f".{target.name}.{os.getpid()}.part")
        shutil.copyfile(source, draft)
        draft.replace(target)


@contextmanager
def _alone_at(place: Path) -> Iterator[None]:
    """Wait until no other process is at this training, then keep others out."""
    while (claim := claimed(place)) is None:
        time.sleep(_PAUSE)
    with claim:
        yield


def _operated(trial: Trial, network: Any) -> Any:
    from skipnorm.surgery import operate
    from skipnorm.tasks.losses import inputs_of

    variant = trial.variant
    size = variant.batch if variant.training is None else variant.training.batch
    args, named, _ = inputs_of(variant.task.batch(size, trial.seed))
    sow(trial.seed)
    return operate(network, *variant.operations, inputs=named or args, keep_original=False)
