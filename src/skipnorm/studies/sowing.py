"""Random numbers that begin at a seed."""

__all__ = ["sow"]


def sow(seed: int) -> None:
    """Let torch's random states begin at this seed, on the CPU and on whatever else there is.

    >>> import torch
    >>> sow(3)
    >>> bool(torch.rand(()) == torch.rand((), generator=torch.Generator().manual_seed(3)))
    True
    """
    import torch

    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:  # the above would note a call, with its stack, for a GPU that never comes
        torch.default_generator.manual_seed(seed)
