"""What is read of every network: how its units use their non-linearity, layer by layer, and at what its input lies.

Batch norm normalises by the batch that is read, as it does in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from skipnorm.evidence.schema import Quantity, label
from skipnorm.inquiries.draws import mean_over_draws

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["GRID", "INNER", "growth", "indices", "live", "units"]

GRID = np.round(np.arange(-60, 61) / 10, 1)
"""Where curves and densities are read."""

INNER = 1.0
"""The essay calls the sigmoid linear between minus this and this."""

FIRST, LAST = 3, 5
"""Growth leaves out the first layers, which still settle, and the last, which see the loss."""

_UNITS = tuple(
    Quantity(name, ("layer",), "1", meaning, source)
    for name, meaning, source in (
        ("dead", "share of units that are on for no sample", "Lu et al. 2019, dying ReLU"),
        ("always_on", "share of units that are on for every sample", "definition"),
        (
            "co_activation",
            "how often two different samples are both on",
            "Balduzzi et al. 2017, section 3",
        ),
        (
            "nonlinearity",
            "1 - R^2 of the best line through output against input, mean over units that move",
            "derived from Stein 1981",
        ),
        ("inside", "share of pre-activations between -1 and 1", "definition"),
    )
)
_LIVE = (
    Quantity("curve", ("x",), "1", "the activation itself", "definition"),
    Quantity("density", ("x",), "1", "density of pre-activations, all layers", "definition"),
)
_INDEX = Quantity("index", ("case",), "1", "1 - R^2 by gain or shift", "derived from Stein 1981")
_GROWTH = Quantity(
    "growth", (), "1", "growth of the squared gradient per layer", "Yang et al. 2019, theorem 8"
)


def units(network: Any, batch: Any, layers: tuple[int, ...] = ()) -> xr.Dataset:
    """Layer by layer, or at these layers, how the units are used; layer ``l`` is the activation of block ``l``."""
    inputs, _ = batch

    def read(each: nn.Module) -> dict[str, Any]:
        passing = enumerate(passed(each, inputs), 1)
        rows = [{"layer": at, **_use(*ends)} for at, ends in passing if not layers or at in layers]
        return {name: [row[name] for row in rows] for name in rows[0]}

    found = mean_over_draws(read, network)
    return label(found, _UNITS, {"layer": found.pop("layer").astype(int)}, {})


def live(network: Any, batch: Any) -> xr.Dataset:
    """The activation as a curve, and the density of what it is given."""
    import torch

    inputs, _ = batch
    act = next(iter(network.blocks)).act
    edges = np.concatenate([GRID - 0.05, GRID[-1:] + 0.05])
    values = torch.cat([z.flatten() for z, _ in passed(network, inputs)]).numpy()
    counts, _ = np.histogram(values, edges)
    curve = act(torch.tensor(GRID)).numpy()
    found = {"curve": curve, "density": counts / len(values) / np.diff(edges)}
    return label(found, _LIVE, {"x": GRID}, {})


def indices(network: Any, batch: Any, cases: tuple[float, ...] = ()) -> xr.Dataset:
    """The non-linearity index of one layer's units, whose stretches have these gains or shifts."""
    from skipnorm.formulas.nonlinearity import affine_misfit

    inputs, _ = batch
    ((z, y),) = passed(network, inputs)
    found = affine_misfit(z.T, y.T).reshape(len(cases), -1).mean(dim=1)
    return label({"index": found.numpy()}, (_INDEX,), {"case": list(cases)}, {})


def growth(network: Any, batch: Any) -> xr.Dataset:
    """By what the squared gradient grows per layer, towards the input; geometric mean over the bulk and the draws."""

    def read(each: nn.Module) -> dict[str, Any]:
        sizes = gradient_sizes(each, batch)
        last = len(sizes) - 1 - LAST
        return {"growth": np.log(sizes[FIRST] / sizes[last]) / (last - FIRST)}

    return label({"growth": np.exp(mean_over_draws(read, network)["growth"])}, (_GROWTH,), {}, {})


def passed(network: Any, inputs: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Input and output of the activation of every block of a plain perceptron."""
    import torch

    network.train()
    with torch.no_grad():
        x = inputs if network.stem is None else network.stem(inputs)
        for block in network.blocks:
            for name, step in block.named_children():
                before, x = x, step(x)
                if name == "act":
                    yield before, x


def gradient_sizes(network: Any, batch: Any) -> np.ndarray:
    """Mean square of the gradient behind every block, number 0 in front of the first; the loss a covector's."""
    import torch

    inputs, covectors = batch
    network.train()
    stream = [inputs.clone().requires_grad_()]
    with torch.enable_grad():
        for block in network.blocks:
            stream.append(block(stream[-1]))
        found = torch.autograd.grad((stream[-1] * covectors).sum(), stream)
    return np.array([each.double().square().mean().item() for each in found])


def _use(z: Tensor, y: Tensor) -> dict[str, float]:
    from skipnorm.formulas.nonlinearity import affine_misfit, co_activation

    on = z > 0
    times = on.sum(dim=0)
    return {
        "dead": float((times == 0).double().mean()),
        "always_on": float((times == len(z)).double().mean()),
        "co_activation": float(co_activation(times[:, None], len(z)).mean()),
        "nonlinearity": float(affine_misfit(z.T, y.T).nanmean()),
        "inside": float((z.abs() < INNER).double().mean()),
    }
