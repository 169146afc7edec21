"""In how many directions the samples of a batch spread, as soft counts of dimensions."""

import torch

from skipnorm.formulas.precision import widened

__all__ = ["effective_rank", "soft_rank"]


def effective_rank(values: torch.Tensor) -> torch.Tensor:
    """How many directions a batch of samples fills: ``exp`` of the entropy of its singular values.

    With singular values ``s_k`` of the (samples x flattened features) matrix and
    ``p_k = s_k / sum s``: ``exp(-sum p_k log p_k)`` (Roy & Vetterli 2007), between 1
    and the ordinary rank. A scalar tensor; NaN for a matrix of zeros or with non-finite entries.

    >>> effective_rank(torch.eye(5)).round(decimals=3)
    tensor(5.)
    >>> effective_rank(torch.ones(4, 3)).round(decimals=3)
    tensor(1.)
    """
    matrix = as_matrix(values)
    if not bool(matrix.isfinite().all()):
        return matrix.new_tensor(float("nan"))
    singular = torch.linalg.svdvals(matrix)
    shares: torch.Tensor = singular / singular.sum()
    return shares.xlogy(shares).sum().neg().exp()


def soft_rank(values: torch.Tensor) -> torch.Tensor:
    """How many directions carry a batch's energy: ``Tr(M)^2 / ||M||_F^2`` with ``M = X X^T``.

    The participation ratio of the squared singular values (Daneshmand et al. 2020),
    between 1 and the ordinary rank; never above it, and less moved by small singular values
    than :func:`effective_rank`. ``X``: samples x flattened features.
    A scalar tensor; NaN for zeros.

    >>> soft_rank(torch.eye(5))
    tensor(5.)
    >>> soft_rank(torch.diag(torch.tensor([1.0, 1.0, 0.0])))
    tensor(2.)
    """
    matrix = as_matrix(values)
    matrix = matrix / matrix.abs().amax()
    gram = matrix.T @ matrix if matrix.shape[0] > matrix.shape[1] else matrix @ matrix.T
    return gram.trace().square() / gram.square().sum()


def as_matrix(values: torch.Tensor) -> torch.Tensor:
    """One row per sample."""
    wide = widened(values)
    return wide.flatten(1) if wide.dim() > 1 else wide.unsqueeze(1)
