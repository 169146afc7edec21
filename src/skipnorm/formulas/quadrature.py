"""Gaussian averages of activations by quadrature, and what follows from them. Needs numpy only."""

import math
from collections.abc import Callable
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import NetworkError, nearest

__all__ = [
    "SCALAR_ACTIVATIONS",
    "gaussian_mean",
    "mean_field_slope",
    "nonlinearity_index",
    "on_fraction",
    "second_moment_gain",
    "variance_gain",
]

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(z: Array) -> Array:
    return 0.5 * (1 + np.tanh(z / 2))


def _squared_tanh(z: Array, scale: float) -> Array:
    return np.tanh(scale * z) ** 2


#: Activations as plain numpy functions, under the names that recipes use.
SCALAR_ACTIVATIONS: dict[str, Function] = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0.0),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "gelu": lambda z: z * 0.5 * (1 + _erf(z / math.sqrt(2))),
    "silu": lambda z: z * _sigmoid(z),
    "softplus": lambda z: np.logaddexp(0.0, z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0.0))),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
}


def gaussian_mean(function: Function, kink: float = 0.0) -> float:
    """What a function of a standard Gaussian is on average: ``E f(z)`` with ``z ~ N(0, 1)``.

    Gauss-Legendre with 200 nodes on each side of ``kink``, out to 12 standard deviations: exact to
    about 1e-12 for functions that are smooth but for one point.

    >>> round(gaussian_mean(lambda z: np.maximum(z, 0)), 8) == round(1 / math.sqrt(2 * math.pi), 8)
    True
    """
    nodes, weights = _nodes()
    total = 0.0
    for low, high in ((-12.0, kink), (kink, 12.0)):
        z = low + (high - low) * (nodes + 1) / 2
        density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        total += float(np.sum(weights * density * function(z))) * (high - low) / 2
    return total


@cache
def _nodes() -> tuple[Array, Array]:
    """Finding them takes longer than using them."""
    return np.polynomial.legendre.leggauss(200)


def scalar_activation(name: str) -> Function:
    """The numpy function of an activation; NetworkError names the choices."""
    if name not in SCALAR_ACTIVATIONS:
        raise NetworkError(f"Unknown activation: {nearest(name, SCALAR_ACTIVATIONS)}")
    return SCALAR_ACTIVATIONS[name]


def variance_gain(activation: str) -> float:
    """By what to multiply an activation so that a standard Gaussian keeps its variance.

    ``1 / sqrt(Var phi(z))``, ``z ~ N(0, 1)``: the gain of normaliser-free networks (Brock et al.
    2021). For ReLU ``sqrt(2 / (1 - 1/pi))``.

    >>> [round(variance_gain(name), 5) for name in ("relu", "tanh", "sigmoid", "gelu", "silu")]
    [1.71286, 1.59254, 4.80131, 1.70093, 1.78719]
    """
    phi = scalar_activation(activation)
    mean = gaussian_mean(phi)
    return 1 / math.sqrt(gaussian_mean(lambda z: (phi(z) - mean) ** 2))


def second_moment_gain(activation: str) -> float:
    """By what to multiply an activation so that a standard Gaussian keeps its second moment.

    ``1 / sqrt(E phi(z)^2)``; ``sqrt(2)`` for ReLU, the gain of He et al. 2015.

    >>> round(second_moment_gain("relu") ** 2, 10)
    2.0
    """
    phi = scalar_activation(activation)
    return 1 / math.sqrt(gaussian_mean(lambda z: phi(z) ** 2))


def nonlinearity_index(activation: str, gain: float = 1.0, shift: float = 0.0) -> float:
    """How much of an activation a straight line cannot explain: ``1 - R^2`` of the best affine fit.

    The input is ``z = gain * u + shift`` with ``u ~ N(0, 1)``, what a batch norm with these affine
    parameters hands on; 0 means the unit acts linearly. ``R^2 = Cov(phi, u)^2 / Var(phi)``.
    Derived (Stein's lemma turns the covariance into ``gain * E phi'(z)``).

    >>> round(nonlinearity_index("sigmoid"), 4), round(nonlinearity_index("tanh"), 4)
    (0.0158, 0.0695)
    >>> round(nonlinearity_index("relu"), 4)  # 1 - 1/4 / ((1 - 1/pi)/2)
    0.2665
    """
    phi = scalar_activation(activation)
    kink = float(np.clip(-shift / gain, -11.9, 11.9))
    mean = gaussian_mean(lambda u: phi(gain * u + shift), kink)
    variance = gaussian_mean(lambda u: (phi(gain * u + shift) - mean) ** 2, kink)
    covariance = gaussian_mean(lambda u: phi(gain * u + shift) * u, kink)
    return 1 - covariance**2 / variance


def on_fraction(gain: float = 1.0, shift: float = 0.0) -> float:
    """How often a ReLU behind a batch norm is on: ``P(gain * u + shift > 0)``, ``u ~ N(0, 1)``.

    >>> on_fraction(), round(on_fraction(shift=1.0), 4)
    (0.5, 0.8413)
    """
    return 0.5 * (1 + math.erf(shift / (abs(gain) * math.sqrt(2))))


def mean_field_slope(weight_variance: float, bias_variance: float = 0.0) -> float:
    """Whether gradients vanish or explode in a wide tanh network without norm or skip: ``chi_1``.

    ``chi_1 = sw E tanh'(sqrt(q) z)^2`` at the fixed point of ``q = sw E tanh(sqrt(q) z)^2 + sb``,
    with weights ``N(0, sw/N)`` and biases ``N(0, sb)``; squared gradients are multiplied by it at
    every layer. Below 1: ordered, vanishing; above: chaotic, exploding (Poole et al. 2016,
    Schoenholz et al. 2017).

    >>> round(mean_field_slope(1.7610, 0.05), 3), round(mean_field_slope(1.3, 0.05), 3)
    (1.0, 0.88)
    """
    q = 1.0
    for _ in range(10_000):
        scale = math.sqrt(q)
        square = gaussian_mean(partial(_squared_tanh, scale=scale))
        following = weight_variance * square + bias_variance
        if abs(following - q) < 1e-13:
            break
        q = following
    scale = math.sqrt(q)
    return weight_variance * gaussian_mean(lambda z: np.cosh(scale * z) ** -4.0)
