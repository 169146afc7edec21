"""Watching which parameter is used where, so that the gradients of samples need not be told apart one by one."""

from collections.abc import Callable, Collection, Mapping
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import get_gradient_edge
from torch.overrides import TorchFunctionMode

from skipnorm.anatomy.operations import Role, operation
from skipnorm.probes.shattering.normalised import (
    Normalised,
    batch_normalised,
    group_normalised,
    layer_normalised,
)
from skipnorm.probes.shattering.noted import Noted, rooted
from skipnorm.probes.shattering.uses import Convolution, Elementwise, Lookup, Matrix, Use

__all__ = ["Watch"]


_CONVOLUTIONS = {F.conv1d: 1, F.conv2d: 2, F.conv3d: 3}
_BROADCAST = {"add", "sub", "mul", "div", "rsub", "multiply", "subtract", "divide", "expand"}
_RESHAPED = {"unsqueeze", "squeeze", "view", "reshape", "flatten", "getitem"}
Handler = Callable[..., Any]


class Watch(TorchFunctionMode):
    """Notes every use of the chosen parameters.

    Norms are split into the normalisation and what their gain and shift do; a parameter that is broadcast over the
    samples is laid out once for each. The values are the same up to rounding.

    Attributes:
        noted: the uses in order of execution.
        others: names of parameters that were used in a way that is not understood.
    """

    def __init__(self, parameters: Mapping[str, Tensor], samples: int) -> None:
        super().__init__()
        self.noted: list[Noted] = []
        self.others: set[str] = set()
        self._names = {id(parameter): name for name, parameter in parameters.items()}
        self._samples = samples
        self._kept: list[Tensor] = []  # an id is good for as long as its owner lives
        self._handlers: dict[Any, Handler] = {
            F.linear: self._linear,
            F.embedding: self._embedding,
            torch.addmm: self._addmm,
            F.layer_norm: self._layer_norm,
            F.group_norm: self._channel_norm,
            F.batch_norm: self._channel_norm,
            F.instance_norm: self._channel_norm,
            F.rms_norm: self._rms_norm,
        } | dict.fromkeys(_CONVOLUTIONS, self._convolution)

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        names = self._named(args, kwargs)
        if not names:
            return function(*args, **kwargs)
        op = operation(function)
        if op.role is Role.QUERY:
            return function(*args, **kwargs)
        if op.name in _RESHAPED:
            return self._renamed(function(*args, **kwargs), args[0], names)
        before, known = len(self.noted), set(self.others)
        handler = self._handlers.get(function) if torch.is_grad_enabled() else None
        if function not in self._handlers and op.name in _BROADCAST and not op.in_place:
            handler = self._broadcast
        try:
            result = NotImplemented if handler is None else handler(function, *args, **kwargs)
        except (
            TypeError,
            ValueError,
            RuntimeError,
        ):  # an unusual call: the network's own answer, or error
            result = NotImplemented
        if result is NotImplemented:
            del self.noted[before:]
            self.others = known | names
            result = function(*args, **kwargs)
        return result

    def _named(self, args: Collection[Any], kwargs: Mapping[str, Any]) -> set[str]:
        found = set()
        for value in (*args, *kwargs.values()):
            for each in value if isinstance(value, list | tuple) else (value,):
                if id(each) in self._names:
                    found.add(self._names[id(each)])
        return found

    def _renamed(self, result: Any, parameter: Any, names: set[str]) -> Any:
        """The parameter in another shape, its numbers in the same order, is the parameter still."""
        view = isinstance(result, Tensor) and result._base is not None and len(names) == 1
        if view and id(parameter) in self._names and result.numel() == parameter.numel():
            self._names[id(result)] = next(iter(names))
            self._kept.append(result)
        else:
            self.others |= names
        return result

    def _note(
        self, parameter: Tensor | None, use: Use, out: Tensor, inputs: Tensor | None = None
    ) -> None:
        name = self._names.get(id(parameter))
        if name is not None:
            seen = None if inputs is None else (inputs, inputs._version)
            self.noted.append(Noted(name, use, get_gradient_edge(out), len(out), seen))

    def _linear(self, function: Any, input: Tensor, weight: Tensor, bias: Any = None) -> Any:
        out = rooted(function(input, weight, bias))
        use = Matrix(input.detach(), turned=False, rows=weight.shape[0], width=weight.shape[1])
        self._note(weight, use, out, input)
        self._shift(bias, out, (out.dim() - 1,))
        return out

    def _addmm(
        self, function: Any, input: Tensor, mat1: Tensor, mat2: Tensor, **scales: Any
    ) -> Any:
        if scales or id(mat1) in self._names or input.dim() != 1:
            return NotImplemented
        out = rooted(function(input, mat1, mat2))
        use = Matrix(mat1.detach(), turned=True, rows=mat2.shape[0], width=mat2.shape[1])
        self._note(mat2, use, out, mat1)
        self._shift(input, out, (1,))
        return out

    def _convolution(
        self,
        function: Any,
        input: Tensor,
        weight: Tensor,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Any:
        dims = _CONVOLUTIONS[function]
        if input.dim() != dims + 2 or isinstance(padding, str):
            return NotImplemented
        out = rooted(function(input, weight, bias, stride, padding, dilation, groups))
        steps, margins, gaps = (_spread(value, dims) for value in (stride, padding, dilation))
        rows, width = weight.shape[0], prod(weight.shape[1:])
        kernel = tuple(weight.shape[2:])
        use = Convolution(input.detach(), kernel, steps, margins, gaps, groups, rows, width)
        self._note(weight, use, out, input)
        self._shift(bias, out, (1,))
        return out

    def _embedding(
        self,
        function: Any,
        input: Tensor,
        weight: Tensor,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Any:
        if max_norm is not None or scale_grad_by_freq:
            return NotImplemented
        if input.dim() > 1 and len(input) == 1 < self._samples:
            input = input.expand(self._samples, *input.shape[1:])  # positions, the same for all
        out = rooted(function(input, weight))
        rows, width = weight.shape
        padding = None if padding_idx is None else padding_idx % rows
        self._note(weight, Lookup(input, padding, rows, width), out, input)
        return out

    def _layer_norm(
        self,
        function: Any,
        input: Tensor,
        normalized_shape: Any,
        weight: Any = None,
        bias: Any = None,
        eps: float = 1e-5,
    ) -> Any:
        dims = tuple(range(input.dim() - len(normalized_shape), input.dim()))
        found = layer_normalised(input, normalized_shape, weight, bias, eps)
        if found is not None:
            return self._normalised(found, input, weight, bias, dims)
        plain = function(input, normalized_shape, None, None, eps)
        return self._affine(plain, weight, bias, dims)

    def _rms_norm(
        self,
        function: Any,
        input: Tensor,
        normalized_shape: Any,
        weight: Any = None,
        eps: float | None = None,
    ) -> Any:
        plain = function(input, normalized_shape, None, eps)
        dims = tuple(range(input.dim() - len(normalized_shape), input.dim()))
        return self._affine(plain, weight, None, dims)

    def _channel_norm(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        names = {
            F.group_norm: ("input", "num_groups", "weight", "bias", "eps"),
            F.batch_norm: (*_STATISTICS, "training", "momentum", "eps"),
            F.instance_norm: (*_STATISTICS, "use_input_stats", "momentum", "eps"),
        }[function]
        given = dict(zip(names, args, strict=False)) | kwargs
        found = None
        if function is F.group_norm:
            found = group_normalised(**given)
        elif function is F.batch_norm:
            found = batch_normalised(**given)
        weight, bias = given.pop("weight", None), given.pop("bias", None)
        if found is not None:
            return self._normalised(found, given["input"], weight, bias, (1,))
        return self._affine(function(**given), weight, bias, (1,))

    def _normalised(
        self,
        found: Normalised,
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        dims: tuple[int, ...],
    ) -> Tensor:
        out = rooted(found.out)
        if weight is not None:
            rows = weight.shape[0]
            width = weight.numel() // rows
            use = Elementwise(found.inputs, dims, rows, width, found.centre, found.scale)
            self._note(weight, use, out, input)
        self._shift(bias, out, dims)
        return out

    def _affine(
        self, plain: Tensor, weight: Tensor | None, bias: Tensor | None, dims: tuple[int, ...]
    ) -> Tensor:
        def laid(parameter: Tensor) -> Tensor:
            shape = [plain.shape[dim] if dim in dims else 1 for dim in range(plain.dim())]
            return parameter.reshape(shape)

        out = plain
        if weight is not None:
            out = out * laid(weight)
        if bias is not None:
            out = out + laid(bias)
        out = rooted(out)
        if weight is not None:
            rows = weight.shape[0]
            use = Elementwise(plain.detach(), dims, rows, weight.numel() // rows)
            self._note(weight, use, out)
        self._shift(bias, out, dims)
        return out

    def _shift(self, bias: Tensor | None, out: Tensor, dims: tuple[int, ...]) -> None:
        if bias is not None and min(dims) > 0:
            rows = bias.shape[0]
            self._note(bias, Elementwise(None, dims, rows, bias.numel() // rows), out)

    def _broadcast(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """The operation on a copy of the parameter for each sample, whose gradients are those of the samples."""
        (position,) = [index for index, value in enumerate(args) if id(value) in self._names]
        parameter, samples = args[position], self._samples
        if operation(function).name == "expand":
            shape = function(parameter.detach(), *args[1:], **kwargs).shape
        else:
            shape = np.broadcast_shapes(*(arg.shape for arg in args if isinstance(arg, Tensor)))
        own = tuple(parameter.shape)
        free = len(shape) - len(own)
        if not shape or shape[0] != samples or (free == 0 and own[0] != 1):
            return NotImplemented
        tail = own[1:] if free == 0 else (1,) * (free - 1) + own
        copies = parameter.detach().reshape(1, *tail).expand(samples, *tail).clone()
        copies = rooted(copies)
        dims = tuple(range(1, copies.dim()))
        rows = own[0] if own else 1
        use = Elementwise(None, dims, rows, parameter.numel() // rows)
        self._note(parameter, use, copies)
        return function(*args[:position], copies, *args[position + 1 :], **kwargs)


_STATISTICS = ("input", "running_mean", "running_var", "weight", "bias")


def _spread(value: Any, dims: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values
