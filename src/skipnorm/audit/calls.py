"""The linear maps and norms of a run: their parameters, and over which elements a norm takes its statistics."""

import math
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from skipnorm.anatomy.node import Node
from skipnorm.anatomy.sites import Norm
from skipnorm.audit.hidden import Spread, spread_of
from skipnorm.audit.trace import Operand, Step
from skipnorm.surgery.fixed import FixedBatchNorm

__all__ = ["LinearCall", "NormCall", "linear_call", "norm_call"]


@dataclass(frozen=True, eq=False)
class LinearCall:
    """One call of a linear map with a weight that is a parameter.

    Attributes:
        kind: `linear`, `conv`, `transposed`, or `addmm` as the `Conv1D` of transformers calls it.
        biased: whether something is added, a parameter or not.
    """

    step: Step
    kind: str
    input: Operand
    weight: nn.Parameter
    bias: nn.Parameter | None
    biased: bool

    @property
    def path(self) -> str:
        """Of the module whose call it is."""
        return self.step.call.path or self.step.op.name

    @property
    def output(self) -> Node:
        """What it returns."""
        return self.step.results[0]

    def features(self, side: str) -> int:
        """How many channels it takes (`in`) or makes (`out`)."""
        first, second, *_ = self.weight.shape
        groups = self.step.named.get("groups", 1)
        if self.kind in ("linear", "conv"):
            return first if side == "out" else second * groups
        return first if side == "in" else second * groups

    @property
    def padded(self) -> bool:
        """Whether positions beyond the border count as zeros: there, a shift of the input is not felt."""
        if self.kind in ("linear", "addmm"):
            return False
        padding = self.step.named.get("padding", 0)
        sizes = padding if isinstance(padding, tuple | list) else (padding,)
        return self.kind == "transposed" or any(each not in (0, "valid") for each in sizes)

    @property
    def keeps_positions(self) -> bool:
        """Whether its output has as many positions as its input."""
        return len(self.input.shape) == len(self.step.shape) and all(
            one == two
            for at, (one, two) in enumerate(zip(self.input.shape, self.step.shape, strict=True))
            if at != self.channel
        )

    @property
    def channel(self) -> int:
        """The dimension of its output that counts channels."""
        rank = len(self.step.shape)
        if self.kind in ("linear", "addmm"):
            return rank - 1
        return rank - self.weight.dim() + 1


@dataclass(frozen=True, eq=False)
class NormCall:
    """One norm whose statistics are understood.

    Attributes:
        over: the dimensions over which it takes its statistics.
        groups: into how many sets its channels are parted, where they are among those dimensions.
        centred: whether it subtracts a mean.
        varies: the dimensions along which its gain and shift vary.
    """

    step: Step
    site: Norm
    module: nn.Module
    over: frozenset[int]
    groups: int
    centred: bool
    varies: frozenset[int]
    gain: nn.Parameter | None
    shift: nn.Parameter | None

    @property
    def input(self) -> Operand:
        """What it takes."""
        return self.step.signals[0]

    @property
    def output(self) -> Node:
        """What it returns."""
        return self.step.results[0]

    @property
    def elements(self) -> int:
        """Over how many elements one statistic is taken."""
        return math.prod(self.input.shape[dim] for dim in self.over) // self.groups

    @property
    def affine(self) -> list[nn.Parameter]:
        """Its gain and shift, as far as it has them."""
        return [each for each in (self.gain, self.shift) if each is not None]

    @property
    def by_batch(self) -> bool:
        """Whether it is a batch norm that uses the statistics of the batch in training."""
        if self.site.family != "batch":
            return False
        if self.step.opaque:
            return True
        if isinstance(self.module, FixedBatchNorm):
            return False
        switched_off = isinstance(self.module, _NormBase) and not self.module.training
        return bool(self.step.named.get("training")) or switched_off

    @property
    def keeps_statistics(self) -> bool:
        """Whether it keeps running statistics."""
        return self.step.named.get("running_mean") is not None or (
            self.step.opaque and any(True for _ in self.module.buffers())
        )


def linear_call(step: Step) -> LinearCall | None:
    """The linear map that a call is, or None where it is none whose weight is a parameter."""
    kind = {"linear": "linear", "addmm": "addmm"}.get(step.op.name, "")
    if step.op.name.startswith("conv"):
        kind = "transposed" if "transpose" in step.op.name else "conv"
    named = step.named
    weight, given, bias = (named.get(name) for name in ("weight", "input", "bias"))
    if not kind or not isinstance(weight, Operand) or not isinstance(given, Operand):
        return None
    if weight.parameter is None or not given.signal or len(step.results) != 1:
        return None
    if isinstance(bias, Operand) and bias.signal:
        return None
    biased = bias is not None
    return LinearCall(step, kind, given, weight.parameter, _parameter(bias), biased=biased)


def norm_call(step: Step) -> NormCall | None:
    """The norm that a call is, or None where it is none whose statistics are understood."""
    site = step.site
    if not isinstance(site, Norm) or len(step.signals) != 1 or len(step.results) != 1:
        return None
    module, shape = step.call.module, step.signals[0].shape
    if step.opaque:
        node = step.signals[0].node
        known = node.channels if node is not None else None
        channel = known if known is not None and known < len(shape) else len(shape) - 1
        spread = spread_of(module, shape, channel) if shape else None
        if spread is None:
            return None
        gain, shift = (module._parameters.get(name) for name in ("weight", "bias"))
        return NormCall(step, site, module, *spread, gain=gain, shift=shift)
    understood = _statistics(step, shape)
    if understood is None:
        return None
    gain, shift = (_parameter(step.named.get(name)) for name in ("weight", "bias"))
    return NormCall(step, site, module, *understood, gain=gain, shift=shift)


def _parameter(given: object) -> nn.Parameter | None:
    return given.parameter if isinstance(given, Operand) else None


def _statistics(step: Step, shape: tuple[int, ...]) -> Spread | None:
    """Over which dimensions, in how many groups, whether centred, and where gain and shift vary."""
    name, named, rank = step.op.name, step.named, len(shape)
    channels, positions = frozenset({1}), frozenset(range(2, rank))
    if not named:
        return None
    if name == "batch_norm":
        return frozenset({0}) | positions, 1, True, channels
    if name == "instance_norm" and named.get("use_input_stats", True):
        return positions, 1, True, channels
    if name == "group_norm":
        groups = int(named["num_groups"])
        alone = groups == shape[1]
        return positions if alone else channels | positions, 1 if alone else groups, True, channels
    if name in ("layer_norm", "rms_norm"):
        last = frozenset(range(rank - len(named["normalized_shape"]), rank))
        return last, 1, name == "layer_norm", last
    return None
