"""Which precision a statistic is computed in."""

import torch

__all__ = ["widened"]


def widened(values: torch.Tensor) -> torch.Tensor:
    """The same values, half precisions widened so that squares do not overflow.

    float32 and float64 pass through untouched; integers and booleans become float32.

    >>> widened(torch.tensor([300.0], dtype=torch.float16)).square()
    tensor([90000.])
    """
    if values.dtype in (torch.float32, torch.float64):
        return values
    return values.float()
