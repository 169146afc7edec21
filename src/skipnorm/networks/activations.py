"""Activations by name, each as a module of its own."""

import torch
from torch import nn

from skipnorm.errors import NetworkError, nearest

__all__ = ["CReLU", "activation"]


class CReLU(nn.Module):
    """``[relu(x), relu(-x)]`` along the channels: loses nothing, doubles them (Shang et al. 2016).

    ``dim``: where the channels stand.

    >>> CReLU()(torch.tensor([[1.0, -2.0]]))
    tensor([[1., 0., 0., 2.]])
    """

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Positive part and negative part, side by side."""
        return torch.cat([torch.relu(x), torch.relu(-x)], dim=self.dim)

    def extra_repr(self) -> str:
        """Where the channels stand, if not second."""
        return "" if self.dim == 1 else f"dim={self.dim}"


MODULES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "crelu": CReLU,
}


def activation(name: str) -> nn.Module | None:
    """A new module for an activation; None for ``identity``, which needs no module.

    >>> activation("relu"), activation("identity")
    (ReLU(), None)
    """
    if name == "identity":
        return None
    if name not in MODULES:
        raise NetworkError(f"Unknown activation: {nearest(name, [*MODULES, 'identity'])}")
    return MODULES[name]()
