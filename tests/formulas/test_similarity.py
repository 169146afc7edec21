"""The closed form against the matrix of cosines."""

import pytest
import torch

from skipnorm.formulas.similarity import sample_correlation


def by_pairs(values):
    rows = values.flatten(1)
    cosines = [
        torch.cosine_similarity(rows[i], rows[j], dim=0)
        for i in range(len(rows))
        for j in range(len(rows))
        if i != j
    ]
    return float(torch.stack(cosines).mean())


@pytest.mark.parametrize("shape", [(2, 3), (7, 5), (4, 3, 2, 2)])
def test_equals_the_mean_over_pairs(shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(sample_correlation(values + 0.3)) == pytest.approx(by_pairs(values + 0.3))


def test_centred_batches_of_equal_length_have_minus_one_over_n_minus_one():
    simplex = torch.eye(5, dtype=torch.float64) - 0.2
    assert float(sample_correlation(simplex)) == pytest.approx(-0.25)


def test_scale_of_a_sample_does_not_matter_even_at_the_edge_of_float32():
    values = torch.tensor([[1.0, 2.0], [2.0, -1.0], [1.0, 1.0]])
    scales = torch.tensor([[1e30], [1e-30], [1.0]])
    expected = float(sample_correlation(values))
    assert float(sample_correlation(values * scales)) == pytest.approx(expected, rel=1e-5)


def test_a_sample_without_direction_has_no_correlation():
    assert sample_correlation(torch.tensor([[0.0, 0.0], [1.0, 0.0]])).isnan()
    assert sample_correlation(torch.ones(1, 4)).isnan()
    assert sample_correlation(torch.tensor([[float("inf"), 0.0], [1.0, 0.0]])).isnan()


def test_scalar_samples_are_vectors_of_one():
    assert float(sample_correlation(torch.tensor([1.0, 5.0]))) == 1
