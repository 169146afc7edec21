"""Moments of a signal: how large it is, how its size splits into mean and variance.

Every function takes a tensor of any shape with one channel dimension; all other dimensions
(samples, positions) are what is averaged over. Half precisions are widened to float32 first. NaN
and Inf go through: a signal that holds one has a moment that is one.
"""

import torch

from skipnorm.formulas.precision import widened

__all__ = ["channel_squared_mean", "channel_variance", "kurtosis", "mean_square"]


def mean_square(values: torch.Tensor) -> torch.Tensor:
    """How large a signal is: the mean of its squared entries, a scalar tensor.

    ``mean(x^2)`` over all entries. Equals :func:`channel_squared_mean` + :func:`channel_variance`.

    >>> mean_square(torch.tensor([[3.0, 4.0]]))
    tensor(12.5000)
    """
    return widened(values).square().mean()


def channel_squared_mean(values: torch.Tensor, channel_dim: int = 1) -> torch.Tensor:
    """How much of a signal is the same for every sample: mean over channels of the squared mean.

    ``mean_c (mean_n x_nc)^2``, with ``n`` running over samples and positions. One of the two
    curves of a signal propagation plot (Brock et al. 2021).

    >>> channel_squared_mean(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
    tensor(2.)
    """
    return by_channel(values, channel_dim).mean(dim=1).square().mean()


def channel_variance(values: torch.Tensor, channel_dim: int = 1) -> torch.Tensor:
    """How much of a signal tells samples apart: mean over channels of the (biased) variance.

    ``mean_c var_n x_nc``, with ``n`` running over samples and positions. The other curve of a
    signal propagation plot (Brock et al. 2021).

    >>> channel_variance(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
    tensor(0.5000)
    """
    return by_channel(values, channel_dim).var(dim=1, correction=0).mean()


def kurtosis(values: torch.Tensor, channel_dim: int = 1) -> torch.Tensor:
    """How heavy the tails of the channels are: mean over channels of ``E(x-m)^4 / (E(x-m)^2)^2``.

    3 for a Gaussian, 1 for two equally likely values (the smallest possible). A channel that does
    not vary has no kurtosis and is left out; where none varies the result is NaN.

    >>> kurtosis(torch.tensor([[1.0, 7.0], [-1.0, 7.0]]))
    tensor(1.)
    """
    channels = by_channel(values, channel_dim)
    lowest, highest = channels.amin(dim=1), channels.amax(dim=1)
    still = (lowest == highest) & highest.isfinite()
    varying = channels[~still]
    deviations = varying - varying.mean(dim=1, keepdim=True)
    # The largest deviation becomes 1: fourth powers would leave the range of float32 otherwise.
    largest = deviations.abs().amax(dim=1, keepdim=True) if len(varying) else deviations
    squares = (deviations / largest).square()
    return (squares.square().mean(dim=1) / squares.mean(dim=1).square()).mean()


def by_channel(values: torch.Tensor, channel_dim: int) -> torch.Tensor:
    """The signal as a matrix: one row per channel, samples and positions in a row."""
    return widened(values).movedim(channel_dim, 0).flatten(1)
