"""The use of a non-linearity: numpy's least squares, closed forms, and theory for Gaussian input."""

import math

import numpy as np
import pytest
import torch

from skipnorm.formulas.nonlinearity import (
    LineFit,
    affine_misfit,
    co_activation,
    secant_slopes,
    steepest_slope,
)


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_misfit_is_that_of_least_squares():
    x = draw(4, 50) * 3 + 1
    y = torch.sigmoid(x) + 0.1 * draw(4, 50).cos()
    for row, image, found in zip(x.numpy(), y.numpy(), affine_misfit(x, y), strict=True):
        line = np.polyval(np.polyfit(row, image, 1), row)
        share = ((image - line) ** 2).sum() / ((image - image.mean()) ** 2).sum()
        assert found.item() == pytest.approx(share, rel=1e-9)


def test_slope_and_intercept_are_those_of_least_squares():
    x, y = draw(1, 30), draw(1, 60)[:, 30:]
    fit = LineFit.of(x, y)
    slope, intercept = np.polyfit(x[0].numpy(), y[0].numpy(), 1)
    assert fit.slope.item() == pytest.approx(slope, rel=1e-10)
    assert fit.intercept.item() == pytest.approx(intercept, rel=1e-10)


def test_fits_of_parts_add_up_to_the_fit_of_the_whole():
    x = draw(3, 90) + 100
    whole, parts = LineFit.of(x, x.square()), [(0, 20), (20, 33), (33, 90)]
    fits = [LineFit.of(x[:, a:b], x[:, a:b].square()) for a, b in parts]
    together = fits[0] + fits[1] + fits[2]
    torch.testing.assert_close(together.products, whole.products, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(together.means, whole.means, rtol=1e-13, atol=0)
    assert torch.equal(together.ranges, whole.ranges)


def test_a_straight_line_leaves_exactly_nothing():
    x = draw(2, 64).float() * 7 + 3
    assert affine_misfit(x, x).tolist() == [0.0, 0.0]


def test_a_unit_that_stands_still_has_no_index_and_nan_stays_nan():
    x = torch.tensor([[0.1, 0.2, 0.3], [math.nan, 1.0, 2.0]])
    assert affine_misfit(x, torch.full_like(x, 0.1)).isnan().all()
    fit = LineFit.of(x, x)
    assert fit.misfit.isnan().tolist() == [False, True]
    assert fit.still.tolist() == [False, False]


def test_co_activation_counts_pairs():
    on = draw(5, 8, 3) > 0
    pairs = [
        (on[:, i] & on[:, j]).double().mean(dim=1) for i in range(8) for j in range(8) if i != j
    ]
    expected = torch.stack(pairs).mean(dim=0)
    torch.testing.assert_close(co_activation(on.sum(dim=1), 8), expected)
    assert co_activation(torch.ones(2, 1), 1).isnan().all()


def test_secant_slopes_approach_the_derivative():
    x = draw(2, 20_000)
    found = secant_slopes(x, torch.tanh(x))
    inside = x.abs() < 1.5
    gap = (found - (1 - torch.tanh(x).square()))[inside].abs()
    assert gap.max() < 1e-2
    assert gap.mean() < 1e-3


def test_secant_slopes_stand_dense_samples_in_single_precision():
    x = draw(1, 100_000).float()
    found = secant_slopes(x, torch.tanh(x))
    gap = (found - (1 - torch.tanh(x.double()).square()))[x.abs() < 1.5].abs()
    assert gap.max() < 1e-2


def test_secant_slopes_of_ties_are_unknown():
    x = torch.tensor([[1.0, 1.0, 1.0, 2.0]])
    found = secant_slopes(x, 3 * x).nan_to_num(-1).tolist()[0]
    assert found == [-1, -1, 3, 3]


@pytest.mark.parametrize(
    ("function", "steepest"),
    [
        (torch.relu, 1.0),
        (torch.sigmoid, 0.25),
        (torch.tanh, 1.0),
        # Phi(x) + x phi(x) is largest at sqrt 2; s + x s (1 - s) where 2 = x tanh(x/2)
        (torch.nn.functional.gelu, 1.1289),
        (torch.nn.functional.silu, 1.0998),
    ],
)
def test_steepest_slopes_known_on_paper(function, steepest: float):
    assert steepest_slope(function) == pytest.approx(steepest, abs=1e-4)
