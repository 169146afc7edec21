"""A probe that keeps what it is shown, and a twin that computes the same by plain autograd."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from skipnorm.anatomy import Anatomy
from skipnorm.evidence.schema import Quantity
from skipnorm.probes import Flow, Probe, pass_through

Place = str
"""Site and port, as in `layer.add:output`."""


@dataclass
class Recording:
    """Every tensor that a probe was shown, by place; flows by site."""

    anatomy: Anatomy
    values: dict[Place, Tensor] = field(default_factory=dict)
    gradients: dict[Place, Tensor] = field(default_factory=dict)
    channels: dict[Place, int] = field(default_factory=dict)
    flows: dict[str, Flow] = field(default_factory=dict)
    loss: float | None = None


def record(network: nn.Module, batch: Any, *, loss: Any = None, flows: bool = False) -> Recording:
    """What the probes are shown, tensor by tensor: each is numbered, and the number is its reading."""
    values: list[Tensor] = []
    gradients: list[Tensor] = []
    passed: list[Flow] = []

    def on_value(tensor: Tensor, channels: int) -> dict[str, float]:
        values.append(tensor.clone())
        return {"value_number": len(values) - 1, "channels": channels}

    def on_gradient(tensor: Tensor, channels: int, memory: dict[Any, Any]) -> dict[str, float]:
        gradients.append(tensor.clone())
        return {"gradient_number": len(gradients) - 1}

    def on_flow(flow: Flow) -> dict[str, float]:
        passed.append(Flow(flow.total.clone(), flow.shortcut.clone(), flow.branch.clone()))
        return {"flow_number": len(passed) - 1}

    named = ["value_number", "channels", "gradient_number"] + ["flow_number"] * flows
    recorder = Probe(
        "recorder",
        1,
        tuple(Quantity(name, ("site", "port"), "1", name, "definition") for name in named),
        on_value=on_value,
        on_gradient=on_gradient,
        on_flow=on_flow if flows else None,
    )
    reading = pass_through(network, batch, [recorder], loss=loss)
    found = Recording(reading.anatomy, loss=reading.loss)
    names = [site.name for site in reading.anatomy.sites]
    for quantity, kept, numbered in (
        ("value_number", found.values, values),
        ("gradient_number", found.gradients, gradients),
    ):
        for (index, port), number in reading.numbers[quantity].items():
            kept[f"{names[index]}:{port}"] = numbered[int(number)]
    for (index, port), number in reading.numbers["channels"].items():
        found.channels[f"{names[index]}:{port}"] = int(number)
    for (index, _), number in reading.numbers.get("flow_number", {}).items():
        found.flows[names[index]] = passed[int(number)]
    return found


class See:
    """The notebook of a twin: an out-of-place forward hands every tensor in, and gets it back."""

    def __init__(self) -> None:
        self.tensors: dict[Place, Tensor] = {}

    def __call__(self, tensor: Tensor, *places: Place) -> Tensor:
        if tensor.requires_grad:
            tensor.retain_grad()
        for place in places:
            self.tensors[place] = tensor
        return tensor

    @property
    def values(self) -> dict[Place, Tensor]:
        return {place: tensor.detach() for place, tensor in self.tensors.items()}

    @property
    def gradients(self) -> dict[Place, Tensor]:
        return {
            place: tensor.grad for place, tensor in self.tensors.items() if tensor.grad is not None
        }


def seen(twin: Callable[..., Tensor], network: nn.Module, inputs: Any, covector: Tensor) -> See:
    """What a twin sees, forward and backward, with the loss <output, covector>."""
    see = See()
    output = twin(network, see, *inputs)
    (output * covector).sum().backward()
    return see


def inner(outputs: Tensor, covector: Tensor) -> Tensor:
    """A loss whose gradient at the output is known: the covector."""
    return (outputs * covector).sum()


def assert_same_tensors(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """The same places, and to rounding the same tensors."""
    assert sorted(found) == sorted(expected)
    for place, tensor in expected.items():
        torch.testing.assert_close(
            found[place],
            tensor,
            rtol=1e-11,
            atol=1e-13,
            msg=lambda text, place=place: f"{place}: {text}",
        )
