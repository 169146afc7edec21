"""What a residual stream looks like block by block at initialisation. Needs numpy only.

The stream starts with mean 0 and variance 1 in every channel; ``blocks`` counts the blocks passed.
Wide layers, large batches.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skipnorm.errors import NetworkError, nearest

__all__ = [
    "RELU_MEAN",
    "RELU_VARIANCE",
    "direct_path_gradient",
    "expected_path_length",
    "nf_variance",
    "residual_channel_squared_mean",
    "residual_channel_variance",
    "unnormalised_second_moment",
]

Array = NDArray[np.float64]

#: Mean and variance of the ReLU of a standard Gaussian.
RELU_MEAN = 1 / math.sqrt(2 * math.pi)
RELU_VARIANCE = (1 - 1 / math.pi) / 2

#: For each order: gain that is usual for it, and per block the variance and the squared mean that
#: a branch of scale 1 adds, divided by the gain (the last order's mean adds up coherently).
_ORDERS = {
    "norm-act-weight": (2.0, RELU_VARIANCE, RELU_MEAN**2),
    "act-norm-weight": (1.0, 1.0, 0.0),
    "weight-norm-act": (1.0, RELU_VARIANCE, RELU_MEAN**2),
}


def _order(name: str) -> tuple[float, float, float]:
    if name not in _ORDERS:
        raise NetworkError(f"No theory for this order: {nearest(name, _ORDERS)}")
    return _ORDERS[name]


def residual_channel_variance(
    order: str, blocks: ArrayLike, branch_scale: float = 1.0, gain: float | None = None
) -> Array:
    """How the channel variance of a batch-normed residual stream grows: linearly in depth.

    ``1 + slope * beta^2 * l``. Slope by order (ReLU): ``norm-act-weight``
    ``gain (1 - 1/pi) / 2``, which is ``1 - 1/pi`` for He weights; ``act-norm-weight`` ``gain``;
    ``weight-norm-act`` ``(1 - 1/pi) / 2``. ``gain`` is ``fan_in * Var(W)``: 2 (He) for the first
    order unless given, 1 (LeCun) for the second, without effect on the third. Derived; the
    signal propagation plots of Brock et al. 2021 show the first.

    The third holds while ``l^2`` is small against the width: a sample of larger norm gets a larger
    mean in every channel, block after block, and this one shared direction adds variance (at
    width 500: 1 % after 10 blocks, 24 % of the slope after 50; it vanishes with the width).

    >>> residual_channel_variance("norm-act-weight", [0, 1, 50]).round(4).tolist()
    [1.0, 1.6817, 35.0845]
    """
    usual, slope, _ = _order(order)
    factor = usual if gain is None or order == "weight-norm-act" else gain
    return 1 + factor * slope * branch_scale**2 * np.asarray(blocks, dtype=np.float64)


def residual_channel_squared_mean(
    order: str, blocks: ArrayLike, branch_scale: float = 1.0, gain: float | None = None
) -> Array:
    """How the part of the stream that is the same for all samples grows, batch-normed residual.

    ``norm-act-weight``: ``gain beta^2 l / (2 pi)``, that is ``l / pi`` for He weights;
    ``act-norm-weight``: 0, since the norm centres what the weights see; ``weight-norm-act``:
    ``beta^2 l^2 / (2 pi)``, quadratic, since every block adds the same positive mean to every
    channel. ``gain`` as in :func:`residual_channel_variance`. Derived.

    >>> (residual_channel_squared_mean("norm-act-weight", [1, 2]) * np.pi).round(9).tolist()
    [1.0, 2.0]
    >>> (residual_channel_squared_mean("weight-norm-act", [1, 2]) * np.pi).round(9).tolist()
    [0.5, 2.0]
    """
    usual, _, slope = _order(order)
    passed = np.asarray(blocks, dtype=np.float64)
    if order == "weight-norm-act":
        return np.asarray(slope * (branch_scale * passed) ** 2)
    return np.asarray((usual if gain is None else gain) * slope * branch_scale**2 * passed)


def nf_variance(blocks: ArrayLike, branch_scale: float = 0.2, shortcut_scale: float = 1.0) -> Array:
    """How the variance of a normaliser-free residual stream grows: ``1 + alpha^2 l``.

    ``x + alpha f(x / beta_l)`` with ``beta_l^2 = Var(x_l)`` and a branch of unit variance (Brock et
    al. 2021). With a shortcut scaled by ``lambda``, ``v' = lambda^2 v + alpha^2``.

    >>> nf_variance([0, 1, 50]).round(6).tolist()
    [1.0, 1.04, 3.0]
    """
    passed = np.asarray(blocks, dtype=np.float64)
    kept = shortcut_scale**2
    if kept == 1:
        return 1 + branch_scale**2 * passed
    return np.asarray(kept**passed + branch_scale**2 * (1 - kept**passed) / (1 - kept))


def unnormalised_second_moment(
    blocks: ArrayLike, branch_scale: float = 1.0, shortcut_scale: float = 1.0
) -> Array:
    """How a residual stream without norm explodes: ``(lambda^2 + beta^2)^l``, ``2^l`` if unscaled.

    ``lambda x + beta W relu(x)`` with He weights (De & Smith 2020 for ``2^l``); also the growth of
    its squared gradient.

    >>> unnormalised_second_moment([1, 5, 10]).tolist()
    [2.0, 32.0, 1024.0]
    """
    return np.asarray((shortcut_scale**2 + branch_scale**2) ** np.asarray(blocks, dtype=np.float64))


def direct_path_gradient(depth: ArrayLike, shortcut_scale: float) -> Array:
    """How much of a gradient arrives over the shortcuts alone: ``lambda^L``.

    ``L`` residual blocks with the shortcut scaled by ``lambda`` (He et al. 2016).

    >>> direct_path_gradient(3, 0.5).tolist()
    0.125
    """
    return np.asarray(shortcut_scale ** np.asarray(depth, dtype=np.float64))


def expected_path_length(branch_gains: Sequence[float] | Array) -> float:
    """How many branches the gradient passes through on average, weighted by its power.

    ``sum_l g_l / (1 + g_l)`` with ``g_l`` the squared gradient through branch ``l`` over that
    through its shortcut: the mean of a Poisson-binomial. Derived, after Veit et al. 2016.

    >>> expected_path_length([1.0] * 54)  # no norm: half of the blocks
    27.0
    """
    gains = np.asarray(branch_gains, dtype=np.float64)
    return float(np.sum(gains / (1 + gains)))
