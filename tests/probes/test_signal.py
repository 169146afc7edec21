"""What `moments` says of a signal, against numpy and by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from skipnorm.probes import moments, pass_through


def zero_fraction(values: torch.Tensor) -> float:
    (read,) = [moments().on_value]
    assert read is not None
    return float(read(values, 1)["zero_fraction"])


def test_a_rectifier_of_known_values():
    x = torch.tensor([[-1.0, 2.0, -3.0, 0.0], [5.0, -6.0, 7.0, -0.0]])
    reading = pass_through(nn.Sequential(nn.ReLU()), (x, x), [moments()])
    seen = reading.numbers["zero_fraction"]
    assert seen[0, "input"] == 2 / 8  # 0 and -0
    assert seen[0, "output"] == 5 / 8


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 5), (2, 7, 9, 11), (5, 40_000), (4, 2**15)])
def test_zeros_are_counted_as_numpy_counts_them(shape, dtype):
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=draws).relu().to(dtype)
    assert zero_fraction(x) == np.mean(x.double().numpy() == 0)
    assert zero_fraction(x.transpose(0, 1)) == np.mean(x.double().numpy() == 0)  # not contiguous


def test_what_is_tiny_is_not_zero_and_what_is_no_number_says_so():
    assert zero_fraction(torch.tensor([[1e-30, 0.0], [1e-38, 1.0]])) == 1 / 4
    assert zero_fraction(torch.tensor([[math.inf, 0.0]])) == 1 / 2
    assert math.isnan(zero_fraction(torch.tensor([[math.nan, 0.0]])))
