"""Rates against published values, limits and asymptotes."""

import math

import pytest

from skipnorm.errors import NetworkError
from skipnorm.formulas import explosion


@pytest.mark.parametrize(
    ("batch", "relu", "linear", "depth"),
    [
        (6, 2.0038, 1.3333, 23.0),
        (8, 1.7882, 1.2, 27.5),
        (32, 1.5220, 1.0345, 38.1),
        (128, 1.4797, 1.0080, 40.8),
        (512, 1.4701, 1.0020, 41.5),
    ],
)
def test_rates_of_yang(batch, relu, linear, depth):
    assert explosion.relu_batchnorm_explosion_rate(batch) == pytest.approx(relu, abs=1e-4)
    assert explosion.linear_batchnorm_explosion_rate(batch) == pytest.approx(linear, abs=1e-4)
    found = explosion.max_trainable_depth(explosion.relu_batchnorm_explosion_rate(batch))
    assert found == pytest.approx(depth, abs=0.1)


def test_large_batches_reach_the_limits():
    limit = explosion.RELU_BATCHNORM_EXPLOSION_LIMIT
    assert explosion.relu_batchnorm_explosion_rate(10**7) == pytest.approx(limit, rel=1e-6)
    assert explosion.linear_batchnorm_explosion_rate(10**7) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_small_batches_have_no_rate(batch):
    with pytest.raises(NetworkError, match="expected batch > 3"):
        explosion.relu_batchnorm_explosion_rate(batch)
    with pytest.raises(NetworkError, match="larger batch"):
        explosion.linear_batchnorm_explosion_rate(batch)


def test_what_does_not_explode_trains_at_any_depth():
    assert explosion.max_trainable_depth(1.0) == math.inf


def test_residual_ratio_is_polynomial():
    ratio = explosion.residual_batchnorm_gradient_ratio
    exponent = math.log2(ratio(4000) / ratio(2000))
    assert exponent == pytest.approx(1 / (1 - 1 / math.pi), abs=1e-2)
    assert ratio(0) == 1
    assert ratio(30, 0.0) == 1


def test_log_gain_is_that_of_a_mean_of_one():
    # E exp(g) = 1 for a normal g: mean = -variance / 2.
    mean, variance = explosion.log_gain_mean(7, 30), explosion.log_gain_variance(7, 30)
    assert mean == pytest.approx(-variance / 2)


def test_fuss_catalan_edges():
    assert explosion.fuss_catalan_edge(5) == pytest.approx(6**6 / 5**5)
    assert explosion.fuss_catalan_edge(0) == 1
    assert explosion.fuss_catalan_edge(1000) == pytest.approx(math.e * 1000, rel=1e-2)
