"""What a torch function does to a signal: the vocabulary by which sites are recognised.

Only what *leaves features unmixed* is listed by name. Everything else mixes, and is *weighted* where one
of its operands is a parameter or was computed from parameters alone: so a new kind of convolution needs no entry.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

import torch

__all__ = [
    "ACTIVATIONS",
    "BOUNDED",
    "LIKENESSES",
    "NORM_FAMILIES",
    "PEEKS",
    "SLICES",
    "Operation",
    "Role",
    "operation",
    "source_of",
]


class Role(Enum):
    """What a torch function does to the signal that passes through it."""

    QUERY = "asks about a tensor"
    FRESH = "makes a tensor that carries none of its operand's values"
    SHAPE = "moves, copies or selects values and changes none"
    POINTWISE = "acts on each element by itself"
    REDUCTION = "summarises many elements into one"
    SUM = "adds two signals"
    CONCAT = "puts signals side by side"
    NORM = "rescales a signal by its own statistics"
    ACTIVATION = "is a pointwise non-linearity"
    MIXING = "mixes features: anything else"


@dataclass(frozen=True)
class Operation:
    """One torch function, reduced to its name, its role and whether it writes into its operand."""

    name: str
    role: Role
    in_place: bool = False


NORM_FAMILIES = {
    "batch_norm": "batch",
    "native_batch_norm": "batch",
    "cudnn_batch_norm": "batch",
    "layer_norm": "layer",
    "native_layer_norm": "layer",
    "group_norm": "group",
    "native_group_norm": "group",
    "instance_norm": "instance",
    "rms_norm": "rms",
    "local_response_norm": "other",
    "normalize": "other",
}

ACTIVATIONS = frozenset(
    """
    relu relu6 gelu silu sigmoid tanh elu selu celu leaky_relu prelu rrelu hardtanh
    hardswish hardsigmoid softplus softsign mish logsigmoid log_sigmoid threshold hardshrink
    softshrink tanhshrink glu erf
    """.split()
)

BOUNDED = frozenset("sigmoid hardsigmoid".split())
LIKENESSES = frozenset("to type_as view_as reshape_as expand_as".split())
"""What takes the values of its first operand, and of a second one only the form."""
SLICES = frozenset(
    "chunk split tensor_split split_with_sizes unbind select narrow getitem index_select gather".split()
)

_SUMS = frozenset("add sub subtract rsub lerp addcmul addmm addbmm baddbmm addmv".split())
_CONCATS = frozenset("cat concat concatenate hstack vstack dstack column_stack".split())
_REDUCTIONS = frozenset(
    "mean sum var std var_mean std_mean norm vector_norm linalg_vector_norm linalg_norm matrix_norm "
    "nanmean nansum amax amin logsumexp".split()
)
_POINTWISE = frozenset(
    """
    mul multiply div divide true_divide truediv floor_divide neg negative positive pow rpow
    sqrt rsqrt reciprocal square abs exp exp2 expm1 log log2 log1p sin cos tan atan clamp
    clip clamp_min clamp_max maximum minimum fmax fmin where masked_fill dropout
    alpha_dropout feature_dropout dropout1d dropout2d dropout3d feature_alpha_dropout
    bernoulli nan_to_num addcdiv real imag view_as_real view_as_complex float double half
    bfloat16 to type type_as round floor ceil sign rdiv logit xlogy ldexp conj fill
    masked_scatter hypot atan2 quantize_per_tensor dequantize
    """.split()
)
_SHAPES = frozenset(
    """
    view view_as reshape reshape_as permute transpose swapaxes swapdims movedim moveaxis t T
    mT H mH flatten unflatten ravel squeeze unsqueeze expand expand_as broadcast_to
    broadcast_tensors repeat repeat_interleave tile contiguous clone detach data chunk split
    tensor_split split_with_sizes unbind select narrow getitem setitem index_select gather
    take_along_dim masked_select index index_put scatter copy pad constant_pad_nd flip roll
    rot90 unfold as_strided stack cpu cuda pin_memory alias atleast_1d atleast_2d atleast_3d
    pixel_shuffle pixel_unshuffle channel_shuffle index_copy slice_scatter select_scatter
    diagonal tril triu adjoint
    """.split()
)
_QUERIES = frozenset(
    """
    dim size numel nelement shape dtype device layout grad_fn requires_grad is_cuda
    is_nested ndim grad stride storage_offset data_ptr untyped_storage element_size
    is_contiguous is_floating_point is_leaf is_complex is_sparse is_quantized is_meta
    is_inference names len repr str format item tolist bool int contains hash get_device
    is_same_size equal allclose is_nonzero is_tensor register_hook retain_grad version
    output_nr _version itemsize nbytes result_type can_cast promote_types finfo iinfo
    is_mkldnn is_xpu is_mps argmax argmin argsort searchsorted bucketize isnan isinf
    isfinite logical_and logical_or logical_not logical_xor all any nonzero count_nonzero
    bincount unique
    """.split()
)
PEEKS = frozenset(
    "item tolist numpy __array__ __float__ __int__ __bool__ __index__ __format__ __repr__ __str__".split()
)
_FRESH = frozenset(
    """
    new_zeros new_ones new_empty new_full new_tensor zeros_like ones_like empty_like
    full_like rand_like randn_like randint_like
    """.split()
)
_COMPARISONS = frozenset("eq ne lt le gt ge greater less greater_equal less_equal".split())


def _role(name: str) -> Role:
    for role, names in (
        (Role.NORM, NORM_FAMILIES.keys()),
        (Role.ACTIVATION, ACTIVATIONS),
        (Role.SUM, _SUMS),
        (Role.CONCAT, _CONCATS),
        (Role.REDUCTION, _REDUCTIONS),
        (Role.POINTWISE, _POINTWISE | _COMPARISONS),
        (Role.SHAPE, _SHAPES),
        (Role.FRESH, _FRESH),
        (Role.QUERY, _QUERIES),
    ):
        if name in names:
            return role
    return Role.MIXING


@cache
def operation(function: Callable[..., Any]) -> Operation:
    """What a torch function does, from its name alone.

    >>> operation(torch.Tensor.add_)
    Operation(name='add', role=<Role.SUM: 'adds two signals'>, in_place=True)
    >>> operation(torch.nn.functional.linear).role.name
    'MIXING'
    """
    name = str(getattr(function, "__name__", function))
    if name in ("__get__", "__set__", "__delete__"):
        written = name == "__set__"
        name = str(getattr(getattr(function, "__self__", None), "__name__", name))
        kept = name in _SHAPES or name in ("real", "imag")
        return Operation(name, _role(name) if kept else Role.QUERY, written)
    if name in PEEKS or name.startswith("_set_") or name.startswith("_has_"):
        return Operation(name, Role.QUERY)
    dunder = name.startswith("__") and name.endswith("__")
    in_place = (name.endswith("_") and not dunder) or name in ("__setitem__", "set_")
    plain = name.strip("_")
    if dunder and plain[:1] == "i" and _role(plain[1:]) is not Role.MIXING and plain != "index":
        plain, in_place = plain[1:], True
    if dunder and _role(plain) is Role.MIXING and _role(plain[1:]) is not Role.MIXING:
        plain = {"rtruediv": "rdiv"}.get(plain, plain[1:])
    return Operation(plain, _role(plain), in_place)


def source_of(
    op: Operation, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> torch.Tensor | None:
    """The signal that a norm or an activation acts on: its first tensor, by position or by name."""
    for value in (*args[:1], kwargs.get("input"), kwargs.get("self")):
        if isinstance(value, torch.Tensor):
            return value
    return None
