"""A residual block, a shortcut around a branch; a plain block is an ``nn.Sequential``."""

from collections.abc import Mapping

import torch
from torch import nn

__all__ = ["ResidualBlock"]


class ResidualBlock(nn.Module):
    """``shortcut_scale * x + branch_scale * branch(x / expected_std)``, and what comes after.

    ``learned_scale``: where a learned number that multiplies the branch starts (SkipInit, ReZero,
    Fixup), None for none. ``expected_std`` is the normaliser-free networks' beta_l, the standard
    deviation that the stream has here by analysis (Brock et al. 2021).
    """

    scale: nn.Parameter | None

    def __init__(
        self,
        branch: Mapping[str, nn.Module],
        after: Mapping[str, nn.Module],
        *,
        shortcut_scale: float = 1.0,
        branch_scale: float = 1.0,
        learned_scale: float | None = None,
        expected_std: float = 1.0,
    ) -> None:
        super().__init__()
        self.shortcut_scale = shortcut_scale
        self.branch_scale = branch_scale
        self.expected_std = expected_std
        start = learned_scale
        self.scale = (
            None if start is None else nn.Parameter(torch.tensor(start, dtype=torch.float64))
        )
        self.branch_names, self.after_names = tuple(branch), tuple(after)
        for name, step in [*branch.items(), *after.items()]:
            self.add_module(name, step)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The stream behind this block."""
        shortcut = x if self.shortcut_scale == 1 else self.shortcut_scale * x
        x = shortcut + self.branch(x)
        for name in self.after_names:
            x = getattr(self, name)(x)
        return x

    def branch(self, x: torch.Tensor) -> torch.Tensor:
        """What the block adds to its shortcut."""
        if self.expected_std != 1:
            x = x / self.expected_std
        for name in self.branch_names:
            x = getattr(self, name)(x)
        if self.scale is not None:
            x = self.scale * x
        return x if self.branch_scale == 1 else self.branch_scale * x

    def extra_repr(self) -> str:
        """The block as a formula."""
        shortcut = "x" if self.shortcut_scale == 1 else f"{self.shortcut_scale:.4g} * x"
        scale = "" if self.branch_scale == 1 else f"{self.branch_scale:.4g} * "
        learned = "" if self.scale is None else "scale * "
        source = "" if self.expected_std == 1 else f"(x / {self.expected_std:.4g})"
        return f"{shortcut} + {scale}{learned}branch{source}"
