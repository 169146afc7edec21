"""Autocorrelation of df/dx: series known on paper, and the table of science.md 7.3c."""

import math

import numpy as np
import pytest
import torch
from tests.probes.test_shattering_balduzzi import LINE, Line, line_autocorrelation
from torch import nn

from skipnorm.errors import ProbeError
from skipnorm.formulas.autocorrelation import (
    autocorrelation,
    brown_noise_covariance,
    expected_autocorrelation,
    line_gradient_covariance,
    white_noise_autocorrelation,
)
from skipnorm.networks.recipe import Perceptron
from skipnorm.probes.shattering import input_gradient_autocorrelation

LAGS = [1, 5, 15]


class Slopes(nn.Module):
    """A function whose gradient at the grid's points is a given series."""

    def __init__(self, slopes):
        super().__init__()
        self.register_buffer("slopes", slopes)

    def forward(self, x):
        return self.slopes[: len(x), None] * x


@pytest.mark.parametrize("kind", ["white", "brown"])
def test_noise_has_the_autocorrelation_of_noise(kind):
    draws = torch.randn(400, 256, dtype=torch.float64)
    series = draws if kind == "white" else draws.cumsum(1)
    found = torch.stack([
        input_gradient_autocorrelation(Slopes(each), lags=LAGS).values[
            "input_gradient_autocorrelation"
        ]
        for each in series
    ])  # fmt: skip
    np.testing.assert_allclose(found, autocorrelation(series.numpy(), LAGS), rtol=1e-5, atol=1e-6)
    expected = {
        "white": white_noise_autocorrelation(256, LAGS),
        "brown": expected_autocorrelation(brown_noise_covariance(256), LAGS),
    }[kind]
    error = found.std(0) / math.sqrt(len(found))
    assert bool(((found.mean(0) - torch.from_numpy(expected)).abs() < 4 * error).all())


def test_the_gradient_is_that_of_a_finite_difference():
    network = Line(4, "none", "plain", 1.0, seed=0)
    found = input_gradient_autocorrelation(network.double(), grid=32)
    x = torch.from_numpy(found.coords["x"])[:, None]
    step = 1e-7
    numeric = (network(x + step) - network(x - step)) / (2 * step)
    expected = found.values["input_gradient"].double()
    close = (numeric - expected).abs() < 1e-4 * expected.abs().max()
    assert int(close.sum()) >= 31  # but where a kink lies within the step


def test_a_looks_linear_network_has_one_gradient_and_no_autocorrelation():
    recipe = Perceptron(
        inputs=1, outputs=1, depth=50, width=32, activation="crelu", initializer="looks_linear"
    )
    for dtype in (torch.float32, torch.float64):
        found = input_gradient_autocorrelation(recipe.build(0, dtype=dtype))
        gradient = found.values["input_gradient"].double()
        assert float(found.values["input_gradient_variance"]) < 1e-10 * float(gradient[0] ** 2)
        assert bool(found.values["input_gradient_autocorrelation"].isnan().all())


def test_recipes_of_perceptrons_take_part():
    recipe = Perceptron(inputs=1, depth=3, norm="batch")
    found = input_gradient_autocorrelation(recipe.build(0), statistics="detached")
    assert found.values["input_gradient"].shape == (256,)
    with pytest.raises(ProbeError, match="detached"):
        input_gradient_autocorrelation(recipe.build(0))


FAST = [
    ("plain", "none", 1.0, 1),
    ("plain", "centred", 1.0, 4),
    ("plain", "centred", 1.0, 24),
    ("plain", "batch", 1.0, 24),
    ("residual", "batch", 0.1, 10),
]


def check_line(case, draws):
    """The table is a mean of 40 draws itself: its standard error counts as well as that of the draws here."""
    found = line_autocorrelation(*case, draws=draws)
    error = found.std(0) / math.sqrt(draws)
    expected = torch.tensor(LINE[case]).double()
    allowed = 4 * error * math.sqrt(1 + draws / 40) + 0.005
    assert bool(((found.mean(0) - expected).abs() < allowed).all()), (found.mean(0), error)
    return float(found.mean(0)[0])


@pytest.mark.parametrize("case", FAST)
def test_a_few_rows_of_the_table(case):
    check_line(case, draws=10)


@pytest.mark.slow
@pytest.mark.parametrize("case", LINE)
def test_the_table(case):
    first = check_line(case, draws=40)
    kind, norm, beta, depth = case
    if kind == "plain" and norm != "none" and depth >= 24:
        assert abs(first) < 0.1
    if kind == "residual" and depth == 50:
        assert 0.5 < first < 0.8 if beta == 1 else first > 0.85
    if kind == "plain" and norm == "none" and depth == 24:
        assert first > 0.8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "norm", "depth"),
    [
        ("plain", "none", 4),
        ("plain", "none", 24),
        ("plain", "centred", 4),
        ("plain", "centred", 24),
        ("halved", "none", 10),
    ],
)
def test_wide_networks_come_to_the_arc_cosine_process(kind, norm, depth):
    """Truth: the Gaussian process of infinite width; at width 800 its draws agree within their errors."""
    found = line_autocorrelation(kind, norm, 1.0, depth, draws=30, width=800)
    grid = np.linspace(-2, 2, 256)
    covariance = line_gradient_covariance(
        grid, depth, centred=norm == "centred", residual=kind == "halved"
    )
    expected = torch.from_numpy(expected_autocorrelation(covariance, LAGS))
    error = found.std(0) / math.sqrt(len(found))
    assert bool(((found.mean(0) - expected).abs() < 4 * error + 0.01).all())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grid": 2}, "three points"),
        ({"between": (1.0, -1.0)}, "from low to high"),
        ({"lags": [300]}, "different lags"),
        ({"lags": []}, "different lags"),
        ({"statistics": "bach"}, "Did you mean 'batch'"),
        ({"covector": torch.ones(3)}, "covector of the output's shape"),
    ],
)
def test_settings_without_sense_are_refused(settings, message):
    with pytest.raises(ProbeError, match=message):
        input_gradient_autocorrelation(nn.Linear(1, 2), **settings)
