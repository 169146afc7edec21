"""The essay's own networks in closed form: ``o = sigma(W X)`` and its ``N``-layer chain.

Samples stand in *columns* here, as on paper: ``X`` is (inputs x samples), ``W`` (outputs x inputs),
``o`` and ``Y`` (outputs x samples). The loss is ``0.5 ||o - Y||^2``, summed over all entries.
An activation is given as a pair: the function, and its derivative as a function of its argument.
"""

from collections.abc import Callable, Sequence

import torch

__all__ = [
    "ACTIVATIONS",
    "chain",
    "first_layer_gradient",
    "half_squared_error",
    "one_layer",
    "one_layer_gradient",
]

Pointwise = Callable[[torch.Tensor], torch.Tensor]


def sigmoid_slope(z: torch.Tensor) -> torch.Tensor:
    """``sigma'(z) = sigma(z) (1 - sigma(z))``."""
    return torch.sigmoid(z) * torch.sigmoid(-z)


def tanh_slope(z: torch.Tensor) -> torch.Tensor:
    """``tanh'(z) = 1 - tanh(z)^2``."""
    return 1 - torch.tanh(z).square()


def relu_slope(z: torch.Tensor) -> torch.Tensor:
    """``relu'(z)``: 1 where ``z > 0``, otherwise 0 (autograd's choice at the kink)."""
    return (z > 0).to(z.dtype)


#: The activations whose derivative is written down here: name -> (function, derivative).
ACTIVATIONS: dict[str, tuple[Pointwise, Pointwise]] = {
    "sigmoid": (torch.sigmoid, sigmoid_slope),
    "tanh": (torch.tanh, tanh_slope),
    "relu": (torch.relu, relu_slope),
    "identity": (lambda z: z, torch.ones_like),
}


def half_squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The essay's loss ``0.5 ||o - Y||^2``, summed over outputs and samples.

    >>> half_squared_error(torch.tensor([1.0, 2.0]), torch.zeros(2))
    tensor(2.5000)
    """
    return 0.5 * (outputs - targets).square().sum()


def one_layer(weight: torch.Tensor, inputs: torch.Tensor, sigma: Pointwise) -> torch.Tensor:
    """What the essay's first network answers: ``o = sigma(W X)``.

    >>> one_layer(torch.zeros(1, 2), torch.ones(2, 1), torch.sigmoid)
    tensor([[0.5000]])
    """
    return sigma(weight @ inputs)


def one_layer_gradient(
    weight: torch.Tensor,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    sigma: Pointwise,
    slope: Pointwise,
) -> torch.Tensor:
    """Which way the essay's first network learns: ``dL/dW = ((o - Y) * sigma'(W X)) X^T``.

    ``*`` is elementwise. Shape of ``W``.

    >>> w, x, y = torch.ones(1, 1), torch.full((1, 1), 3.0), torch.ones(1, 1)
    >>> one_layer_gradient(w, x, y, *ACTIVATIONS["identity"])  # (3 - 1) * 1 * 3
    tensor([[6.]])
    """
    before = weight @ inputs
    return ((sigma(before) - targets) * slope(before)) @ inputs.T


def chain(
    weights: Sequence[torch.Tensor], inputs: torch.Tensor, sigma: Pointwise
) -> list[torch.Tensor]:
    """What every layer of the essay's ``N``-layer network answers: ``o_i = sigma(W_i o_{i-1})``.

    ``o_0 = X`` is not part of the list; its last entry is the network's output.

    >>> [o.item() for o in chain([torch.full((1, 1), 2.0)] * 3, torch.ones(1, 1), torch.relu)]
    [2.0, 4.0, 8.0]
    """
    outputs: list[torch.Tensor] = []
    for weight in weights:
        outputs.append(sigma(weight @ (outputs[-1] if outputs else inputs)))
    return outputs


def first_layer_gradient(
    weights: Sequence[torch.Tensor],
    inputs: torch.Tensor,
    targets: torch.Tensor,
    sigma: Pointwise,
    slope: Pointwise,
) -> torch.Tensor:
    """Which way the first of ``N`` layers learns; where the product of Jacobians enters.

    ``dL/dW_1 = dL/do_N * prod_{i=2..N} do_i/do_{i-1} * do_1/dW_1`` with, per sample,
    ``do_i/do_{i-1} = diag(sigma'(W_i o_{i-1})) W_i``. Read from the left it is a product of row
    vectors with matrices; the product runs over derivatives with respect to *outputs*, since
    derivatives with respect to weights do not chain. Shape of ``W_1``.

    >>> w, x = [torch.full((1, 1), 2.0)] * 3, torch.ones(1, 1)
    >>> first_layer_gradient(w, x, torch.zeros(1, 1), *ACTIVATIONS["identity"])  # 8 * 2 * 2 * 1
    tensor([[32.]])
    """
    outputs = chain(weights, inputs, sigma)
    below = [inputs, *outputs[:-1]]
    signal = outputs[-1] - targets  # dL/do_N
    for weight, source in zip(reversed(weights[1:]), reversed(below[1:]), strict=True):
        signal = weight.T @ (signal * slope(weight @ source))  # times do_i/do_{i-1}
    return (signal * slope(weights[0] @ inputs)) @ inputs.T  # times do_1/dW_1
