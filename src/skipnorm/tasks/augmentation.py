"""Random crops and flips of images, drawn from a generator of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["cropped", "flipped"]


def cropped(inputs: torch.Tensor, padding: int, generator: torch.Generator) -> torch.Tensor:
    """Each map moved by up to ``padding`` pixels up, down, left and right, zeros moving in.

    The same as padding with zeros and cropping at random (He et al. 2016, section 4.2): both
    offsets are uniform on 0 ... 2 ``padding``, drawn for each sample alone. Inputs
    (samples, channels, height, width), or (samples, channels, length), which moves along its length.
    """
    import torch
    import torch.nn.functional as F

    sizes = inputs.shape[2:]
    padded = F.pad(inputs, [padding] * 2 * len(sizes))
    for axis, size in enumerate(sizes, start=2):
        offsets = torch.randint(
            2 * padding + 1, (len(inputs),), generator=generator, device=generator.device
        ).to(inputs.device)
        rows = offsets[:, None] + torch.arange(size, device=inputs.device)
        view = [len(inputs), *[1] * (axis - 1), size, *[1] * (inputs.dim() - axis - 1)]
        shape = [*padded.shape]
        shape[axis] = size
        padded = padded.gather(axis, rows.view(view).expand(shape))
    return padded


def flipped(inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each map mirrored left to right with probability one half, drawn for each sample alone."""
    import torch

    draws = torch.rand(len(inputs), generator=generator, device=generator.device)
    chosen = (draws < 0.5).to(inputs.device).view(-1, *[1] * (inputs.dim() - 1))
    return torch.where(chosen, inputs.flip(-1), inputs)
