"""One use of one parameter, as it was seen."""

from dataclasses import dataclass

from torch import Tensor
from torch.autograd.graph import GradientEdge

from skipnorm.probes.shattering.uses import Use

__all__ = ["Noted", "rooted"]


@dataclass
class Noted:
    """One use of one parameter.

    Attributes:
        name: the parameter's.
        use: what went in, and how gradients follow from it.
        edge: where in autograd's graph the gradient of what came out is.
        length: of the first dimension of what came out.
        inputs: what went in, with the version it had: written into since, it is of no use.
    """

    name: str
    use: Use
    edge: GradientEdge
    length: int
    inputs: tuple[Tensor, int] | None = None

    @property
    def intact(self) -> bool:
        """Whether what went in is still what it was."""
        return self.inputs is None or self.inputs[0]._version == self.inputs[1]


def rooted(out: Tensor) -> Tensor:
    """The tensor, with a place in autograd's graph."""
    return out if out.requires_grad else out.detach().requires_grad_().clone()
