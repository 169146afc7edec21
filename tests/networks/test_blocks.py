"""The residual block is its formula, and says so."""

import pytest
import torch
from torch import nn

from skipnorm.networks.blocks import ResidualBlock


def test_formula():
    branch, x = nn.Linear(3, 3), torch.randn(2, 3)
    block = ResidualBlock(
        {"weight": branch},
        {"act": nn.Tanh()},
        shortcut_scale=0.5,
        branch_scale=0.2,
        learned_scale=3.0,
        expected_std=2.0,
    ).float()
    expected = torch.tanh(0.5 * x + 0.2 * 3.0 * branch(x / 2))
    torch.testing.assert_close(block(x), expected)
    assert "0.5 * x + 0.2 * scale * branch(x / 2)" in repr(block)


def test_unit_scales_cost_no_operation():
    block, x = ResidualBlock({"act": nn.ReLU()}, {}), torch.randn(4, 3, requires_grad=True)
    assert torch.equal(block(x), x + x.relu())
    assert block.scale is None
    assert block(x).grad_fn.name() == "AddBackward0"


@pytest.mark.parametrize("name", ["weight", "act"])
def test_steps_can_be_replaced_by_name(name):
    block = ResidualBlock({"weight": nn.Linear(3, 3), "act": nn.ReLU()}, {})
    setattr(block, name, nn.Identity())
    x = torch.randn(2, 3)
    expected = block.act(block.weight(x))
    torch.testing.assert_close(block(x), x + expected)
