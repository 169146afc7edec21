"""How a network is called on a batch, and what is differentiated: one reading for probes and for training.

Imports torch; the tasks themselves do not.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from skipnorm.errors import ProbeError, nearest

__all__ = ["LOSSES", "Loss", "inputs_of", "loss_of", "usable"]

Loss = str | Callable[[Any, Any], Tensor] | None


def _cross_entropy(outputs: Any, targets: Any) -> Tensor:
    found = _tensor(outputs)
    sequences = found.dim() > 2 and found.shape[:-1] == targets.shape
    if sequences and found.shape[:1] + found.shape[2:] == targets.shape:
        raise ProbeError(
            f"expected outputs whose classes stand in one place, found shape {tuple(found.shape)} for targets of "
            f"shape {tuple(targets.shape)}, where both the second and the last dimension could be meant. Pass loss=."
        )
    if sequences:  # tokens, each with its classes last
        found, targets = found.flatten(0, -2), targets.flatten()
    try:
        return F.cross_entropy(found, targets)
    except (RuntimeError, ValueError, IndexError) as error:
        raise ProbeError(
            f"expected outputs (samples, classes, ...) and as many class numbers or probabilities, found shapes "
            f"{tuple(found.shape)} and {tuple(targets.shape)}: {error} Pass loss=: a function of (outputs, targets)."
        ) from error


def _alike(outputs: Any, targets: Any) -> Tensor:
    """The output, if it has the targets' shape: torch would spread one over the other in silence."""
    found = _tensor(outputs)
    if found.shape != targets.shape:
        raise ProbeError(
            f"expected targets of the outputs' shape {tuple(found.shape)}, found {tuple(targets.shape)}. Reshape "
            "one of them, or pass loss=: a function of (outputs, targets)."
        )
    return found


def _mean_squared_error(outputs: Any, targets: Any) -> Tensor:
    return F.mse_loss(_alike(outputs, targets), targets)


def _inner_product(outputs: Any, targets: Any) -> Tensor:
    total: Tensor = (_alike(outputs, targets) * targets).sum()
    return total


LOSSES: dict[str, Callable[[Any, Any], Tensor]] = {
    "cross_entropy": _cross_entropy,
    "mse": _mean_squared_error,
    "inner_product": _inner_product,
}


def inputs_of(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    """A batch taken apart: positional inputs, named inputs, targets.

    A dict is passed by name, as Hugging Face models take it; a pair is (inputs, targets), where the
    inputs may be a tensor, a tuple or a dict; a bare tensor has no targets.

    >>> inputs_of({"input_ids": 1, "labels": 2})
    ((), {'input_ids': 1, 'labels': 2}, None)
    >>> inputs_of((("a", "b"), "y"))
    (('a', 'b'), {}, 'y')
    """
    if isinstance(batch, Mapping):
        return (), dict(batch), None
    if isinstance(batch, Tensor):
        return (batch,), {}, None
    if isinstance(batch, tuple | list) and len(batch) == 2:
        inputs, targets = batch
        if isinstance(inputs, Mapping):
            return (), dict(inputs), targets
        return (tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)), {}, targets
    raise ProbeError(
        "expected a batch as (inputs, targets), as a dict that the network takes by name, or as one tensor; "
        f"found {type(batch).__name__}{f' of length {len(batch)}' if hasattr(batch, '__len__') else ''}. "
        "Several inputs go into a tuple of their own: ((first, second), targets)."
    )


def usable(value: Any) -> Any:
    """The same value, with tensors that were made inside `inference_mode` copied: autograd refuses those."""
    if isinstance(value, Tensor):
        return value.clone() if value.is_inference() else value
    if isinstance(value, Mapping):
        return {key: usable(each) for key, each in value.items()}
    if type(value) in (tuple, list):
        return type(value)(usable(each) for each in value)
    return value


def loss_of(outputs: Any, targets: Any, loss: Loss, *, differentiable: bool = True) -> Tensor:
    """The scalar that is differentiated.

    Args:
        outputs: what the network returned.
        targets: what it should have returned, or None.
        loss: a name from `LOSSES`, a function of (outputs, targets), or None: then the loss that the model returned
            itself, else cross-entropy for integer targets and the mean squared error for real ones.

        differentiable: whether the loss must depend on something by differentiable operations.

    Raises:
        ProbeError: no loss can be found, or it is not a scalar that depends on the network.
    """
    value = _value(outputs, targets, loss)
    if not isinstance(value, Tensor) or value.numel() != 1:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ProbeError(
            f"expected the loss to be a scalar tensor, found {shape}. Reduce it, say by .mean()."
        )
    if differentiable and not value.requires_grad:
        raise ProbeError(
            "expected a loss that depends on the network by differentiable operations, found one without gradient. "
            "Look for detach(), .item() or integer outputs on the way to the loss."
        )
    return value.reshape(()) if value.dim() else value


def _value(outputs: Any, targets: Any, loss: Loss) -> Any:
    if callable(loss):
        return loss(outputs, targets)
    if loss is not None:
        if not isinstance(loss, str) or loss not in LOSSES:
            raise ProbeError(f"loss: {nearest(str(loss), LOSSES)}")
        if targets is None:
            raise ProbeError(
                f"expected targets for the loss {loss!r}, found a batch without any: pass (inputs, targets)."
            )
        return LOSSES[loss](outputs, targets)
    own = outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
    if isinstance(own, Tensor):
        return own
    if not isinstance(targets, Tensor):
        raise ProbeError(
            "expected a loss, found neither targets in the batch nor one that the model returns itself. Pass (inputs, "
            "targets), labels in the dict, or loss=: a function of (outputs, targets)."
        )
    return LOSSES["mse" if targets.is_floating_point() else "cross_entropy"](outputs, targets)


def _tensor(outputs: Any) -> Tensor:
    """The output that a named loss is about: the only one, or `logits`, or the first."""
    if isinstance(outputs, Tensor):
        return outputs
    if isinstance(outputs, Mapping):
        outputs = outputs.get("logits", next(iter(outputs.values()), None))
    elif isinstance(outputs, tuple | list) and outputs:
        outputs = outputs[0]
    elif hasattr(outputs, "logits"):
        outputs = outputs.logits
    if not isinstance(outputs, Tensor):
        raise ProbeError(
            f"expected a tensor among the outputs, found {type(outputs).__name__}. Pass loss=: a function of "
            "(outputs, targets) that takes what the network returns."
        )
    return outputs
