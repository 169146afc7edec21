"""What is read of every network, and how it is laid along depth: one small table per trial."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from skipnorm.evidence.schema import Quantity, label

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["PROBES", "plain_stream", "residual_stream", "scaled_stream", "sizes"]

_MOMENTS = (
    Quantity("mean_square", ("layer",), "1", "mean square of the stream", "definition"),
    Quantity(
        "channel_squared_mean", ("layer",), "1", "what all samples share", "Brock et al. 2021"
    ),
    Quantity("channel_variance", ("layer",), "1", "what tells samples apart", "Brock et al. 2021"),
)
_ALONG = (
    *_MOMENTS,
    Quantity("gradient_mean_square", ("layer",), "loss^2", "mean square of dE/dx", "definition"),
)
_SIZES = (
    Quantity(
        "log_size_mean", ("layer",), "1", "mean over samples of ln(mean square)", "definition"
    ),
    Quantity("log_size_variance", ("layer",), "1", "unbiased variance of the same", "definition"),
)
_HE = "He et al. 2016 (identity mappings), eq. 5"
_BLOCKS = (
    Quantity("branch_variance", ("block",), "1", "channel variance of the branch", "definition"),
    Quantity(
        "branch_squared_mean", ("block",), "1", "squared channel mean of the branch", "definition"
    ),
    Quantity("shortcut_share", ("block",), "1", "share of dE/dx through the shortcut", _HE),
    Quantity("branch_share", ("block",), "1", "share of dE/dx through the branch", _HE),
    Quantity("elsewhere", ("block",), "1", "length of what neither explains, over dE/dx", _HE),
    Quantity("direct", ("block",), "1", "gradient behind over before the shortcut", _HE),
)


PROBES = ("moments", "gradient", "flow")
"""What is read of a network with a loss."""


def sizes(network: nn.Module, batch: tuple[Tensor, Any]) -> xr.Dataset:
    """The stream behind every block in one forward pass, for populations, whose gradient is not asked for."""
    import torch

    rows: dict[str, list[float]] = {q.name: [] for q in (*_MOMENTS, *_SIZES)}
    stream = batch[0]
    with torch.no_grad():
        stream = network.get_submodule("entrance")(stream)
        for block in network.get_submodule("blocks").children():
            stream = block(stream)
            every = stream.double()
            size, mean = every.square().mean(dim=1), every.mean(dim=0)
            found = {
                "mean_square": size.mean(),
                "channel_squared_mean": mean.square().mean(),
                "channel_variance": every.var(dim=0, unbiased=False).mean(),
                "log_size_mean": size.log().mean(),
                "log_size_variance": size.log().var(),
            }
            for name, value in found.items():
                rows[name].append(float(value))
    depth = len(rows["mean_square"])
    return label(rows, (*_MOMENTS, *_SIZES), {"layer": np.arange(1, depth + 1)}, {})


def plain_stream(measured: xr.Dataset) -> xr.Dataset:
    """Layer ``l`` is the output of block ``l`` of a plain network; what enters it is no site."""
    blocks = np.array([_block(name) for name in measured["module"].values])
    last = [np.flatnonzero(blocks == block)[-1] for block in range(blocks.max() + 1)]
    found = {q.name: measured[q.name].sel(port="output").values[last] for q in _ALONG}
    return label(found, _ALONG, {"layer": np.arange(1, len(last) + 1)}, {})


def residual_stream(measured: xr.Dataset) -> xr.Dataset:
    """Layer 0 is what enters the first block, layer ``l`` what leaves block ``l``."""
    skips = measured.isel(site=np.flatnonzero(measured["kind"].values == "skip"))
    return _residual(skips, skips.isel(site=0).sel(port="shortcut"))


def scaled_stream(measured: xr.Dataset) -> xr.Dataset:
    """As `residual_stream`, where shortcuts are scaled: the first site's input is what enters."""
    skips = measured.isel(site=np.flatnonzero(measured["kind"].values == "skip"))
    return _residual(skips, measured.isel(site=0).sel(port="input"))


def _residual(skips: xr.Dataset, entering: xr.Dataset) -> xr.Dataset:
    leaving = skips.sel(port="output")
    found: dict[str, Any] = {
        q.name: np.concatenate([[entering[q.name].item()], leaving[q.name].values]) for q in _ALONG
    }
    size = found["gradient_mean_square"]
    with np.errstate(divide="ignore", invalid="ignore"):
        total = skips["flow_total"].values
        # flow_total / gradient mean square in front of the block is the number of entries.
        found["direct"] = np.sqrt(skips["flow_shortcut"].values / total * size[:-1] / size[1:])
        found["elsewhere"] = np.sqrt(skips["flow_elsewhere"].values / total)
    found["branch_variance"] = skips["channel_variance"].sel(port="branch").values
    found["branch_squared_mean"] = skips["channel_squared_mean"].sel(port="branch").values
    found["shortcut_share"] = skips["flow_shortcut_share"].values
    found["branch_share"] = skips["flow_branch_share"].values
    depth = np.arange(len(size))
    return label(found, (*_ALONG, *_BLOCKS), {"layer": depth, "block": depth[:-1]}, {})


def _block(module: str) -> int:
    found = re.match(r"blocks\.(\d+)", module)
    return int(found.group(1)) if found else -1
