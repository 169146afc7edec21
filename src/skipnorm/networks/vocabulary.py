"""The names that a recipe may use, and what each order of a block stands for. Needs no torch."""

from dataclasses import dataclass

__all__ = ["ACTIVATIONS", "INITIALIZERS", "NORMS", "PLAIN_ORDERS", "RESIDUAL_ORDERS", "Order"]


@dataclass(frozen=True)
class Order:
    """In which order a block takes its steps.

    ``branch``: the steps of a plain block, or of a residual branch; ``after``: what follows the
    addition; ``closing``: what the last block's output still needs before a linear head.
    """

    branch: tuple[str, ...]
    after: tuple[str, ...] = ()
    closing: tuple[str, ...] = ()

    @property
    def layers(self) -> int:
        """How many weight layers a block has.

        >>> RESIDUAL_ORDERS["original"].layers
        2
        """
        return self.branch.count("weight")


#: Plain blocks; the first is the default. ``weight-norm-act`` is y = phi(norm(W x)).
PLAIN_ORDERS = {
    "weight-norm-act": Order(("weight", "norm", "act")),
    "weight-act-norm": Order(("weight", "act", "norm")),
}

#: Residual blocks; the first is the default. Three with one weight layer in the branch (the first
#: is full pre-activation: x + W phi(norm(x))), and the five placements of He et al. 2016, figure 4,
#: with two.
RESIDUAL_ORDERS = {
    "norm-act-weight": Order(("norm", "act", "weight"), closing=("norm", "act")),
    "act-norm-weight": Order(("act", "norm", "weight"), closing=("act", "norm")),
    "weight-norm-act": Order(("weight", "norm", "act")),
    "original": Order(("weight", "norm", "act", "weight", "norm"), after=("act",)),
    "norm-after-addition": Order(("weight", "norm", "act", "weight"), after=("norm", "act")),
    "act-before-addition": Order(("weight", "norm", "act", "weight", "norm", "act")),
    "act-only-preactivation": Order(
        ("act", "weight", "norm", "act", "weight", "norm"), closing=("act",)
    ),
    "full-preactivation": Order(
        ("norm", "act", "weight", "norm", "act", "weight"), closing=("norm", "act")
    ),
}

#: ``centre`` subtracts the batch mean of every channel and divides by nothing.
NORMS = ("none", "batch", "layer", "group", "instance", "rms", "centre")

#: ``crelu`` is [relu(x), relu(-x)] and doubles the number of channels.
ACTIVATIONS = (
    "relu",
    "leaky_relu",
    "elu",
    "gelu",
    "silu",
    "softplus",
    "tanh",
    "sigmoid",
    "crelu",
    "identity",
)

INITIALIZERS = (
    "he",
    "glorot",
    "lecun",
    "orthogonal",
    "looks_linear",
    "fixup",
    "skipinit",
    "rezero",
    "nf",
)
