"""One network on its way: what is needed to make the next update, and nothing else."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skipnorm.tasks.losses import Loss, inputs_of, loss_of
from skipnorm.training.batches import Source
from skipnorm.training.draws import Draws
from skipnorm.training.optimizer import optimizer_of, schedule_of
from skipnorm.training.order import NOISE, number
from skipnorm.training.state import Divergence, State
from skipnorm.training.training import Training

__all__ = ["Learner"]


class Learner:
    """A network, its optimiser and its batches, after ``step`` updates, one that was lost included."""

    def __init__(
        self, network: nn.Module, batches: Source, training: Training, loss: Loss, seed: int
    ) -> None:
        self.network, self.batches, self.training = network.to(training.device), batches, training
        self.parameters = [each for each in network.parameters() if each.requires_grad]
        self.optimizer = optimizer_of(training, self.parameters)
        self.schedule = schedule_of(training, self.optimizer)
        self.scaler = scaler_of(training)
        self.draws = Draws(number(seed, NOISE), training.device)
        self.step = 0
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.diverged: Divergence | None = None
        self.batch: Any = None
        self._loss, self._autocast = loss, autocast_of(training)
        network.train()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Random states of its own, and gradients whatever the caller does without."""
        with self.draws(), torch.inference_mode(False), torch.enable_grad():
            yield

    def advance(self) -> None:
        """One update, as in any plain loop."""
        self.batch = self.batches(self.step)
        args, named, targets = inputs_of(self.batch)
        with self._autocast():
            loss = loss_of(self.network(*args, **named), targets, self._loss)
        self.losses.append(value := loss.item())
        self.rates.append(float(self.optimizer.param_groups[0]["lr"]))
        if not value <= self.training.blow_up or math.isinf(value):
            self._lost(value)
            return
        self.optimizer.zero_grad()  # not before: the gradients tell why a loss was lost
        self._follow(loss)
        self.step += 1

    def _follow(self, loss: Tensor) -> None:
        if self.scaler is not None:
            self._follow_scaled(loss)
        else:
            torch.autograd.backward(loss)
            if self.training.clip is not None and not self._clip(self.training.clip):
                self.diverged = Divergence(self.step, "gradient")
                return
            self.optimizer.step()
        if self.schedule is not None:
            with _silent() if self.scaler is not None and not self.step else nullcontext():
                self.schedule.step()

    def _follow_scaled(self, loss: Tensor) -> None:
        """A step whose scaled gradient overflows is left out, and the scale lowered.

        Where it overflows without being scaled up, no lower scale would mend it: left out for ever,
        the updates would make a run that diverged look like one that stands still.
        """
        assert self.scaler is not None
        scale = self.scaler.get_scale()
        torch.autograd.backward(self.scaler.scale(loss))
        if self.training.clip is not None:
            self.scaler.unscale_(self.optimizer)
            self._clip(self.training.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.get_scale() < scale <= 1:
            self.diverged = Divergence(self.step, "gradient")

    def _clip(self, largest: float) -> bool:
        """Shorten the gradient; whether it was finite."""
        gradients = self._gradients()
        norm = nn.utils.get_total_norm(gradients)
        if not math.isfinite(norm.item()):
            if not finite(gradients):
                return False
            norm = nn.utils.get_total_norm([each.double() for each in gradients])
        nn.utils.clip_grads_with_norm_(self.parameters, largest, norm)
        return True

    def check(self) -> None:
        """Look at the parameters, which are not looked at in every step."""
        if self.diverged is None and not finite(self.parameters):
            self.diverged = self._broken()

    def _lost(self, value: float) -> None:
        if not finite(self.parameters):
            self.diverged = self._broken()
        else:
            self.diverged = Divergence(self.step, "blow_up" if math.isfinite(value) else "loss")
            self.step += 1

    def _broken(self) -> Divergence:
        """The parameters are not finite: the last update did it, whose gradients are still there."""
        del self.losses[self.step :], self.rates[self.step :]
        last = max(self.step - 1, 0)
        return Divergence(last, "parameters" if finite(self._gradients()) else "gradient")

    def _gradients(self) -> list[Tensor]:
        return [each.grad for each in self.parameters if each.grad is not None]

    def state(self, notes: tuple[str, ...] = ()) -> State:
        """The network as it is, and its history so far."""
        return State(
            step=self.step,
            network=self.network,
            losses=np.array(self.losses, dtype=np.float64),
            rates=np.array(self.rates, dtype=np.float64),
            diverged=self.diverged,
            notes=notes,
        )


def scaler_of(training: Training) -> torch.amp.GradScaler | None:
    """What keeps small gradients of ``fp16`` from vanishing, on a GPU."""
    device = torch.device(training.device).type
    scaled = training.precision == "fp16" and device != "cpu"
    return torch.amp.GradScaler(device) if scaled else None


@contextmanager
def _silent() -> Iterator[None]:
    """Torch warns where the first update is left out by the scaler, which is as it should be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def autocast_of(training: Training) -> Callable[[], AbstractContextManager[Any]]:
    """What a forward pass runs in."""
    if training.precision == "full":
        return nullcontext
    device = torch.device(training.device).type
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[training.precision]
    return lambda: torch.autocast(device, dtype)


def finite(tensors: Iterable[Tensor]) -> bool:
    """Whether every number is finite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
