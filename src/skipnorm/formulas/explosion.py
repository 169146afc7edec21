"""How fast gradients and signals grow with depth at initialisation. Needs numpy only.

Gradient rates are growth factors of the *squared* norm per layer, towards the input.
"""

import math

import numpy as np

from skipnorm.errors import NetworkError
from skipnorm.formulas.kernels import arc_cosine_kernel, arc_cosine_slope

__all__ = [
    "RELU_BATCHNORM_EXPLOSION_LIMIT",
    "fuss_catalan_edge",
    "linear_batchnorm_explosion_rate",
    "log_gain_mean",
    "log_gain_variance",
    "max_trainable_depth",
    "relu_batchnorm_explosion_rate",
    "residual_batchnorm_gradient_ratio",
]

#: What :func:`relu_batchnorm_explosion_rate` falls to for large batches: ``pi / (pi - 1)``.
RELU_BATCHNORM_EXPLOSION_LIMIT = math.pi / (math.pi - 1)


def relu_batchnorm_explosion_rate(batch: int) -> float:
    """How fast squared gradients grow per layer in a plain ReLU network with batch norm.

    ``(J'(c) + B - 1) / ((B - 3) (1 - J(c))) - 1 / (B - 3)`` with ``c = -1/(B - 1)``, for
    ``y = relu(BN(W x))``, Gaussian weights, infinite width, backpropagation through the
    statistics, eps 0 (Yang et al. 2019, equation 25 at alpha = 1, simplified). Falls to
    ``pi / (pi - 1)`` for large batches. NetworkError for ``B <= 3``, where it is infinite.

    >>> [round(relu_batchnorm_explosion_rate(batch), 4) for batch in (8, 32, 512)]
    [1.7882, 1.522, 1.4701]
    """
    refuse_small(batch)
    c = -1 / (batch - 1)
    kernel, slope = float(arc_cosine_kernel(c)), float(arc_cosine_slope(c))
    return (slope + batch - 1) / ((batch - 3) * (1 - kernel)) - 1 / (batch - 3)


def linear_batchnorm_explosion_rate(batch: int) -> float:
    """How fast squared gradients grow per layer in a plain *linear* network with batch norm.

    ``(B - 2) / (B - 3)`` (Yang et al. 2019, theorem 8), the smallest of all activations
    (theorem 9). NetworkError for ``B <= 3``, where it is infinite.

    >>> linear_batchnorm_explosion_rate(8)
    1.2
    """
    refuse_small(batch)
    return (batch - 2) / (batch - 3)


def refuse_small(batch: int) -> None:
    """The rates exist from four samples on."""
    if batch <= 3:
        raise NetworkError(
            "Gradients of a batch-normed network have an explosion rate from 4 samples on: "
            f"expected batch > 3, found {batch}. Take a larger batch."
        )


def max_trainable_depth(rate: float) -> float:
    """Up to about which depth a network with this explosion rate still trains: ``16 / ln(rate)``.

    ``16 xi`` with ``xi = 1 / ln(rate)`` (Yang et al. 2019; an observation, no theorem).

    >>> round(max_trainable_depth(RELU_BATCHNORM_EXPLOSION_LIMIT), 1)
    41.8
    """
    return 16 / math.log(rate) if rate > 1 else math.inf


def log_gain_mean(depth: int, width: int) -> float:
    """How a He ReLU network typically scales a signal: mean of ``ln(||x_L||^2 / ||x_0||^2)``.

    ``-5 L / (2 N)``: although the mean gain is 1, the typical one decays. Derived: the gain of
    one layer has variance ``5/N``, and ``ln`` of a log-normal with mean 1 is centred at minus half
    its variance.

    >>> log_gain_mean(20, 100)
    -0.5
    """
    return -2.5 * depth / width


def log_gain_variance(depth: int, width: int) -> float:
    """How much He ReLU networks differ in scale: variance of ``ln(||x_L||^2 / ||x_0||^2)``.

    ``5 L / N`` over draws of the weights, to first order in ``L / N``. Derived; that the sum of
    inverse widths is what counts is Hanin 2018.

    >>> log_gain_variance(20, 100)
    1.0
    """
    return 5 * depth / width


def residual_batchnorm_gradient_ratio(depth: int, branch_scale: float = 1.0) -> float:
    """How much larger squared gradients are at the input than at the output, residual + BN.

    ``prod_{l < L} (1 + beta^2 / (1 + (1 - 1/pi) beta^2 l))`` for ``x + beta W relu(BN(x))`` with He
    weights and large batches: polynomial in depth (``~ L^1.467`` for beta = 1), against the
    exponential of the same network without its skips. Derived.

    >>> [round(residual_batchnorm_gradient_ratio(depth), 1) for depth in (10, 50, 100)]
    [17.3, 153.4, 414.0]
    """
    squared = branch_scale**2
    blocks = np.arange(depth)
    return float(np.prod(1 + squared / (1 + (1 - 1 / np.pi) * squared * blocks)))


def fuss_catalan_edge(depth: int) -> float:
    """How far the most stretched direction of a deep linear network is stretched (squared).

    ``(L + 1)^(L + 1) / L^L``, about ``e L``: the upper edge of the squared singular values of a
    product of ``L`` square Gaussian matrices whose mean squared singular value is 1 (edge of the
    Fuss-Catalan law, infinite width). Depth 0 is the identity: 1.

    >>> fuss_catalan_edge(1), fuss_catalan_edge(2)
    (4.0, 6.75)
    """
    return float((depth + 1) * (1 + 1 / depth) ** depth) if depth else 1.0
