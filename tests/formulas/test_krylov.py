"""Block Lanczos, quadrature and trace against numpy on matrices whose spectrum is known."""

import math

import numpy as np
import pytest
import torch

from skipnorm.formulas.krylov import block_lanczos, signs
from skipnorm.formulas.spectra import cells, density, hutchinson, quadrature, ritz_pairs


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rotation(size, seed=1):
    draw = torch.randn(size, size, generator=generator(seed), dtype=torch.float64)
    return torch.linalg.qr(draw)[0]


def matrix_with(values, seed=1):
    turn = rotation(len(values), seed)
    return (turn * torch.as_tensor(values, dtype=torch.float64)) @ turn.T


def space_of(matrix, *, vectors=2, most=None, dtype=torch.float64, enough=None, seed=0):
    matrix = matrix.to(dtype)
    start = signs(vectors, matrix[0], generator(seed))
    most = most or len(matrix)
    return block_lanczos(
        lambda rows: rows @ matrix, start, most=most, enough=enough, generator=generator(seed + 1)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("vectors", [1, 2, 3, 7])
def test_the_basis_is_orthonormal_and_the_projection_is_one(vectors, dtype):
    matrix = matrix_with(np.linspace(-1, 10, 60))
    space = space_of(matrix, vectors=vectors, most=40, dtype=dtype)
    basis = space.basis.double()
    tight = 1e-12 if dtype == torch.float64 else 1e-5
    eye = torch.eye(space.size, dtype=torch.float64)
    torch.testing.assert_close(basis @ basis.T, eye, rtol=0, atol=tight)
    torch.testing.assert_close(basis @ matrix @ basis.T, space.projected, rtol=0, atol=10 * tight)
    assert space.asymmetry < 10 * tight


@pytest.mark.parametrize("vectors", [1, 2, 3, 5])
def test_a_complete_space_has_every_eigenvalue(vectors):
    values = np.linspace(-3, 5, 23)
    space = space_of(matrix_with(values), vectors=vectors)
    assert space.complete
    np.testing.assert_allclose(ritz_pairs(space).values.numpy(), values, atol=1e-10)


def test_the_residual_of_a_pair_is_that_of_the_matrix():
    matrix = matrix_with(np.linspace(0, 1, 80) ** 4)
    space = space_of(matrix, vectors=3, most=24)
    pairs = ritz_pairs(space)
    vectors = pairs.coordinates.T @ space.basis
    truth = torch.linalg.vector_norm(vectors @ matrix - pairs.values[:, None] * vectors, dim=1)
    torch.testing.assert_close(pairs.residuals, truth, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize(("values", "vectors"), [([4.0] * 30, 2), ([5.0] * 4 + [1.0] * 30, 1)])
def test_eigenvalues_of_any_multiplicity_are_found(values, vectors):
    space = space_of(matrix_with(values), vectors=vectors, most=20)
    top = ritz_pairs(space).values.flip(0)[:4].tolist()
    assert top == pytest.approx(sorted(values)[::-1][:4])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_matrix_smaller_than_the_block(size):
    values = np.arange(1.0, size + 1)
    space = space_of(matrix_with(values), vectors=5, most=50)
    np.testing.assert_allclose(ritz_pairs(space).values.numpy(), values, atol=1e-12)


def test_the_zero_matrix():
    space = space_of(torch.zeros(9, 9), vectors=2, most=6)
    assert ritz_pairs(space).values.abs().max() == 0
    assert ritz_pairs(space).residuals.max() == 0


def test_the_top_settles_long_before_the_space_is_complete():
    values = np.concatenate([np.linspace(0, 1, 495), [5.0, 6, 7, 8, 20]])
    matrix = matrix_with(values)

    def enough(space):
        pairs = ritz_pairs(space)
        top = pairs.values.argsort(descending=True)[:5]
        return len(top) == 5 and pairs.settled(top, 1e-6, 0.0)

    space = space_of(matrix, vectors=2, most=200, enough=enough)
    assert space.size <= 60
    found = ritz_pairs(space).values.flip(0)[:5].tolist()
    assert found == pytest.approx([20, 8, 7, 6, 5], rel=1e-10)


def test_the_limit_of_products_is_kept():
    calls = []
    matrix = matrix_with(np.linspace(0, 1, 50))
    block_lanczos(
        lambda rows: (calls.append(len(rows)), rows @ matrix)[1],
        signs(3, matrix[0], generator()),
        most=10,
    )
    assert sum(calls) == 9


def test_an_asymmetric_product_is_noticed():
    matrix = matrix_with(np.linspace(0, 1, 50)) + torch.ones(50, 50, dtype=torch.float64).triu(1)
    assert space_of(matrix, vectors=2, most=20).asymmetry > 0.01


def test_a_nan_does_not_hang():
    space = block_lanczos(
        lambda rows: rows * 1.0,
        torch.ones(1, 6, dtype=torch.float64),
        most=4,
        enough=lambda _: True,
    )
    assert space.size == 1


def test_the_quadrature_of_a_known_spectrum():
    values = np.concatenate([np.linspace(1, 3, 390), np.linspace(5, 9, 10)])
    matrix = matrix_with(values)
    # 32 start vectors: the standard error of the trace is 0.6 %
    nodes, weights = quadrature(space_of(matrix, vectors=32, most=320))
    assert float(weights.sum()) == pytest.approx(1)
    # science.md, H3-j: trace within 2 %
    assert float((weights * nodes).sum()) * 400 == pytest.approx(values.sum(), rel=0.02)
    edges, width = cells(nodes)
    mass = density(nodes, weights, edges, width) * edges.diff()
    assert float(mass.sum()) == pytest.approx(1, abs=1e-8)
    middle = (edges[1:] + edges[:-1]) / 2
    assert float(mass[middle > 4].sum()) == pytest.approx(10 / 400, rel=0.5)
    for quantile in (0.25, 0.5, 0.75):
        below = float(mass[middle < np.quantile(values, quantile)].sum())
        assert below == pytest.approx(quantile, abs=0.06)


@pytest.mark.parametrize("blocks", [2, 3, 4])
def test_the_quadrature_matches_twice_as_many_moments_as_it_has_blocks(blocks):
    matrix = matrix_with(np.linspace(-1, 2, 40))
    start = signs(2, matrix[0], generator())
    space = block_lanczos(lambda rows: rows @ matrix, start, most=2 * blocks)
    nodes, weights = quadrature(space)
    power = start
    for degree in range(1, 2 * blocks):
        power = power @ matrix
        truth = float((start * power).sum(dim=1).mean() / 40)
        assert float((weights * nodes**degree).sum()) == pytest.approx(truth, rel=1e-9)


def test_hutchinson_is_right_within_its_standard_error():
    matrix = matrix_with(np.linspace(-1, 2, 100))
    scores = []
    for seed in range(200):
        probes = signs(20, matrix[0], generator(seed))
        mean, error = hutchinson(probes @ matrix, probes)
        scores.append((mean - 50.0) / error)
    # Student's t with 19 degrees of freedom: standard deviation sqrt(19/17) = 1.057
    assert abs(np.mean(scores)) < 3 * 1.06 / math.sqrt(200)
    assert np.std(scores) == pytest.approx(1.057, rel=0.15)


def test_one_sample_has_no_standard_error():
    assert math.isnan(hutchinson(torch.ones(1, 3), torch.ones(1, 3))[1])


def test_a_single_eigenvalue_has_a_density_too():
    nodes, weights = torch.tensor([3.0, 3.0]), torch.tensor([0.5, 0.5])
    edges, width = cells(nodes)
    mass = density(nodes, weights, edges, width) * edges.diff()
    assert float(mass.sum()) == pytest.approx(1, abs=1e-6)
    assert float(edges[0]) < 3 < float(edges[-1])
