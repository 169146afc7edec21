"""Laws of the residual stream against each other and against sampled Gaussians."""

import math

import numpy as np
import pytest
import scipy.stats

from skipnorm.errors import NetworkError
from skipnorm.formulas import propagation


def test_moments_of_the_relu_of_a_gaussian():
    z = np.maximum(np.random.default_rng(0).standard_normal(4_000_000), 0)
    assert z.mean() == pytest.approx(propagation.RELU_MEAN, abs=1e-3)
    assert z.var() == pytest.approx(propagation.RELU_VARIANCE, abs=1e-3)
    total = propagation.RELU_MEAN**2 + propagation.RELU_VARIANCE
    assert total == pytest.approx(0.5)


def test_pre_activation_grows_by_one_per_block_in_all():
    blocks = np.arange(5)
    variance = propagation.residual_channel_variance("norm-act-weight", blocks)
    mean = propagation.residual_channel_squared_mean("norm-act-weight", blocks)
    np.testing.assert_allclose(variance + mean, 1 + blocks)


def test_orders_differ():
    assert propagation.residual_channel_variance("act-norm-weight", 3) == 4
    assert propagation.residual_channel_squared_mean("act-norm-weight", 3) == 0
    late = propagation.residual_channel_squared_mean("weight-norm-act", 4)
    assert late == pytest.approx(16 / (2 * math.pi))


def test_branch_scale_and_gain_multiply_what_a_branch_adds():
    for order in ("norm-act-weight", "act-norm-weight", "weight-norm-act"):
        full = propagation.residual_channel_variance(order, 6) - 1
        scaled = propagation.residual_channel_variance(order, 6, branch_scale=0.5) - 1
        assert scaled == pytest.approx(full / 4)
    gained = propagation.residual_channel_variance("act-norm-weight", 6, gain=2) - 1
    assert gained == pytest.approx(12)
    untouched = propagation.residual_channel_variance("weight-norm-act", 6, gain=9)
    assert untouched == propagation.residual_channel_variance("weight-norm-act", 6)


def test_normaliser_free_recursion():
    value = 1.0
    for block in range(1, 8):
        value = 0.81 * value + 0.25
        assert propagation.nf_variance(block, 0.5, 0.9) == pytest.approx(value)
    assert propagation.nf_variance(7, 0.5, 1 - 1e-9) == pytest.approx(1 + 7 / 4, rel=1e-6)


def test_scales_of_shortcut_and_branch():
    assert propagation.unnormalised_second_moment(10, 0.0, 0.9) == pytest.approx(0.9**20)
    assert propagation.direct_path_gradient(10, 0.9) ** 2 == pytest.approx(0.9**20)


def test_path_length_without_norm_is_binomial():
    lengths = scipy.stats.binom(54, 0.5)
    assert propagation.expected_path_length(np.ones(54)) == lengths.mean()


def test_unknown_order_names_the_nearest():
    with pytest.raises(NetworkError, match="norm-act-weight"):
        propagation.residual_channel_variance("norm-act-wait", 1)
