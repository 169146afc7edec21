"""The plain loop: a network is taught, and handed out on a schedule."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skipnorm.errors import TrainingError
from skipnorm.tasks.losses import Loss
from skipnorm.training.batches import batches_of
from skipnorm.training.checkpoint import Kept
from skipnorm.training.learner import Learner, finite
from skipnorm.training.state import Divergence, State
from skipnorm.training.steps import At, resolved
from skipnorm.training.training import Training

__all__ = ["Divergence", "State", "train"]


def train(
    network: nn.Module,
    task: Any,
    training: Training | None = None,
    *,
    seed: int,
    at: At = ("initial", "end"),
    loss: Loss = None,
    kept: str | Path | None = None,
    every: int | None = None,
) -> Iterator[State]:
    """How a network learns: the network itself, after each of the updates asked for.

    It is an ordinary loop over ``torch.optim``. The order of the samples and their augmentation depend
    on the task, the batch and the seed alone, so networks trained with one seed see the same samples; dropout and
    whatever else draws at random within the network has random states of its own. Between two states the
    global random states are the caller's, and whether a network is trained or measured in the meantime changes
    nothing of what comes after.

    A run that diverges stops there. One last state, whether its step is in `at` or not, says where and
    why: it counts the update that was lost, so that its step is no earlier state's.

    Args:
        network: the module, changed in place and put into training mode, on the training's device.
        task: one of `skipnorm.tasks` or of the same kind; or batches: a DataLoader, a list, or one batch.
        training: optimiser, rate, schedule, number of updates; the defaults of `Training` if None.
        seed: of the samples' order, their augmentation and the network's random draws.
        at: after which updates the network is handed out, see `skipnorm.training.steps.resolved`.
        loss: as `skipnorm.measure` takes it; the task's own unless given.
        kept: a file from which a run that was interrupted goes on bit for bit (on a CPU). Every
            state in `at` is handed out in any case, so the file serves only where it is no later than
            the first of them: ask for the states that are still missing. Give each run its own.
        every: after how many updates the file is written; a tenth of all unless given. It is also written
            where that takes longer than `skipnorm.training.checkpoint.PATIENCE` seconds.

    Raises:
        TrainingError: a training that cannot be done, an unknown step, or a file that cannot be written.
        ProbeError: no loss can be found.

    >>> bowl = nn.Linear(1, 1, bias=False)  # w^2 / 2 + a constant: w falls by the factor 1 - rate
    >>> _ = nn.init.ones_(bowl.weight)
    >>> def half_square(outputs, targets):
    ...     return (outputs - targets).square().sum() / 2
    >>> data, plan = (torch.ones(1, 1), torch.zeros(1, 1)), Training(steps=2, rate=0.5)
    >>> for state in train(bowl, data, plan, seed=0, at=(0, 1, "end"), loss=half_square):
    ...     print(state.step, bowl.weight.item(), state.losses)
    0 1.0 []
    1 0.5 [0.5]
    2 0.25 [0.5   0.125]
    """
    chosen = training or Training()
    steps = resolved(at, chosen.steps)
    cadence = max(1, chosen.steps // 10) if every is None else every
    if cadence < 1:
        raise TrainingError(f"expected every as a number of updates from 1 up, found {every!r}.")
    with torch.inference_mode(False):
        batches = batches_of(task, chosen.batch, seed, chosen.device)
        own = getattr(task, "loss", None) if loss is None else loss
        learner = Learner(network, batches, chosen, own, seed)
    file = None if kept is None else Kept(Path(kept), learner, seed)
    return _states(learner, steps, file, cadence)


def _states(
    learner: Learner, steps: tuple[int, ...], file: Kept | None, cadence: int
) -> Iterator[State]:
    notes: tuple[str, ...] = ()
    with learner.alone():
        if file is not None:
            notes = file.resume(steps[0])
        learner.check()
    for step in steps:
        with learner.alone():
            _until(step, learner, file, cadence)
            if file is not None and step == steps[-1] and learner.step:
                file.write()
        yield from _handed_out(learner.state(notes))
        if learner.diverged is not None:
            return


def _until(step: int, learner: Learner, file: Kept | None, cadence: int) -> None:
    while learner.step < step and learner.diverged is None:
        learner.advance()
        if file is None or learner.diverged is not None:
            continue
        if learner.step % cadence == 0:
            learner.check()
            if learner.diverged is None:
                file.write()
        elif file.is_due and finite(learner.parameters):  # looking on changes nothing of the run
            file.write()
    learner.check()


def _handed_out(state: State) -> Iterator[State]:
    """The state, with the modes of its modules as they were when it comes back."""
    modes = [(module, module.training) for module in state.network.modules()]
    yield state
    for module, mode in modes:
        module.training = mode
