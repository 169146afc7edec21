"""A trace with its linear maps and norms, and which stands directly behind which."""

from dataclasses import dataclass
from functools import cached_property

from skipnorm.anatomy.node import Node
from skipnorm.audit.calls import LinearCall, NormCall, linear_call, norm_call
from skipnorm.audit.trace import Step, Trace

__all__ = ["STILL", "Parts", "is_view", "source_of", "takers_of"]

_VIEWS = frozenset(
    """
    view view_as reshape reshape_as permute transpose swapaxes swapdims movedim moveaxis t T mT flatten unflatten
    squeeze unsqueeze contiguous clone to type type_as float double half bfloat16
    """.split()
)
STILL = frozenset("contiguous clone to type type_as float double half bfloat16".split())
"""The views that leave every dimension where it is."""


@dataclass(frozen=True)
class Parts:
    """A trace, with its linear maps and norms in order of execution."""

    trace: Trace

    @cached_property
    def maps(self) -> dict[Step, LinearCall]:
        """The linear maps."""
        found = ((step, linear_call(step)) for step in self.trace.steps)
        return {step: each for step, each in found if each is not None}

    @cached_property
    def norms(self) -> dict[Step, NormCall]:
        """The norms whose statistics are understood."""
        found = ((step, norm_call(step)) for step in self.trace.steps)
        return {step: each for step, each in found if each is not None}

    def learns_by_batch(self, norm: NormCall) -> bool:
        """Whether this batch norm uses the statistics of the batch whenever the network is trained.

        In a network in training mode, one that does not has been frozen on purpose.
        """
        if self.trace.network.training and not norm.step.opaque:
            return norm.site.family == "batch" and bool(norm.step.named.get("training"))
        return norm.by_batch

    def map_before(self, norm: NormCall) -> LinearCall | None:
        """The linear map whose output goes to this norm, and nowhere else, with nothing but views between."""
        found = source_of(self.trace, norm.input.node)
        return self.maps.get(found[0]) if found is not None else None

    def removes_bias(self, norm: NormCall, before: LinearCall) -> bool:
        """Whether what the map adds to a channel is constant over every set whose mean the norm subtracts."""
        node = norm.input.node
        channel = node.channels if node is not None else None
        if channel is None or channel >= len(norm.input.shape) or not norm.centred:
            return False
        if norm.site.family == "batch" and not self.learns_by_batch(norm):
            return False
        same = norm.input.shape[channel] == before.features("out")
        return same and channel not in norm.over


def is_view(step: Step) -> bool:
    """Whether the call moves values and neither mixes, drops nor repeats any."""
    return step.op.name in _VIEWS and not step.op.in_place and len(step.signals) == 1


def source_of(
    trace: Trace, node: Node | None, through: frozenset[str] = _VIEWS
) -> tuple[Step, Node] | None:
    """The call that made this value, through views, if the value goes nowhere else on its way."""
    while node is not None and trace.only_taker(node) is not None:
        step = trace.made.get(node)
        if step is None:
            return None
        if not (is_view(step) and step.op.name in through):
            return step, node
        node = step.signals[0].node
    return None


def takers_of(trace: Trace, node: Node) -> list[Step] | None:
    """The calls that take this value, through views; None where it is returned, or nobody takes it."""
    found: list[Step] = []
    queue = [node]
    while queue:
        each = queue.pop()
        takers = trace.takers.get(each, [])
        if each in trace.returned or not takers:
            return None
        for step in takers:
            if is_view(step):
                queue += step.results
            else:
                found.append(step)
    return found
