"""Block Lanczos: the extreme eigenpairs and the spectrum of a symmetric matrix that is only ever multiplied with."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Krylov", "block_lanczos", "signs"]

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Krylov:
    """A symmetric matrix A of n rows, as seen from m orthonormal vectors that it was multiplied with.

    Attributes:
        basis: (m, n), orthonormal rows Q.
        projected: (m, m), Q A Q^T, in float64.
        leaving: (c, m): how A carries each basis vector out of the basis, in c orthonormal coordinates.
        outside: (c, n): those directions; `A q_j = sum_i projected_ij q_i + sum_i leaving_ij outside_i`.
        start: (b, r): coordinates of the b start vectors in the first r rows of the basis.
        asymmetry: norm of the antisymmetric part of Q A Q^T over that of Q A Q^T, 0 for a symmetric product.
    """

    basis: Tensor
    projected: Tensor
    leaving: Tensor
    outside: Tensor
    start: Tensor
    asymmetry: float

    @property
    def size(self) -> int:
        """How many vectors the basis has, which is how many products it took."""
        return len(self.basis)

    @property
    def complete(self) -> bool:
        """Whether the basis spans the whole space, so that nothing about the matrix is estimated."""
        return self.size == self.basis.shape[1]


def block_lanczos(
    product: Product,
    start: Tensor,
    *,
    most: int,
    enough: Callable[[Krylov], bool] | None = None,
    generator: torch.Generator | None = None,
) -> Krylov:
    """The Krylov space of a symmetric matrix from several start vectors at once, with full reorthogonalisation.

    Every new block is orthogonalised twice against the whole basis (classical Gram-Schmidt, two matrix products each).
    Where the space closes before it is asked to (an invariant subspace), it goes on from new random vectors; so
    eigenvalues of any multiplicity are found.

    Args:
        product: from (c, n) to (c, n), each row multiplied by the matrix.
        start: (b, n), any scale.
        most: how many products at most; a block that would exceed it is not begun.
        enough: asked after every block; True ends the run.
        generator: draws the vectors with which a closed space goes on.

    Source: Golub & Underwood 1977; Golub & Van Loan, Matrix Computations, 10.3.6.

    >>> matrix = torch.diag(torch.tensor([5.0, 2.0, 2.0, 2.0]))
    >>> space = block_lanczos(lambda rows: rows @ matrix, torch.ones(1, 4), most=4)
    >>> torch.linalg.eigvalsh(space.projected).round(decimals=3).tolist()
    [2.0, 2.0, 2.0, 5.0]
    """
    build = _Builder(product, start, min(most, start.shape[1]), generator)
    while True:
        build.extend()
        if build.full or (enough is not None and enough(build.space())):
            return build.space()
        build.append()


def signs(rows: int, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Random vectors of plus and minus one (Rademacher), drawn on the CPU so that every device gets the same.

    >>> signs(2, torch.zeros(3)).abs().tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    drawn = torch.randint(0, 2, (rows, like.shape[-1]), generator=generator, dtype=torch.int8)
    return drawn.to(like).mul_(2).sub_(1)


class _Builder:
    """The basis while it grows: `rows[:high]`, of which `rows[low:high]` is the newest block."""

    def __init__(
        self, product: Product, start: Tensor, most: int, generator: torch.Generator | None
    ) -> None:
        self.product, self.most, self.generator = product, most, generator
        self.width = min(len(start), most)
        self.rows = start.new_empty((most, start.shape[1]))
        self.matrix = torch.zeros(most, most, dtype=torch.float64, device=start.device)
        self.low, self.high = 0, self.width
        directions, factor = torch.linalg.qr(start.T)
        self.rows[: self.width] = directions.T[: self.width]
        self.start = factor[: self.width].double().T
        self.leaving, self.coupling = self.rows[:0], self.matrix[:0, :0]

    def extend(self) -> None:
        """Multiply the newest block, and part what stays in the basis from what leaves it."""
        basis = self.rows[: self.high]
        image = self.product(basis[self.low :])
        for _ in range(2):
            along = basis @ image.T
            self.matrix[: self.high, self.low : self.high] += along.double()
            image = image - along.T @ basis
        directions, factor = torch.linalg.qr(image.T)
        left, sizes, right = torch.linalg.svd(factor.double(), full_matrices=False)
        kept = sizes > self._noise()
        self.coupling = sizes[kept, None] * right[kept]
        self.leaving = (directions @ left[:, kept].to(directions)).T

    @property
    def full(self) -> bool:
        """Whether there is no room for another block."""
        room = self.most - self.high
        return room <= 0 or (len(self.leaving) > room and self.most < self.rows.shape[1])

    def append(self) -> None:
        """Make the next block of what leaves the basis, or of random vectors if nothing does."""
        room = self.most - self.high
        closed = not len(self.leaving)
        fresh = self.leaving
        if closed:
            shape = (min(self.width, room), self.rows.shape[1])
            fresh = torch.randn(shape, generator=self.generator, dtype=torch.float64).to(self.rows)
        fresh = _orthonormal(fresh[:room], self.rows[: self.high])
        following = slice(self.high, self.high + len(fresh))
        self.rows[following] = fresh
        if not closed:
            self.matrix[following, self.low : self.high] = self.coupling[: len(fresh)]
        self.low, self.high = following.start, following.stop

    def space(self) -> Krylov:
        """The basis so far."""
        matrix = self.matrix[: self.high, : self.high]
        leaving = matrix.new_zeros(len(self.coupling), self.high)
        if self.high < self.rows.shape[1]:
            leaving[:, self.low :] = self.coupling
        size = float(torch.linalg.matrix_norm(matrix))
        skew = float(torch.linalg.matrix_norm(matrix - matrix.T)) / 2
        return Krylov(
            self.rows[: self.high],
            (matrix + matrix.T) / 2,
            leaving,
            self.leaving,
            self.start,
            skew / size if size else 0.0,
        )

    def _noise(self) -> float:
        """Below this length, a direction is rounding."""
        return 50 * torch.finfo(self.rows.dtype).eps * float(self.matrix.abs().max())


def _orthonormal(rows: Tensor, basis: Tensor) -> Tensor:
    """Rows made orthonormal and orthogonal to the basis; those that were so already stay what they are."""
    for _ in range(2):
        rows = rows - (rows @ basis.T) @ basis
        directions, factor = torch.linalg.qr(rows.T)
        rows = (directions * factor.diagonal().sign()).T
    return rows
