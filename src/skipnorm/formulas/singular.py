"""The most and the least stretched directions of a linear map that is known by what it does to vectors."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Bidiagonal", "SingularValues", "extreme_singular_values"]

LinearMap = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class SingularValues:
    """Extreme singular values of a row of maps, with how far each is from being one.

    Attributes:
        largest: maps x count, descending; NaN beyond the rank of the search space.
        largest_residuals: ``||A' u - s v||`` for each: a singular value of A lies within it.
        smallest: one a map; before its residual is small, no more than an upper bound.
        smallest_residual: its residual.
        steps: how many products with A, and with its transpose, were made.
    """

    largest: Tensor
    largest_residuals: Tensor
    smallest: Tensor
    smallest_residual: Tensor
    steps: int


def extreme_singular_values(
    matvec: LinearMap,
    rmatvec: LinearMap,
    start: Tensor,
    rows: int,
    *,
    count: int = 1,
    steps: int = 60,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> SingularValues:
    """How far a linear map stretches at most and at least, by Golub-Kahan-Lanczos bidiagonalisation.

    Several maps at once, each with its own Krylov space: vectors are (maps, length), and both products treat every
    map's vector by itself. Both bases are orthogonalised in full, twice; a space that is exhausted goes on in a new
    random direction, so that repeated singular values are found and ``min(rows, columns)`` steps are exact.
    Let ``start`` be in the smaller of the two spaces: otherwise the least value found may be the zero of directions
    that the map cannot but lose.

    Args:
        matvec: A applied to (maps, columns), giving (maps, rows).
        rmatvec: the transpose applied to (maps, rows).
        start: (maps, columns), not zero; random ones see every direction.
        rows: the other side of A.
        count: how many of the largest are wanted.
        steps: at most so many products of each kind.
        tolerance: stop where the wanted ones have residuals below this, relative to the largest.
        seed: for the new directions.

    Golub & Kahan 1965; residuals as in Baglama & Reichel 2005, equation 2.13.

    >>> a = torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    >>> found = extreme_singular_values(lambda v: v @ a.T, lambda u: u @ a, torch.ones(1, 3), 3, count=2)
    >>> [round(float(s), 4) for s in (*found.largest[0], found.smallest)]
    [3.0, 2.0, 1.0]
    """
    steps = min(steps, start.shape[-1], rows)
    krylov = Bidiagonal(matvec, rmatvec, start, rows, seed)
    found = None
    for step in range(1, steps + 1):
        krylov.extend(last=step == steps)
        if step % 5 and step != steps:
            continue
        found = krylov.values(count)
        wanted = torch.cat([found.largest_residuals, found.smallest_residual[:, None]], dim=1)
        if bool((wanted <= tolerance * found.largest[:, :1]).all()):
            break
    assert found is not None
    return found


class Bidiagonal:
    """``A V = U B`` with ``B`` upper bidiagonal, one column after the other."""

    def __init__(
        self, matvec: LinearMap, rmatvec: LinearMap, start: Tensor, rows: int, seed: int
    ) -> None:
        self._matvec, self._rmatvec = matvec, rmatvec
        self._generator = torch.Generator().manual_seed(seed)
        self._maps, self._columns = start.shape
        self._rows, self._like = rows, start
        size = torch.linalg.vector_norm(start, dim=1, keepdim=True)
        self._right: list[Tensor] = [start / size]
        self._left: list[Tensor] = []
        self._alphas: list[Tensor] = []
        self._betas: list[Tensor] = []
        self._scale = torch.zeros_like(size[:, 0])

    def extend(self, *, last: bool = False) -> None:
        """One more column of ``B``: a product with A, and one with its transpose."""
        u = self._matvec(self._right[-1])
        self._scale = torch.maximum(self._scale, torch.linalg.vector_norm(u, dim=1))
        alpha, u = self._orthogonal(u, self._left, self._rows, fresh=True)
        self._alphas.append(alpha)
        self._left.append(u)
        v = self._rmatvec(u)
        full = last and len(self._right) == self._columns
        beta, v = self._orthogonal(v, self._right, self._columns, fresh=not full)
        self._betas.append(beta)
        if not full:
            self._right.append(v)

    def _orthogonal(
        self, vector: Tensor, basis: list[Tensor], size: int, *, fresh: bool
    ) -> tuple[Tensor, Tensor]:
        """What of the vector is new: how much, and its direction (any new one, where nothing is)."""
        tiny = torch.finfo(vector.dtype).eps * size**0.5 * 8
        vector = _without(vector, basis)
        length = torch.linalg.vector_norm(vector, dim=1)
        empty = length <= tiny * self._scale
        if fresh and bool(empty.any()) and len(basis) < size:
            drawn = torch.randn(self._maps, size, generator=self._generator, dtype=torch.float64)
            other = _without(drawn.to(vector), basis)
            vector = torch.where(empty[:, None], other, vector)
            span = torch.linalg.vector_norm(vector, dim=1)
            return torch.where(empty, torch.zeros_like(length), length), vector / span[:, None]
        safe = torch.where(length > 0, length, torch.ones_like(length))
        return torch.where(empty, torch.zeros_like(length), length), vector / safe[:, None]

    def values(self, count: int) -> SingularValues:
        """The Ritz values of the columns so far."""
        steps = len(self._alphas)
        matrix = torch.diag_embed(torch.stack(self._alphas, dim=1).double())
        if steps > 1:
            upper = torch.stack(self._betas[: steps - 1], dim=1).double()
            matrix = matrix + torch.diag_embed(upper, offset=1)
        finite = matrix.flatten(1).isfinite().all(dim=1)
        left, values, _ = torch.linalg.svd(
            torch.where(finite[:, None, None], matrix, torch.zeros_like(matrix))
        )
        values = torch.where(finite[:, None], values, torch.nan)
        residuals = self._betas[-1].double()[:, None] * left[:, -1, :].abs()
        kept = min(count, steps)
        room = torch.full((self._maps, count - kept), torch.nan, dtype=values.dtype)
        return SingularValues(
            torch.cat([values[:, :kept], room.to(values)], dim=1),
            torch.cat([residuals[:, :kept], room.to(values)], dim=1),
            values[:, -1],
            residuals[:, -1],
            steps,
        )


def _without(vector: Tensor, basis: list[Tensor]) -> Tensor:
    if basis:
        known = torch.stack(basis, dim=1)
        for _ in range(2):
            shares = torch.einsum("skn,sn->sk", known, vector)
            vector = vector - torch.einsum("sk,skn->sn", shares, known)
    return vector
