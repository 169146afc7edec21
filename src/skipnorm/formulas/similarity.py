"""How alike the samples of a batch are."""

import torch

from skipnorm.formulas.precision import widened

__all__ = ["sample_correlation"]


def sample_correlation(values: torch.Tensor) -> torch.Tensor:
    """How alike the samples are: the mean cosine between two different ones, a scalar tensor.

    With unit vectors ``u_i = x_i / ||x_i||`` of the ``n`` flattened samples (first dimension),
    ``(||sum_i u_i||^2 - n) / (n (n - 1))``: the mean of the off-diagonal entries of the matrix of
    cosines, without building it. 1: all samples point the same way; 0: orthogonal on average;
    ``-1/(n-1)``: they sum to nothing (the least possible, reached by centred batches).

    NaN where a sample is the zero vector (it has no direction) or where there is but one sample.
    Of gradients, it is what Balduzzi et al. 2017 call shattering.

    >>> sample_correlation(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    tensor(0.)
    >>> sample_correlation(torch.tensor([[1.0, 1.0], [2.0, 2.0], [-1.0, -1.0]]))
    tensor(-0.3333)
    """
    rows = widened(values).flatten(1) if values.dim() > 1 else widened(values).unsqueeze(1)
    count = len(rows)
    if count < 2:
        return rows.new_tensor(float("nan"))
    rows = rows / rows.abs().amax(dim=1, keepdim=True)  # so that no norm over- or underflows
    units = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    length: torch.Tensor = units.sum(dim=0).square().sum()
    return (length - count) / (count * (count - 1))
