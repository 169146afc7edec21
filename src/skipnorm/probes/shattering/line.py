"""Shattered gradients on a line: whether df/dx changes smoothly with x, or is noise."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from skipnorm.errors import ProbeError
from skipnorm.evidence.schema import Quantity
from skipnorm.formulas.autocorrelation import autocorrelation
from skipnorm.probes.findings import Findings
from skipnorm.probes.shattering.gram import refuse_coupled
from skipnorm.probes.shattering.samples import main_output
from skipnorm.probes.shattering.statistics import Statistics, prepared

__all__ = ["input_gradient_autocorrelation"]

_BALDUZZI = "Balduzzi et al. 2017"
_LINE = (
    Quantity(
        "input_gradient", ("x",), "output/input", "df/dx at each point of the line", _BALDUZZI
    ),
    Quantity(
        "input_gradient_autocorrelation",
        ("lag",),
        "1",
        "correlation of df/dx with itself so many grid steps on",
        f"{_BALDUZZI}, figure 2",
    ),
    Quantity(
        "input_gradient_variance",
        (),
        "(output/input)^2",
        "variance of df/dx along the line; 0: the network is linear there",
        _BALDUZZI,
    ),
)


def input_gradient_autocorrelation(
    network: nn.Module,
    *,
    grid: int = 256,
    between: tuple[float, float] = (-2.0, 2.0),
    lags: Sequence[int] = tuple(range(16)),
    covector: Tensor | None = None,
    statistics: Statistics = "as_is",
    seed: int = 0,
) -> Findings:
    """Whether the gradient of a network of one input changes smoothly along the line, or is noise.

    ``g_i = df/dx`` at ``grid`` evenly spaced points; its autocorrelation is ``sum_i (g_i - m)(g_{i+k} - m) / sum_i
    (g_i - m)^2``: close to 1 for smooth gradients, that of brown noise for a shallow network, 0 for white noise
    (`skipnorm.formulas.autocorrelation` has what theory expects). One draw says little: average over seeds.
    NaN where the gradient is constant, as it is in a linear network.

    Args:
        network: takes a matrix of one column, a point a row.
        grid: how many points.
        between: the first and the last one.
        lags: in steps of the grid.
        covector: what several outputs are reduced by; by default a random direction of length 1.
        statistics: what BatchNorm normalises by; `detached`: the batch, as a constant of the backward pass.
        seed: of the covector.

    Raises:
        ProbeError: the network does not take one input, mixes samples, or a setting makes no sense.

    Balduzzi et al. 2017, figures 1 and 2.

    >>> found = input_gradient_autocorrelation(nn.ReLU(), grid=4, lags=[0, 1])
    >>> found.values["input_gradient"].tolist(), found.values["input_gradient_autocorrelation"].tolist()
    ([0.0, 0.0, 1.0, 1.0], [1.0, 0.25])
    """
    points = _points(network, grid, between, lags)
    with prepared(network, points, statistics) as run:
        refuse_coupled(run, points)
        roots = points.clone().requires_grad_()
        out = main_output(run((roots.clone(),), {}))
        if len(out) != grid:
            raise ProbeError(
                f"expected an output for each of {grid} points, found the shape {tuple(out.shape)}. The network has to "
                "take a matrix of one column."
            )
        weights = _covector(covector, out[0].shape, seed).to(out)
        (gradient,) = torch.autograd.grad((out * weights).sum(), roots)
    series = gradient[:, 0].detach().cpu()
    values = {
        "input_gradient": series,
        "input_gradient_autocorrelation": torch.from_numpy(autocorrelation(series.numpy(), lags)),
        "input_gradient_variance": series.double().var(correction=0),
    }
    coords = {"x": points[:, 0].double().cpu().numpy(), "lag": list(lags)}
    notes = () if bool(series.isfinite().all()) else ("the gradient holds NaN or Inf",)
    return Findings(_LINE, values, coords, {"statistics": statistics, "seed": str(seed)}, notes)


def _points(
    network: nn.Module, grid: int, between: tuple[float, float], lags: Sequence[int]
) -> Tensor:
    low, high = between
    if grid < 3 or not np.isfinite([low, high]).all() or low >= high:
        raise ProbeError(
            f"expected three points or more from low to high, found grid={grid} between {between}. "
            "Try grid=256, between=(-2, 2)."
        )
    if not len(lags) or not all(0 <= lag < grid for lag in lags) or len(set(lags)) < len(lags):
        raise ProbeError(
            f"expected different lags from 0 to {grid - 1}, found {list(lags)}. Try lags=range(16)."
        )
    own = network.parameters() if isinstance(network, nn.Module) else ()
    real = [parameter for parameter in own if parameter.is_floating_point()]
    line = torch.linspace(low, high, grid, dtype=real[0].dtype if real else None)
    return line[:, None].to(real[0].device) if real else line[:, None]


def _covector(given: Tensor | None, shape: torch.Size, seed: int) -> Tensor:
    if given is not None:
        if given.shape != shape:
            raise ProbeError(
                f"expected a covector of the output's shape {tuple(shape)}, found {tuple(given.shape)}."
            )
        return given.detach()
    if shape.numel() == 1:
        return torch.ones(shape)
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    unit: Tensor = drawn / torch.linalg.vector_norm(drawn)
    return unit
