"""Extreme singular values against numpy's full decomposition."""

import numpy as np
import pytest
import torch

from skipnorm.formulas.singular import extreme_singular_values


def matrix(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def lanczos(maps, **settings):
    """Golub-Kahan-Lanczos on (maps, rows, columns), started in the columns."""
    start = matrix(len(maps), maps.shape[2], seed=1)
    return extreme_singular_values(
        lambda v: torch.einsum("mrc,mc->mr", maps, v),
        lambda u: torch.einsum("mrc,mr->mc", maps, u),
        start,
        maps.shape[1],
        **settings,
    )


@pytest.mark.parametrize("shape", [(3, 12, 12), (2, 20, 7), (1, 9, 1)])
def test_exact_when_all_steps_are_made(shape):
    maps = matrix(*shape)
    expected = np.linalg.svd(maps.numpy(), compute_uv=False)
    found = lanczos(maps, count=1, steps=100, tolerance=0.0)
    assert found.steps == shape[2]
    np.testing.assert_allclose(found.largest[:, 0], expected[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found.smallest, expected[:, -1], rtol=1e-10)


def test_largest_of_a_large_map_in_few_steps_with_residuals_that_bound_the_error():
    maps = matrix(2, 300, 200) * torch.linspace(0.1, 3, 200, dtype=torch.float64) ** 2
    expected = np.linalg.svd(maps.numpy(), compute_uv=False)
    found = lanczos(maps, count=3, steps=40, tolerance=0.0)
    for index in range(2):
        for value, residual in zip(
            found.largest[index], found.largest_residuals[index], strict=True
        ):
            assert np.abs(expected[index] - float(value)).min() <= float(residual) + 1e-9
    np.testing.assert_allclose(found.largest[:, 0], expected[:, 0], rtol=1e-6)
    assert bool((found.smallest >= torch.from_numpy(expected[:, -1])).all())


def test_repeated_values_and_an_exhausted_space():
    a = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0, 0.0, 0.0], dtype=torch.float64))[None]
    found = lanczos(a, count=4, steps=6, tolerance=0.0)
    torch.testing.assert_close(found.largest[0], torch.tensor([2.0, 2, 2, 1]).double())
    assert float(found.smallest) < 1e-12


def test_an_orthogonal_map_is_an_isometry():
    orthogonal, _ = torch.linalg.qr(matrix(30, 30))
    found = lanczos(orthogonal[None], count=2, steps=10)
    assert float(found.largest[0, 0]) == pytest.approx(1, abs=1e-12)
    assert float(found.smallest) == pytest.approx(1, abs=1e-12)


def test_zero_and_nan_are_reported():
    assert lanczos(torch.zeros(1, 4, 4, dtype=torch.float64)).largest.tolist() == [[0.0]]
    maps = matrix(2, 4, 4)
    maps[0, 0, 0] = torch.nan
    found = lanczos(maps, steps=4)
    assert bool(found.largest[0].isnan().all())
    assert float(found.largest[1]) == pytest.approx(np.linalg.svd(maps[1], compute_uv=False)[0])
