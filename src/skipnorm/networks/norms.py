"""Norms by name, for vectors and for feature maps, each as a module of its own.

``dims`` is the number of positional dimensions: 0 for vectors (samples x channels), 1 for series
(samples x channels x positions), 2 for images. Scale and shift (``affine``) are per channel.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from skipnorm.errors import NetworkError, nearest

__all__ = ["Centre", "MapNorm", "norm"]

#: batch_norm refuses eps = 0. No variance above 0 notices this one.
SMALLEST_EPS = 1e-300


class Centre(nn.Module):
    """Subtracts the batch mean of every channel and divides by nothing.

    In training the mean of the batch (and the positions), in evaluation a running mean, as batch
    norm keeps it (mean-only batch normalisation, Salimans & Kingma 2016). It centres, so that
    samples decorrelate; being no division, it is no norm in the sense of an anatomy.

    >>> Centre(1)(torch.tensor([[1.0], [3.0]]))
    tensor([[-1.],
            [ 1.]])
    """

    running_mean: torch.Tensor

    def __init__(self, features: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` without its mean over all dimensions but the channels."""
        shape = [1, -1] + [1] * (x.dim() - 2)
        if not self.training:
            return x - self.running_mean.view(shape)
        mean = x.mean(dim=[0, *range(2, x.dim())])
        with torch.no_grad():
            self.running_mean.copy_(torch.lerp(self.running_mean, mean, self.momentum))
        return x - mean.view(shape)


class MapNorm(nn.Module):
    """Layer or RMS norm of whole feature maps: one scale per sample, over channels and positions.

    Layer normalisation of a convolutional layer as in Ba et al. 2016, with scale and shift per
    channel (RMS norm has no shift).
    """

    def __init__(self, kind: str, features: int, *, affine: bool = True, eps: float = 1e-5) -> None:
        super().__init__()
        self.kind, self.features, self.eps = kind, features, eps
        shift = affine and kind == "layer"
        self.weight = nn.Parameter(torch.ones(features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(features)) if shift else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` normalised over everything but the samples."""
        normalise = functional.layer_norm if self.kind == "layer" else functional.rms_norm
        x = normalise(x, x.shape[1:], eps=self.eps)
        shape = [1, -1] + [1] * (x.dim() - 2)
        if self.weight is not None:
            x = x * self.weight.view(shape)
        return x if self.bias is None else x + self.bias.view(shape)

    def extra_repr(self) -> str:
        """What a printed network says of this layer."""
        return f"{self.kind!r}, {self.features}, eps={self.eps}"


def norm(
    name: str,
    features: int,
    *,
    dims: int = 0,
    groups: int = 8,
    affine: bool = True,
    eps: float = 1e-5,
) -> nn.Module | None:
    """A new module for a norm; None for ``none``, which needs no module.

    On vectors ``layer`` and ``rms`` normalise over the features; on maps over channels and
    positions. ``group`` takes ``groups`` groups of channels. All of them take ``eps=0``.

    Raises:
        NetworkError: an unknown name, or ``instance`` for vectors, which have no positions.

    >>> norm("rms", 4, dims=2), norm("none", 4)
    (MapNorm('rms', 4, eps=1e-05), None)
    """
    if name == "instance" and dims == 0:
        raise NetworkError(
            "norm='instance' averages over the positions of one channel of one sample, and vectors "
            "have no positions: try norm='layer', or a ConvNet."
        )
    batch = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d)[dims]
    instance = (nn.InstanceNorm1d, nn.InstanceNorm1d, nn.InstanceNorm2d)[dims]
    positive = max(eps, SMALLEST_EPS)
    vectors = dims == 0
    makers: dict[str, Callable[[], nn.Module | None]] = {
        "none": lambda: None,
        "batch": lambda: batch(features, eps=positive, affine=affine),
        "layer": lambda: (
            nn.LayerNorm(features, eps=eps, elementwise_affine=affine)
            if vectors
            else MapNorm("layer", features, affine=affine, eps=eps)
        ),
        "group": lambda: nn.GroupNorm(groups, features, eps=eps, affine=affine),
        "instance": lambda: instance(features, eps=positive, affine=affine),
        "rms": lambda: (
            nn.RMSNorm(features, eps=eps, elementwise_affine=affine)
            if vectors
            else MapNorm("rms", features, affine=affine, eps=eps)
        ),
        "centre": lambda: Centre(features),
    }
    if name not in makers:
        raise NetworkError(f"Unknown norm: {nearest(name, makers)}")
    return makers[name]()
