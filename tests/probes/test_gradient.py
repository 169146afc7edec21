"""The gradient probes on gradients of which everything is known.

Source of truth: arithmetic.
"""

import math

import pytest
import torch

from skipnorm.probes import Flow, flow, gradient


def test_mean_square_and_cosine_against_the_first_of_the_same_shape() -> None:
    read, memory = gradient().on_gradient, {}
    assert read is not None
    first = read(torch.tensor([[3.0, 4.0]]), 1, memory)
    assert float(first["gradient_mean_square"]) == 12.5
    assert float(first["gradient_cosine"]) == pytest.approx(1)
    later = read(torch.tensor([[4.0, -3.0]]), 1, memory)
    assert float(later["gradient_cosine"]) == pytest.approx(0, abs=1e-7)
    other = read(torch.tensor([[4.0], [-3.0]]), 1, memory)
    assert float(other["gradient_cosine"]) == pytest.approx(1)


def test_cosine_of_a_gradient_that_is_zero_or_nan() -> None:
    read, memory = gradient().on_gradient, {}
    assert read is not None
    read(torch.ones(2, 2), 1, memory)
    assert math.isnan(float(read(torch.zeros(2, 2), 1, memory)["gradient_cosine"]))
    numbers = read(torch.full((2, 2), float("nan")), 1, memory)
    assert all(math.isnan(float(number)) for number in numbers.values())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_half_precisions_are_widened(dtype: torch.dtype) -> None:
    """300^2 is beyond float16; so is the sum of 4096 ones beyond bfloat16's eight bits."""
    read = gradient().on_gradient
    assert read is not None
    numbers = read(torch.full((64, 64), 304.0, dtype=dtype), 1, {})
    assert float(numbers["gradient_mean_square"]) == pytest.approx(304.0**2, rel=1e-5)
    assert float(numbers["gradient_cosine"]) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_flow_of_known_parts(dtype: torch.dtype) -> None:
    """total (4, 0), shortcut (1, 1), branch (2, -1): elsewhere (1, 0); shares 1/4, 1/2, 1/4."""
    parts = ([4.0, 0.0], [1.0, 1.0], [2.0, -1.0])
    read = flow().on_flow
    assert read is not None
    numbers = read(Flow(*(torch.tensor(part, dtype=dtype) for part in parts)))
    found = {name: float(number) for name, number in numbers.items()}
    assert found == pytest.approx(
        {
            "flow_total": 16,
            "flow_shortcut": 2,
            "flow_branch": 5,
            "flow_elsewhere": 1,
            "flow_shortcut_share": 0.25,
            "flow_branch_share": 0.5,
            "flow_elsewhere_share": 0.25,
        }
    )


def test_flow_without_a_gradient_has_no_shares() -> None:
    """0/0: not zero, not one."""
    read = flow().on_flow
    assert read is not None
    numbers = read(Flow(torch.zeros(3), torch.zeros(3), torch.zeros(3)))
    assert math.isnan(float(numbers["flow_shortcut_share"]))
    assert float(numbers["flow_total"]) == 0
