"""How large the signal is at every site, and how alike the samples are that it carries."""

import math

import torch
from torch import Tensor

from skipnorm.evidence.schema import Quantity
from skipnorm.formulas.moments import channel_variance, kurtosis
from skipnorm.formulas.rank import effective_rank
from skipnorm.formulas.similarity import sample_correlation
from skipnorm.probes.probe import Numbers, Probe

__all__ = ["length", "likeness", "moments"]

_PLACE = ("site", "port")
SAFE = (1e-15, 1e18)  # between these lengths, squares of float32 neither vanish nor overflow
_SLICE = 2**16
CANCELLATION = 0.05  # below this share of the mean square, a variance by subtraction loses digits


def moments() -> Probe:
    """How large the signal is at each site, how that splits into channels' means and variances, and what is zero.

    `mean_square = channel_squared_mean + channel_variance`: the curves of a signal propagation plot.
    """
    return Probe(
        "moments",
        2,
        (
            Quantity("mean_square", _PLACE, "1", "mean of the squared values", "definition"),
            Quantity(
                "channel_squared_mean",
                _PLACE,
                "1",
                "mean over channels of the squared channel mean: what all samples share",
                "Brock, De & Smith 2021, signal propagation plots",
            ),
            Quantity(
                "channel_variance",
                _PLACE,
                "1",
                "mean over channels of the (biased) channel variance: what tells samples apart",
                "Brock, De & Smith 2021, signal propagation plots",
            ),
            Quantity("zero_fraction", _PLACE, "1", "share of the values that are 0", "definition"),
        ),
        on_value=_moments,
        cost="1 forward, and three sweeps over each signal",
    )


def length(values: Tensor) -> tuple[Tensor, float]:
    """The values in a precision in which their squares neither vanish nor overflow, and their Euclidean length."""
    narrow = values.dtype in (torch.float16, torch.bfloat16)
    found = torch.linalg.vector_norm(values, dtype=torch.float32 if narrow else None).item()
    if not SAFE[0] < found < SAFE[1]:
        values = values.double()
        found = torch.linalg.vector_norm(values).item()
    return values.float() if narrow and values.dtype != torch.float64 else values, found


def _moments(values: Tensor, channels: int) -> Numbers:
    values, whole = length(values)
    count, others = values.numel(), [dim for dim in range(values.dim()) if dim != channels]
    size = whole * whole / count
    sums = torch.linalg.vector_norm(values.sum(others)).item() / count
    shared = sums * sums * values.shape[channels]
    variance: Tensor | float = size - shared
    if not size - shared > CANCELLATION * size:
        variance = channel_variance(values, channels)
    return {
        "mean_square": size,
        "channel_squared_mean": shared,
        "channel_variance": variance,
        "zero_fraction": math.nan if math.isnan(size) else _zeros(values) / count,
    }


def _zeros(values: Tensor) -> int:
    """How many values are 0: on a CPU slice by slice, so that the comparisons stay in the cache (a fifth, measured)."""
    if values.device.type != "cpu":
        return int((values == 0).sum())
    flat = values.reshape(-1)
    room = torch.empty(min(len(flat), _SLICE), dtype=torch.float32)
    found = 0
    for start in range(0, len(flat), _SLICE):
        some = flat[start : start + _SLICE]
        found += int(torch.eq(some, 0, out=room[: len(some)]).sum())  # whole numbers up to 2^24
    return found


def likeness(samples: int = 32) -> Probe:
    """How alike the first `samples` samples are at each site, how many directions they fill, how heavy the tails are.

    Dearer than `moments` (a singular value decomposition each), so it looks at a named subset of the batch.
    """
    source = f"on the first {samples} samples"
    return Probe(
        "likeness",
        1,
        (
            Quantity(
                "kurtosis",
                _PLACE,
                "1",
                "mean kurtosis of the channels that vary; 3 for a Gaussian",
                f"definition, {source}",
            ),
            Quantity(
                "sample_correlation",
                _PLACE,
                "1",
                "mean cosine between the values of two different samples",
                f"Poole et al. 2016, {source}",
            ),
            Quantity(
                "effective_rank",
                _PLACE,
                "directions",
                "exponential of the entropy of the singular values of the samples x features matrix",
                f"Roy & Vetterli 2007, {source}",
            ),
        ),
        on_value=lambda values, channels: _likeness(values[:samples], channels),
        settings={"samples": samples},
        cost=f"1 forward, and a decomposition of {samples} samples at each site",
    )


def _likeness(values: Tensor, channels: int) -> Numbers:
    return {
        "kurtosis": kurtosis(values, channels),
        "sample_correlation": sample_correlation(values),
        "effective_rank": effective_rank(values),
    }
