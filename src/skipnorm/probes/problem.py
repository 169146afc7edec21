"""A network, its batches and its loss as one deterministic function of the parameters."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from skipnorm.anatomy.checkpoints import run_straight
from skipnorm.anatomy.preserve import untouched
from skipnorm.anatomy.tensors import mapped, tensors_in
from skipnorm.errors import ProbeError, nearest
from skipnorm.probes.objective import Loss, inputs_of, loss_of

__all__ = ["STATISTICS", "Parameters", "Problem", "Statistics", "batches_of", "copied", "posed"]

Statistics = Literal["as_is", "batch", "running", "recalibrated"]
STATISTICS: tuple[Statistics, ...] = ("as_is", "batch", "running", "recalibrated")
"""What BatchNorm normalises by: as the network's mode says, the batch at hand, the running statistics, or running
statistics that are estimated anew from the batches at every point that is looked at."""

Parameters = Mapping[str, Tensor]


class Problem:
    """The loss of a network on fixed batches, as a function of its parameters.

    Each call draws the same dropout and starts from the same buffers (an own running average, the vectors of a spectral
    norm); the running statistics of BatchNorm, which it does not read while it writes them, are those of the network.

    Attributes:
        network: the module, in the state in which it is looked at.
        parameters: those that are varied, by name.
        batches: what the loss is averaged over, weighted by their number of samples.
        statistics: what BatchNorm normalises by.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: Sequence[Any],
        loss: Loss,
        statistics: Statistics,
        where: str | None,
    ) -> None:
        self.network, self.batches, self.statistics = network, tuple(batches), statistics
        self._loss, self._seed = loss, 0
        self._buffers = _read_again(network)
        self.parameters = _varied(network, where)
        self.weights = [_samples(batch) for batch in self.batches]

    def outputs(self, parameters: Parameters | None = None, *, batch: int = 0) -> Any:
        """What the network returns on one batch, with these parameters in place of its own."""
        args, named, _ = inputs_of(self.batches[batch])
        args, named = copied((args, named))  # the network may write into what it is given
        own = {name: buffer.clone() for name, buffer in self._buffers.items()}
        self._same_draws()
        return functional_call(self.network, own | dict(parameters or {}), args, named)

    def _same_draws(self) -> None:
        torch.default_generator.manual_seed(self._seed)  # torch.manual_seed wakes every backend
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.manual_seed_all(self._seed)

    def loss_on(self, batch: int, parameters: Parameters | None = None) -> Tensor:
        """The loss on one batch, a scalar that can be differentiated."""
        if self.statistics == "recalibrated":
            self.recalibrate(parameters)
        return self._loss_on(batch, parameters)

    def each_loss(self, parameters: Parameters | None = None) -> Iterator[Tensor]:
        """The loss on one batch after another, as `loss_on` has it; statistics are estimated once for all of them."""
        if self.statistics == "recalibrated":
            self.recalibrate(parameters)
        for batch in range(len(self.batches)):
            yield self._loss_on(batch, parameters)

    def _loss_on(self, batch: int, parameters: Parameters | None) -> Tensor:
        _, _, targets = inputs_of(self.batches[batch])
        outputs = self.outputs(parameters, batch=batch)
        return loss_of(outputs, targets, self._loss, differentiable=torch.is_grad_enabled())

    def losses(self, parameters: Parameters | None = None) -> Tensor:
        """The loss on each batch, without gradients."""
        with torch.no_grad():
            return torch.stack(list(self.each_loss(parameters)))

    def mean(self, values: Sequence[Tensor] | Tensor) -> Tensor:
        """The average over batches, weighted by their number of samples."""
        stacked = values if isinstance(values, Tensor) else torch.stack(list(values))
        weights = torch.tensor(self.weights, dtype=torch.float64)
        shares = (weights / weights.sum()).to(stacked)
        mean: Tensor = torch.einsum("b,b...->...", shares, stacked)
        return mean

    def gradient(self, parameters: Parameters | None = None) -> dict[str, Tensor]:
        """The gradient of the mean loss with respect to the parameters, batch by batch in memory."""
        point = {
            name: (parameters or {}).get(name, value).detach().requires_grad_()
            for name, value in self.parameters.items()
        }
        total = {name: torch.zeros_like(value) for name, value in point.items()}
        share = 1.0 / sum(self.weights)
        for weight, loss in zip(self.weights, self.each_loss(point), strict=True):
            parts = torch.autograd.grad(loss, list(point.values()), allow_unused=True)
            for name, part in zip(point, parts, strict=True):
                if part is not None:
                    total[name] += part * (weight * share)
        return total

    def recalibrate(self, parameters: Parameters | None = None) -> None:
        """Estimate BatchNorm's running statistics anew, as the average over the batches."""
        norms = _batch_norms(self.network)
        modes = [norm.training for norm in norms]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a cumulative average
            norm.train()
        with torch.no_grad():
            for batch in range(len(self.batches)):
                self.outputs(parameters, batch=batch)
        for norm, mode, momentum in zip(norms, modes, momenta, strict=True):
            norm.momentum = momentum
            norm.train(mode)


@contextmanager
def posed(
    network: nn.Module,
    batch: Any,
    *,
    loss: Loss = None,
    statistics: Statistics = "as_is",
    where: str | None = "*",
) -> Iterator[Problem]:
    """The problem that a network and its batches pose, and the network as it was afterwards.

    Attention is computed step by step and gradient checkpoints run straight through, which changes no number but lets
    everything be differentiated, twice and with other parameters.

    Args:
        network: any module, frozen or not.
        batch: as `measure` takes it, or a list of such.
        loss: as `measure` takes it.
        statistics: what BatchNorm normalises by, see `STATISTICS`.
        where: glob over names of parameters: those that are varied; None where none is, so that a network without
            parameters can be looked at too.

    Raises:
        ProbeError: an unknown kind of statistics, no such parameter, or a list that could be two batches or one.

    >>> line = nn.Linear(1, 1, bias=False)
    >>> data = (torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [0.0]]))
    >>> with posed(line, data, loss="mse") as problem:
    ...     float(problem.mean(problem.losses({"weight": torch.tensor([[2.0]])})))
    10.0
    """
    if statistics not in STATISTICS:
        raise ProbeError(f"statistics: {nearest(statistics, STATISTICS)}")
    batches = batches_of(batch)
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(untouched(network))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(run_straight())
        stack.enter_context(
            sdpa_kernel(SDPBackend.MATH)
        )  # fused attention has no second derivative
        problem = Problem(network, batches, loss, statistics, where)
        modes = [(norm, norm.training) for norm in _batch_norms(network)]
        try:
            for norm, mode in modes:
                norm.training = {"batch": True, "as_is": mode}.get(statistics, False)
            yield problem
        finally:
            for norm, mode in modes:
                norm.training = mode


def batches_of(batch: Any) -> list[Any]:
    """The batches meant: a list of pairs or dicts (as a loader gives them) is several, anything else is one.

    A list of two tensors is a pair as a loader gives it, (inputs, targets); of one, three or more it is so many batches
    without targets.

    Raises:
        ProbeError: a list of two tensors that are alike, which could be either.

    >>> x, y = torch.zeros(3, 2), torch.zeros(3)
    >>> len(batches_of([(x, y), (x, y)])), len(batches_of([[x, y], [x, y]])), len(batches_of([x, x, x]))
    (2, 2, 3)
    >>> len(batches_of((x, y))), len(batches_of([x, y])), len(batches_of(x)), len(batches_of((x, x)))
    (1, 1, 1, 1)
    """
    if not isinstance(batch, list) or not batch:
        return [batch]
    if all(isinstance(each, Tensor) for each in batch):
        return [batch] if len(batch) == 2 and _pair(*batch) else list(batch)
    several = all(isinstance(each, tuple | list | Mapping) for each in batch)
    return list(batch) if several else [batch]


def _pair(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors in a list are inputs and their targets."""
    if (first.shape[1:], first.dtype) == (second.shape[1:], second.dtype):
        raise ProbeError(
            f"expected to see what a list of two tensors means, found two that are alike ({first.dtype}, shapes "
            f"{tuple(first.shape)} and {tuple(second.shape)}). Inputs and targets are a tuple: (inputs, targets); two "
            "batches without targets are a list of pairs: [(first, None), (second, None)]."
        )
    return True


def copied(inputs: Any) -> Any:
    """The same inputs with tensors of their own, through which gradients still flow.

    >>> given = ((torch.zeros(1),), {"mask": None})
    >>> copied(given)[0][0] is given[0][0], copied(given)[1]
    (False, {'mask': None})
    """
    return mapped(Tensor.clone, inputs)


def _batch_norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [
        module
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    ]


def _varied(network: nn.Module, where: str | None) -> dict[str, Tensor]:
    """The real parameters whose names fit."""
    if where is None:
        return {}
    named = {name: value for name, value in network.named_parameters() if value.is_floating_point()}
    if not named:
        raise ProbeError(
            f"expected a network with parameters to vary, found none in {type(network).__name__}. What needs no "
            "parameters is told by activation, drift, identical, jacobian, paths and scores."
        )
    chosen: dict[str, Tensor] = {
        name: value for name, value in named.items() if fnmatchcase(name, where)
    }
    if not chosen:
        raise ProbeError(f"no parameter is called like {where!r}: {nearest(where, named)}")
    return chosen


def _read_again(network: nn.Module) -> dict[str, Tensor]:
    """The buffers that a forward might both write and read, shared ones once."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    running = {id(buffer) for norm in norms for buffer in norm.buffers()}
    return {name: each for name, each in network.named_buffers() if id(each) not in running}


def _samples(batch: Any) -> int:
    args, named, _ = inputs_of(batch)
    sizes = [len(tensor) for tensor in tensors_in((args, named)) if tensor.dim()]
    if not sizes:
        raise ProbeError(f"expected a batch with at least one tensor, found {type(batch).__name__}")
    return sizes[0]
