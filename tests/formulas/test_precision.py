"""Half precisions are widened, single and double ones stay."""

import pytest
import torch

from skipnorm.formulas.precision import widened


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.int64, torch.float32),
        (torch.bool, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_precision(given, expected):
    assert widened(torch.ones(2).to(given)).dtype == expected


def test_wide_values_are_not_copied():
    values = torch.ones(2)
    assert widened(values) is values
