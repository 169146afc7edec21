"""How alike two samples are in a wide ReLU network, layer by layer. Needs numpy only.

Infinite-width laws for He-initialised ReLU networks, all built from the arc-cosine kernel
(Cho & Saul 2009; normalised as in Yang et al. 2019, theorem 5).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "arc_cosine_kernel",
    "arc_cosine_slope",
    "batchnorm_residual_gradient_correlation",
    "channel_variance_share",
    "correlations",
    "mean_centred_gradient_correlation",
    "plain_gradient_correlation",
    "residual_gradient_correlation",
]

Array = NDArray[np.float64]


def arc_cosine_kernel(correlation: ArrayLike) -> Array:
    """How alike two samples are after a ReLU layer: ``J(c)``, from their correlation ``c`` before.

    ``J(c) = (sqrt(1 - c^2) + (pi - arccos c) c) / pi``; ``J(0) = 1/pi``, ``J(1) = 1``.

    >>> arc_cosine_kernel([1.0, -1.0]).tolist(), float(arc_cosine_kernel(0.0)) * np.pi
    ([1.0, 0.0], 1.0)
    """
    c = np.clip(np.asarray(correlation, dtype=np.float64), -1.0, 1.0)
    return np.asarray((np.sqrt(1 - c * c) + (np.pi - np.arccos(c)) * c) / np.pi)


def arc_cosine_slope(correlation: ArrayLike) -> Array:
    """Twice how often a ReLU is on for both of two samples: ``J'(c) = (pi - arccos c) / pi``.

    >>> arc_cosine_slope([0.0, 1.0]).tolist()
    [0.5, 1.0]
    """
    c = np.clip(np.asarray(correlation, dtype=np.float64), -1.0, 1.0)
    return np.asarray((np.pi - np.arccos(c)) / np.pi)


def correlations(depth: int, start: float = 0.0, *, residual: bool = False) -> Array:
    """How alike two samples are on entering blocks ``0..depth``: ``c_0 = start, c_{l+1} = J(c_l)``.

    With ``residual`` (``x + W relu(x)``) ``c_{l+1} = (c_l + J(c_l)) / 2``. Shape (depth + 1,).
    He-initialised ReLU blocks without norm, infinite width.

    >>> correlations(4).round(3).tolist()
    [0.0, 0.318, 0.494, 0.605, 0.681]
    """
    path = [start]
    for _ in range(depth):
        following = float(arc_cosine_kernel(path[-1]))
        path.append((path[-1] + following) / 2 if residual else following)
    return np.array(path)


def channel_variance_share(depth: int) -> Array:
    """Which part of a signal still tells samples apart, ``1 - c_l``.

    Channel variance over second moment, for the inputs of blocks ``0..depth`` of a plain He ReLU
    network on uncorrelated samples; falls like ``9 pi^2 / (2 l^2)``. Derived; Luther & Seung 2019
    describe the decay. Shape (depth + 1,).

    >>> channel_variance_share(4).round(3).tolist()
    [1.0, 0.682, 0.506, 0.395, 0.319]
    """
    return 1 - correlations(depth)


def plain_gradient_correlation(depth: int) -> float:
    """How alike the input gradients of two samples are, plain He ReLU network without norm.

    ``prod_{l < depth} J'(c_l)``: falls like ``depth^-3``, *not* like the ``2^-depth`` of Balduzzi
    et al. 2017 (theorem 1), which assumes uncorrelated pre-activations. Derived.

    >>> [round(plain_gradient_correlation(depth), 3) for depth in (1, 2, 3, 5)]
    [0.5, 0.302, 0.2, 0.105]
    """
    return float(np.prod(arc_cosine_slope(correlations(depth)[:-1])))


def mean_centred_gradient_correlation(depth: int) -> float:
    """How alike the input gradients of two samples are, plain ReLU network with centred layers.

    ``2^-depth`` (Balduzzi et al. 2017, theorem 1), for batch norm or mean-centring before ReLU.

    >>> mean_centred_gradient_correlation(3)
    0.125
    """
    return 0.5**depth


def residual_gradient_correlation(depth: int) -> float:
    """How alike the input gradients of two samples are, ``x + W relu(x)`` without norm.

    ``prod_{l < depth} (1 + J'(c_l)) / 2`` with ``c_{l+1} = (c_l + J(c_l)) / 2``. Derived; Balduzzi
    et al. 2017 (theorem 2) give ``(3/4)^depth``, which agrees up to depth 2.

    >>> [round(residual_gradient_correlation(depth), 3) for depth in (1, 2, 5, 10)]
    [0.75, 0.582, 0.309, 0.14]
    """
    slopes = arc_cosine_slope(correlations(depth, residual=True)[:-1])
    return float(np.prod((1 + slopes) / 2))


def batchnorm_residual_gradient_correlation(
    depth: int, branch_scale: float = 1.0, batch: int = 64
) -> float:
    """How alike the input gradients of two samples are in a residual network with batch norm.

    ``x + beta W relu(BN(x))``, statistics not backpropagated through:
    ``prod_{l < depth} (1 + J'(-1/(B-1)) g_l) / (1 + g_l)`` with
    ``g_l = beta^2 / (1 + (1 - 1/pi) beta^2 l)``. Derived, refining theorem 3 of Balduzzi et al.
    2017: batch norm divides by the channel *variance*, which grows by ``1 - 1/pi`` of the sum.

    >>> round(batchnorm_residual_gradient_correlation(10), 3)
    0.271
    """
    squared = branch_scale**2
    gains = squared / (1 + (1 - 1 / np.pi) * squared * np.arange(depth))
    shared = float(arc_cosine_slope(-1 / (batch - 1)))
    return float(np.prod((1 + shared * gains) / (1 + gains)))
