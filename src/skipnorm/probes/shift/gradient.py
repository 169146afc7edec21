"""How much a layer's gradient changes because the layers below it have moved: the second reading of shift."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from skipnorm.anatomy.tensors import operands_of
from skipnorm.errors import ProbeError, nearest
from skipnorm.evidence.schema import Quantity
from skipnorm.probes.findings import Findings
from skipnorm.probes.objective import Loss
from skipnorm.probes.problem import Problem, Statistics, posed

__all__ = ["shift_gradient"]

_SOURCE = "Santurkar et al. 2018, definition 2.1"
_LAYER = ("layer",)
QUANTITIES = (
    Quantity(
        "gradient_shift",
        _LAYER,
        "loss/parameter",
        "||G - G'||: how far the layer's gradient moves because the layers below it take their step",
        _SOURCE,
    ),
    Quantity("gradient_shift_relative", _LAYER, "1", "||G - G'|| / ||G||", _SOURCE),
    Quantity(
        "gradient_shift_cosine",
        _LAYER,
        "1",
        "cosine between G and G': 1 where the layers below do not matter",
        _SOURCE,
    ),
    Quantity("gradient_length", _LAYER, "loss/parameter", "||G||, before anything moves", _SOURCE),
    Quantity(
        "gradient_length_shifted",
        _LAYER,
        "loss/parameter",
        "||G'||, once the layers below have moved",
        _SOURCE,
    ),
)


def shift_gradient(
    network: nn.Module,
    batch: Any,
    *,
    loss: Loss = None,
    step: float | None = None,
    after: Any = None,
    layers: str = "*",
    statistics: Statistics = "as_is",
    progress: Callable[[int, int], None] | None = None,
) -> Findings:
    """How much each layer's gradient changes when only the layers below it take their step.

    For layers 1..k and one batch: `G_i = dL/dW_i (W_1, .., W_k)` and
    `G'_i = dL/dW_i (W'_1, .., W'_{i-1}, W_i, .., W_k)`, where W' is the state after the step. Internal covariate
    shift is `||G_i - G'_i||`; it is exactly 0 for the first layer, below which there is none.

    A layer is a module that owns parameters itself, and its gradient that of all of these: a BatchNorm is a
    layer of its own, so its gain and shift have moved when the layers above are asked. Layers are in the order in
    which a forward pass first uses their parameters; a parameter that is shared belongs where it is used first.
    Parameters without `requires_grad` do not move and have no gradient here, unless none has it.

    Args:
        network: any module.
        batch: as `measure` takes it, or a list of such, over which the loss is averaged.
        loss: as `measure` takes it.
        step: the learning rate of one step of plain gradient descent; or
        after: where another optimiser has gone from here: a state_dict or a network. Its buffers are not read.
        layers: glob over names of layers: those that are asked; all of them take the step.
        statistics: what BatchNorm normalises by, see `problem.STATISTICS`.
        progress: called with (layers done, layers in all).

    Raises:
        ProbeError: neither or both of `step` and `after`, a step that is not positive, a state that does not fit, no
            such layer.

    >>> network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    >>> _ = [nn.init.constant_(layer.weight, 2.0) for layer in network]
    >>> data = (torch.tensor([[1.0]]), torch.tensor([[1.0]]))
    >>> found = shift_gradient(network, data, loss="inner_product", step=0.1)  # L = b a x, dL/db = a x
    >>> [round(value, 6) for value in found.values["gradient_shift"].tolist()]
    [0.0, 0.2]
    """
    if (step is None) == (after is None):
        raise ProbeError(
            "expected either step=, the learning rate of a plain gradient step, or after=, the state an optimiser "
            f"has reached; found {'neither' if step is None else 'both'}."
        )
    if step is not None and not 0 < step < float("inf"):
        raise ProbeError(f"expected a finite step above 0, found {step}. Try the learning rate.")
    with posed(network, batch, loss=loss, statistics=statistics) as problem:
        trained = [name for name, value in problem.parameters.items() if value.requires_grad]
        slopes = _gradient(problem, {}, trained or list(problem.parameters))
        groups, notes = _layers(problem, list(slopes))
        asked = [name for name in groups if fnmatchcase(name, layers)]
        if not asked:
            raise ProbeError(f"no layer is called like {layers!r}: {nearest(layers, groups)}")
        here = {name: problem.parameters[name] for name in slopes}
        there = _moved(here, slopes, step) if step is not None else _reached(here, after)
        values: dict[str, list[float]] = {quantity.name: [] for quantity in QUANTITIES}
        below: dict[str, Tensor] = {}
        for layer, names in groups.items():
            if layer in asked:
                shifted = _gradient(problem, below, names) if below else slopes
                _compare(
                    values, [slopes[name] for name in names], [shifted[name] for name in names]
                )
                if progress is not None:
                    progress(len(values["gradient_shift"]), len(asked))
            below |= {name: there[name] for name in names}
        kinds = {name: type(module).__name__ for name, module in network.named_modules()}
    taken = f"step {step!r} along the gradient" if step is not None else "a state that was given"
    return Findings(
        QUANTITIES,
        {name: torch.tensor(column, dtype=torch.float64) for name, column in values.items()},
        {"layer": asked, "layer_kind": ("layer", [kinds.get(name, "") for name in asked])},
        {"statistics": statistics, "after": taken, "batches": str(len(problem.batches))},
        notes,
    )


def _gradient(problem: Problem, moved: Mapping[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    """The gradient of the mean loss with respect to those of the named parameters that it depends on."""
    roots = {name: problem.parameters[name].detach().requires_grad_() for name in names}
    still = {
        name: value.detach() for name, value in problem.parameters.items() if name not in roots
    }
    total: dict[str, Tensor] = {}
    losses = problem.each_loss({**still, **moved, **roots})
    for weight, loss in zip(problem.weights, losses, strict=True):
        parts = torch.autograd.grad(loss, list(roots.values()), allow_unused=True)
        for name, part in zip(roots, parts, strict=True):
            if part is not None:
                share = part * (weight / sum(problem.weights))
                total[name] = total[name] + share if name in total else share
    return total


def _compare(values: dict[str, list[float]], before: list[Tensor], after: list[Tensor]) -> None:
    first, second = (
        torch.cat([each.detach().double().reshape(-1).cpu() for each in group])
        for group in (before, after)
    )
    apart, size, shifted = map(torch.linalg.vector_norm, (first - second, first, second))
    found = {
        "gradient_shift": apart,
        "gradient_shift_relative": apart / size,
        "gradient_shift_cosine": torch.dot(first / size, second / shifted),
        "gradient_length": size,
        "gradient_length_shifted": shifted,
    }
    for name, number in found.items():
        values[name].append(float(number))


def _moved(
    here: Mapping[str, Tensor], slopes: Mapping[str, Tensor], step: float
) -> dict[str, Tensor]:
    return {name: value.detach() - step * slopes[name] for name, value in here.items()}


def _reached(here: Mapping[str, Tensor], after: Any) -> dict[str, Tensor]:
    state = after.state_dict() if isinstance(after, nn.Module) else after
    if not isinstance(state, Mapping):
        raise ProbeError(
            f"expected after= as a state_dict or a network, found {type(after).__name__}."
        )
    reached = {}
    for name, value in here.items():
        if name not in state or state[name].shape != value.shape:
            raise ProbeError(
                f"expected the state after the step to hold {name!r} of shape {tuple(value.shape)}, found "
                f"{tuple(state[name].shape) if name in state else 'no such entry'}. Take it from the same network."
            )
        reached[name] = state[name].detach().to(value)
    return reached


def _layers(problem: Problem, used: list[str]) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """The parameters of each layer, layers in the order of first use, and what is to be said about it."""
    watch = _FirstUse({id(problem.parameters[name]): name for name in used})
    with torch.no_grad(), watch:
        problem.outputs()
    unseen = [name for name in used if name not in watch.order]
    idle = [name for name in problem.parameters if name not in used]
    groups: dict[str, list[str]] = {}
    for name in [*watch.order, *unseen]:
        groups.setdefault(name.rpartition(".")[0] or "(root)", []).append(name)
    notes = []
    if unseen:
        notes.append(f"not seen in use, and placed last: {', '.join(unseen)}")
    if idle:
        notes.append(f"frozen, or without part in the loss: {', '.join(idle)}")
    return groups, tuple(notes)


class _FirstUse(TorchFunctionMode):
    """In which order parameters are first used by a torch function."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self._names = dict(names)
        self.order: dict[str, None] = {}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        asks = getattr(function, "__name__", "") in ("__get__", "dim", "size", "numel")
        for tensor in () if asks else operands_of(args, kwargs or {}):
            name = self._names.get(id(tensor))
            if name is not None:
                self.order.setdefault(name)
        return function(*args, **(kwargs or {}))
