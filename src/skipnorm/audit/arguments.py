"""The arguments of the few torch functions that lint knows, by name."""

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["arguments_of"]

_CONVOLUTION = "input weight bias stride padding dilation groups"
_TRANSPOSED = "input weight bias stride padding output_padding groups dilation"
_NAMES = {
    "linear": "input weight bias",
    **{f"conv{rank}d": _CONVOLUTION for rank in (1, 2, 3)},
    **{f"conv_transpose{rank}d": _TRANSPOSED for rank in (1, 2, 3)},
    "addmm": "bias input weight",
    "batch_norm": "input weight bias running_mean running_var training",
    "layer_norm": "input normalized_shape weight bias eps",
    "group_norm": "input num_groups weight bias eps",
    "instance_norm": "input weight bias running_mean running_var use_input_stats",
    "rms_norm": "input normalized_shape weight eps",
    **{name: "input p training" for name in ("dropout", "dropout1d", "dropout2d", "dropout3d")},
    **{name: "input p training" for name in ("alpha_dropout", "feature_alpha_dropout")},
}
_FUNCTIONAL = {  # torch.nn.functional has another order than torch
    "batch_norm": "input running_mean running_var weight bias training",
    "instance_norm": "input running_mean running_var weight bias use_input_stats",
}
_ALIASES = {"mat1": "input", "mat2": "weight", "train": "training"}


def arguments_of(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments by name; empty for a function that lint has no use for.

    >>> import torch
    >>> arguments_of(torch.nn.functional.linear, (1, 2), {"bias": None})
    {'input': 1, 'weight': 2, 'bias': None}
    """
    name = str(getattr(function, "__name__", ""))
    home = str(getattr(function, "__module__", ""))
    names = _FUNCTIONAL.get(name) if home == "torch.nn.functional" else None
    names = names or _NAMES.get(name)
    if names is None:
        return {}
    found = dict(zip(names.split(), args, strict=False))
    if name == "addmm":
        kwargs = {("bias" if key in ("input", "self") else key): kwargs[key] for key in kwargs}
    return found | {_ALIASES.get(key, key): value for key, value in kwargs.items()}
