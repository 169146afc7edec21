"""The layers that torch does not have: standardised weights and scalar shifts."""

import torch
from torch import nn
from torch.nn import functional

__all__ = [
    "Shift",
    "Standardized",
    "StandardizedConv1d",
    "StandardizedConv2d",
    "StandardizedConv3d",
    "StandardizedLinear",
]


class Shift(nn.Module):
    """Adds one learned number, from 0 (Fixup's bias; Zhang et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x + bias``."""
        return x + self.bias


class Standardized(nn.Module):
    """Scaled weight standardisation (Brock et al. 2021), to be mixed into a weight layer.

    ``What_i = g_i * factor * (W_i - mean_i) / sqrt(fan_in * var_i)`` for output unit ``i``, with a
    learned ``g`` from 1 and the variance-preserving ``factor`` of the activation in front. A unit
    of independent inputs, each of variance ``1/factor^2``, answers with variance 1 exactly.
    """

    factor: float = 1.0
    gain: nn.Parameter
    weight: torch.Tensor

    def scaled_by(self, factor: float) -> None:
        """Set the factor and give every output unit its learned gain."""
        self.factor = factor
        ones = torch.ones(len(self.weight), dtype=self.weight.dtype, device=self.weight.device)
        self.gain = nn.Parameter(ones)

    @property
    def standardized(self) -> torch.Tensor:
        """The weight that the layer multiplies with."""
        rows = self.weight.flatten(1)
        centred = rows - rows.mean(dim=1, keepdim=True)
        spread = centred.square().sum(dim=1, keepdim=True)  # fan_in * variance
        scaled = centred * (self.factor * self.gain.unsqueeze(1) * spread.clamp(min=1e-12).rsqrt())
        return scaled.view_as(self.weight)


class StandardizedLinear(Standardized, nn.Linear):
    """A linear layer with scaled weight standardisation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``What x + b``."""
        return functional.linear(x, self.standardized, self.bias)


class StandardizedConv1d(Standardized, nn.Conv1d):
    """A convolution over series with scaled weight standardisation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``What * x + b``."""
        y: torch.Tensor = self._conv_forward(x, self.standardized, self.bias)
        return y


class StandardizedConv2d(Standardized, nn.Conv2d):
    """A convolution over images with scaled weight standardisation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``What * x + b``."""
        y: torch.Tensor = self._conv_forward(x, self.standardized, self.bias)
        return y


class StandardizedConv3d(Standardized, nn.Conv3d):
    """A convolution over volumes with scaled weight standardisation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``What * x + b``."""
        y: torch.Tensor = self._conv_forward(x, self.standardized, self.bias)
        return y
