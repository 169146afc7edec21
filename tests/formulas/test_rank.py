"""Ranks against scipy's entropy, eigenvalues, and matrices whose rank is known."""

import pytest
import scipy.stats
import torch

from skipnorm.formulas.rank import effective_rank, soft_rank


def gaussian(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 2, 3)])
def test_effective_rank_is_the_exponential_of_scipys_entropy(shape):
    values = gaussian(*shape)
    singular = torch.linalg.svdvals(values.flatten(1)).numpy()
    expected = pytest.approx(float(torch.tensor(scipy.stats.entropy(singular)).exp()))
    assert float(effective_rank(values)) == expected


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 2, 3)])
def test_soft_rank_is_the_participation_ratio_of_the_eigenvalues(shape):
    values = gaussian(*shape)
    powers = torch.linalg.svdvals(values.flatten(1)) ** 2
    expected = float(powers.sum() ** 2 / (powers**2).sum())
    assert float(soft_rank(values)) == pytest.approx(expected)


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("measure", [effective_rank, soft_rank])
def test_rank_of_orthogonal_directions_of_equal_size(measure, rank):
    basis, _ = torch.linalg.qr(gaussian(8, rank))
    assert float(measure(basis @ basis.T)) == pytest.approx(rank)


@pytest.mark.parametrize("measure", [effective_rank, soft_rank])
def test_between_one_and_the_rank_and_blind_to_scale(measure):
    values = gaussian(9, 5)
    found = float(measure(values))
    assert 1 <= found <= 5
    assert float(measure(1e-25 * values.float())) == pytest.approx(found, rel=1e-4)


@pytest.mark.parametrize("measure", [effective_rank, soft_rank])
@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_nothing_has_no_rank(measure, value):
    assert measure(torch.full((3, 4), value)).isnan()
