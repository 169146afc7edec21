"""How large the gradient is at every site, and how much of it comes through shortcut and branch."""

import math
from typing import Any

import torch
from torch import Tensor

from skipnorm.evidence.schema import Quantity
from skipnorm.probes.probe import Flow, Numbers, Probe
from skipnorm.probes.signal import length

__all__ = ["flow", "gradient"]

_PLACE = ("site", "port")


def gradient() -> Probe:
    """How large dE/dx is at each site x, and whether it still points where it points at the output.

    The cosine is taken to the gradient nearest to the loss that has the same shape; it is 1 there.
    """
    return Probe(
        "gradient",
        1,
        (
            Quantity(
                "gradient_mean_square",
                _PLACE,
                "loss^2",
                "mean of the squared entries of dE/dx",
                "definition",
            ),
            Quantity(
                "gradient_cosine",
                _PLACE,
                "1",
                "cosine between dE/dx and the gradient nearest to the loss that has the same shape",
                "He et al. 2016 (identity mappings), eq. 5",
            ),
        ),
        on_gradient=_gradient,
        cost="1 forward and 1 backward to the input",
    )


def _gradient(values: Tensor, channels: int, memory: dict[Any, Any]) -> Numbers:
    values, size = length(values)
    reference, its_size = memory.setdefault(values.shape, (values, size))
    wide = torch.promote_types(values.dtype, reference.dtype)
    product = torch.dot(values.reshape(-1).to(wide), reference.reshape(-1).to(wide)).item()
    lengths = size * its_size
    return {
        "gradient_mean_square": size * size / values.numel(),
        "gradient_cosine": product / lengths if lengths else math.nan,
    }


def flow() -> Probe:
    """At each skip, how the gradient that reaches its ancestor divides into shortcut, branch and elsewhere.

    With x the ancestor that both sides of `y = h(x) + F(x)` come from and g = dE/dy, the shortcut's part is
    `g dh/dx`, the branch's `g dF/dx`, each its own vector-Jacobian product; the total is dE/dx of the
    ordinary backward pass.
    What neither explains came by a third consumer of x: nothing in a ResNet, much in a U-Net.

    A share is the projection of a part on the total, `<part, total> / <total, total>`; the three add up to 1.
    """
    source = "He et al. 2016 (identity mappings), eq. 5"
    sizes = {
        "total": "all of dE/dx at the ancestor x of a skip",
        "shortcut": "the part of dE/dx that came through the shortcut",
        "branch": "the part of dE/dx that came through the residual branch",
        "elsewhere": "the part of dE/dx that came by a third consumer of x",
    }
    quantities = [
        Quantity(f"flow_{name}", ("site",), "loss^2", f"squared length of {meaning}", source)
        for name, meaning in sizes.items()
    ]
    quantities += [
        Quantity(
            f"flow_{name}_share",
            ("site",),
            "1",
            f"projection on dE/dx, relative to it, of {meaning}",
            source,
        )
        for name, meaning in sizes.items()
        if name != "total"
    ]
    return Probe(
        "flow",
        2,
        tuple(quantities),
        on_flow=_flow,
        cost="1 forward, 1 backward, and 1 more through each branch",
    )


def _flow(parts: Flow) -> Numbers:
    total, shortcut, branch = (
        part.double() for part in (parts.total, parts.shortcut, parts.branch)
    )
    named = {"total": total, "shortcut": shortcut, "branch": branch}
    named["elsewhere"] = total - shortcut - branch
    energy = total.square().sum()
    numbers: dict[str, Tensor | float] = {
        f"flow_{name}": part.square().sum() for name, part in named.items()
    }
    for name in ("shortcut", "branch", "elsewhere"):
        numbers[f"flow_{name}_share"] = (named[name] * total).sum() / energy
    return numbers
