"""Batch statistics taken as constants, and a network made ready to be looked at."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from skipnorm.errors import ProbeError, nearest
from skipnorm.probes.problem import STATISTICS, posed

__all__ = ["DETACHED", "Detached", "Recorded", "Run", "Statistics", "prepared"]

Statistics = Literal["as_is", "batch", "running", "recalibrated", "detached"]
DETACHED = (*STATISTICS, "detached")
"""What BatchNorm normalises by: as for every probe, or the statistics of the batch, as constants."""


Recorded = list[tuple[Tensor, Tensor]]


class Detached(TorchFunctionMode):
    """BatchNorm by the statistics of the batch, through which nothing is differentiated.

    Attributes:
        recorded: mean and variance of every call, in order; handed to another one, they are used again.
    """

    def __init__(self, weights: Iterable[Tensor], given: Recorded | None = None) -> None:
        super().__init__()
        self.recorded: Recorded = []
        self._given = None if given is None else iter(given)
        self._weights = {id(weight) for weight in weights}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is F.batch_norm:
            return self._normalised(*args, **kwargs)
        return function(*args, **kwargs)

    def _normalised(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training or id(input) in self._weights or id(input._base) in self._weights:
            return F.batch_norm(
                input, running_mean, running_var, weight, bias, training, momentum, eps
            )
        mean, variance = next(self._given) if self._given is not None else _moments(input)
        self.recorded.append((mean, variance))
        return F.batch_norm(input, mean, variance, weight, bias, False, 0.0, eps)


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        axes = [axis for axis in range(values.dim()) if axis != 1]
        variance, mean = torch.var_mean(values.detach(), dim=axes, correction=0)
    return mean, variance


@contextmanager
def prepared(network: nn.Module, batch: Any, statistics: str) -> Iterator["Run"]:
    """The network ready to be called, the same dropout at every call, and afterwards as it was.

    Hands out a function of (args, named), which returns the network's outputs; given parameters by name, with those in
    place of its own.

    Raises:
        ProbeError: an unknown kind of statistics, or something that is no network.
    """
    if statistics not in DETACHED:
        raise ProbeError(f"statistics: {nearest(statistics, DETACHED)}")
    if not isinstance(network, nn.Module):
        raise ProbeError(f"expected a torch.nn.Module, found {type(network).__name__}.")
    detached = statistics == "detached"
    own = "batch" if detached else statistics
    with posed(network, batch, statistics=own, where=None) as problem:  # type: ignore[arg-type]
        if statistics == "recalibrated":
            problem.recalibrate()

        yield Run(network, detached)


class Run:
    """Calls a network, always with the same dropout.

    Attributes:
        recorded: the statistics that BatchNorm used in the last call, where they are detached.
    """

    def __init__(self, network: nn.Module, detached: bool) -> None:
        self.network, self._detached = network, detached
        self.recorded: Recorded = []

    def __call__(
        self,
        args: tuple[Any, ...],
        named: dict[str, Any],
        *,
        parameters: Mapping[str, Tensor] | None = None,
        given: Recorded | None = None,
        call: Callable[..., Any] | None = None,
    ) -> Any:
        """The outputs; with the statistics that are given, or with those of the batch; by `call` in place of a call."""
        torch.default_generator.manual_seed(
            0
        )  # what `torch.manual_seed` does costs more than a small network
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.manual_seed_all(0)
        with ExitStack() as stack:
            if self._detached:
                mode = stack.enter_context(
                    Detached([*self.network.parameters(), *(parameters or {}).values()], given)
                )
            if call is not None:
                outputs = call(args, named)
            elif parameters is None:
                outputs = self.network(*args, **named)
            else:
                outputs = functional_call(self.network, dict(parameters), args, named)
            if self._detached:
                self.recorded = mode.recorded
        return outputs
