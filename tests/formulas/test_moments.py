"""Moments against scipy and against values known on paper."""

import pytest
import scipy.stats
import torch

from skipnorm.formulas.moments import (
    channel_squared_mean,
    channel_variance,
    kurtosis,
    mean_square,
)


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(0)
    shape = (6, 4, 3, 5)
    return torch.randn(shape, generator=generator, dtype=torch.float64) + torch.arange(5)


def test_squared_mean_and_variance_add_up_to_the_mean_square(maps):
    for dim in range(4):
        total = channel_squared_mean(maps, dim) + channel_variance(maps, dim)
        torch.testing.assert_close(total, mean_square(maps))


def test_channels_alone_have_the_variance_of_numpy(maps):
    rows = maps.movedim(1, 0).reshape(4, -1).numpy()
    assert float(channel_variance(maps)) == pytest.approx(rows.var(axis=1).mean())
    assert float(channel_squared_mean(maps)) == pytest.approx((rows.mean(axis=1) ** 2).mean())


def test_kurtosis_is_scipys(maps):
    rows = maps.movedim(-1, 0).reshape(5, -1).numpy()
    expected = scipy.stats.kurtosis(rows, axis=1, fisher=False).mean()
    assert float(kurtosis(maps, channel_dim=-1)) == pytest.approx(expected)


def test_kurtosis_of_a_long_gaussian_series_is_three():
    values = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(1))
    assert float(kurtosis(values)) == pytest.approx(3, abs=0.05)


def test_kurtosis_does_not_depend_on_scale(maps):
    small = (maps * 1e-12).float()  # fourth powers are out of float32's range
    large = (maps * 1e12).float()
    expected = float(kurtosis(maps))
    assert float(kurtosis(small)) == pytest.approx(expected, rel=1e-4)
    assert float(kurtosis(large)) == pytest.approx(expected, rel=1e-4)


def test_still_channels_have_no_kurtosis():
    values = torch.tensor([[1.0, 5.0], [-1.0, 5.0]])
    assert float(kurtosis(values)) == 1
    assert kurtosis(values[:, 1:]).isnan()


@pytest.mark.parametrize("moment", [mean_square, channel_squared_mean, channel_variance, kurtosis])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so(moment, bad):
    values = torch.tensor([[1.0, 2.0], [3.0, bad]])
    assert not moment(values).isfinite()
    assert not moment(torch.full((3, 2), bad)).isfinite()


def test_half_precision_is_widened():
    values = torch.full((2, 2), 1000.0, dtype=torch.float16)
    assert float(mean_square(values)) == 1e6
    assert float(channel_squared_mean(values)) == 1e6
