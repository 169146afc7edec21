"""How far along a line a series remembers itself, measured and expected. Needs numpy only."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skipnorm.formulas.kernels import arc_cosine_kernel, arc_cosine_slope

__all__ = [
    "autocorrelation",
    "brown_noise_covariance",
    "expected_autocorrelation",
    "line_gradient_covariance",
    "white_noise_autocorrelation",
]

Array = NDArray[np.float64]
_ROUNDING = 64.0


def autocorrelation(series: ArrayLike, lags: Sequence[int]) -> Array:
    """How alike a series is to itself ``k`` steps on, for every lag ``k``.

    ``ACF(k) = sum_i (g_i - m)(g_{i+k} - m) / sum_i (g_i - m)^2`` with ``m`` the mean of the whole series
    (Balduzzi et al. 2017, figure 2). The last dimension is the series; the result has the lags there.
    NaN where the series holds NaN or Inf, and where it is constant up to 64 units of its rounding: a
    constant has no autocorrelation. Lags at or beyond the length are NaN.

    >>> autocorrelation([1.0, -1.0, 1.0, -1.0], [0, 1, 2]).tolist()
    [1.0, -0.75, 0.5]
    >>> autocorrelation([3.0, 3.0], [1]).tolist()
    [nan]
    """
    given = np.asarray(series)
    rounding = np.finfo(given.dtype if given.dtype.kind == "f" else np.float64).eps
    values = given.astype(np.float64)
    size = values.shape[-1]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        tallest = np.abs(values).max(axis=-1, keepdims=True)
        values = values / np.where(tallest > 0, tallest, 1.0)
        departures = values - values.mean(axis=-1, keepdims=True)
        energy = (departures**2).sum(axis=-1)
        energy = np.where(np.sqrt(energy / size) <= _ROUNDING * rounding, np.nan, energy)
        found = [
            (departures[..., : size - lag] * departures[..., lag:]).sum(axis=-1) / energy
            if 0 <= lag < size
            else np.full_like(energy, np.nan)
            for lag in lags
        ]
    return np.stack(found, axis=-1)


def white_noise_autocorrelation(size: int, lags: Sequence[int]) -> Array:
    """What `autocorrelation` is on average where the values have nothing to do with each other.

    ``-(n - k) / (n (n - 1))`` for ``k > 0``, exactly, whatever the distribution: all pairs are alike, and
    all departures from the mean add up to zero.

    >>> white_noise_autocorrelation(5, [0, 1]).tolist()
    [1.0, -0.2]
    """
    steps = np.asarray(lags, dtype=np.float64)
    return np.where(steps == 0, 1.0, -(size - steps) / (size * (size - 1)))


def brown_noise_covariance(size: int) -> Array:
    """How the values of a random walk go together: ``min(i, j)``, counted from 1.

    >>> brown_noise_covariance(2).tolist()
    [[1.0, 1.0], [1.0, 2.0]]
    """
    steps = np.arange(1.0, size + 1)
    return np.asarray(np.minimum.outer(steps, steps))


def expected_autocorrelation(covariance: ArrayLike, lags: Sequence[int]) -> Array:
    """What `autocorrelation` is on average for a Gaussian series with mean zero and this covariance.

    The mean of a ratio of quadratic forms, not the ratio of their means:
    ``E[z'Az / z'Mz] = integral_0^inf det(I + 2tM)^(-1/2) tr(A (I + 2tM)^(-1)) dt`` (Magnus 1986, theorem 6).

    >>> bool(np.allclose(expected_autocorrelation(np.eye(5), [0, 1]), [1.0, -0.2]))
    True
    """
    given = np.asarray(covariance, dtype=np.float64)
    size = len(given)
    values, vectors = np.linalg.eigh(given - given.mean(0) - given.mean(1)[:, None] + given.mean())
    kept = values > values[-1] * size * np.finfo(np.float64).eps
    roots, directions = values[kept] / values[kept].sum(), vectors[:, kept]
    nodes, weights = np.polynomial.legendre.leggauss(400)
    shares = (nodes + 1) / 2
    times = (shares / (1 - shares)) ** 2  # the half line, with more nodes near 0
    slopes = 2 * shares / (1 - shares) ** 3 * weights / 2
    spread = 1 + 2 * np.outer(times, roots)
    decay = np.exp(-0.5 * np.log(spread).sum(axis=1)) * slopes
    means = (decay[:, None] * roots / spread).sum(axis=0)  # E[z_i^2 m_i / z'Mz]
    found = []
    for lag in lags:
        products = (directions[: size - lag] * directions[lag:]).sum(axis=0)
        found.append(float((means * products).sum()))
    return np.array(found)


def line_gradient_covariance(
    inputs: ArrayLike, depth: int, *, centred: bool = False, residual: bool = False
) -> Array:
    """How the gradients ``df/dx`` of a wide ReLU network on the line go together, up to a constant.

    Balduzzi's set-up: one input, first layer ``w x + b`` with both drawn from N(0, 2), then ``depth`` ReLUs, all
    but the first behind a matrix drawn from N(0, 2/N), and a last one behind them all. Infinitely wide, the function is
    a Gaussian process with the arc-cosine kernel ``K`` (Cho & Saul 2009), and so is its gradient, with the
    covariance ``d^2 K / dx dx'``: on the line it is more than the product of the layers' ``J'(c)``, because the
    weight in front of a unit says where its kink is.
    ``centred``: every ReLU's input has the mean over all inputs subtracted, as a constant.
    ``residual``: behind the first layer as many blocks ``(x + W relu(x)) / sqrt 2`` instead, and one ReLU. Derived.

    >>> line_gradient_covariance([-1.0, 1.0], 1).round(4).tolist()  # off the diagonal 1 - 2/pi
    [[2.0, 0.3634], [0.3634, 2.0]]
    """
    points = np.asarray(inputs, dtype=np.float64)
    signal = 2 * (1 + np.outer(points, points))
    slope = 2 * np.broadcast_to(points, signal.shape)  # slope[i, j] = E[h'(x_i) h(x_j)]
    gradient = np.full_like(signal, 2.0)
    for _ in range(depth):
        if centred:
            signal = signal - signal.mean(0) - signal.mean(1)[:, None] + signal.mean()
            slope = slope - slope.mean(1)[:, None]
        bent = _through_relu(signal, slope, gradient)
        if residual:
            before = (signal, slope, gradient)
            bent = tuple((x + y) / 2 for x, y in zip(before, bent, strict=True))  # type: ignore[assignment]
        signal, slope, gradient = bent
    return _through_relu(signal, slope, gradient)[2] if residual else gradient


def _through_relu(signal: Array, slope: Array, gradient: Array) -> tuple[Array, Array, Array]:
    """The covariances of h, of h' with h, and of h', after ``W relu(h)`` with variance 2/N."""
    power, drift = np.diag(signal), np.diag(slope)  # E h^2, and half its derivative
    scale = np.sqrt(np.outer(power, power))
    c = np.clip(signal / scale, -1.0, 1.0)
    on, root = arc_cosine_slope(c), np.sqrt(1 - c * c)
    along = (drift / power)[:, None] * scale * root / np.pi
    departure = slope - signal * (drift / power)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        kinks = np.where(root > 1e-7, departure * departure.T / (np.pi * scale * root), 0.0)
    both = np.outer(drift, drift) * root / (np.pi * scale)
    return scale * arc_cosine_kernel(c), on * slope + along, on * gradient + kinks + both
