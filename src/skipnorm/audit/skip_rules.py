"""What lint says of skips: what stands on the shortcut, in the branch and behind the addition."""

from collections.abc import Iterator, Sequence

from skipnorm.anatomy.node import Node
from skipnorm.anatomy.operations import Role
from skipnorm.anatomy.sites import Activation, Skip
from skipnorm.audit.finding import Finding
from skipnorm.audit.parts import Parts, is_view, takers_of
from skipnorm.audit.trace import Operand, Step, Trace, walked_back

__all__ = ["activation_after_addition", "linear_skip", "needless_projection"]

_LINEAR = frozenset("avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool2d mean sum".split())
_SCALINGS = frozenset("mul multiply div divide truediv true_divide neg negative".split())
_DROPOUTS = frozenset("dropout dropout1d dropout2d dropout3d feature_dropout".split())


def _additions(trace: Trace) -> list[tuple[Step, Skip]]:
    return [
        (step, step.site)
        for step in trace.steps
        if isinstance(step.site, Skip) and step.site.merge == "add"
    ]


def activation_after_addition(parts: Parts) -> Iterator[Finding]:
    """A non-linearity between one addition and the next: the shortcut of the whole network is no identity."""
    trace = parts.trace
    additions = _additions(trace)
    for step, site in additions:
        takers = takers_of(trace, step.results[0]) if step.results else None
        if takers is None or len(takers) != 1:
            continue
        (behind,) = takers
        if not isinstance(behind.site, Activation) or behind.site.gate:
            continue
        carried = _views_of(trace, behind.results)
        if any(each.ancestor in carried for each, _ in additions if each.number > behind.number):
            yield Finding(
                rule="activation-after-addition",
                severity="note",
                sites=(behind.site.name, site.name),
                reason="The sum is bent before the next block takes it: no signal and no gradient runs through the "
                "network on identities alone, and what is negative is lost to all blocks behind.",
                source="He et al. 2016b, section 4",
                fix="pre-activation: norm and activation before the weights of the branch, none behind the addition",
            )


def _views_of(trace: Trace, nodes: Sequence[Node]) -> set[Node]:
    """These values, and what is nothing but a view of one of them."""
    found, queue = set(nodes), list(nodes)
    while queue:
        for step in trace.takers.get(queue.pop(), ()):
            if is_view(step):
                queue += [each for each in step.results if each not in found]
                found |= set(step.results)
    return found


def _sides(step: Step, site: Skip) -> tuple[Operand, Operand] | None:
    """Shortcut and branch of a plain sum of two signals."""
    if step.op.name != "add" or len(step.operands) != 2 or len(step.signals) != 2:
        return None
    shortcut, branch = step.operands[site.shortcuts[0]], step.operands[site.branch]
    return shortcut, branch


def _inside(trace: Trace, end: Operand, ancestor: Node) -> list[Step] | None:
    """The calls between the ancestor and this end; None where one is unknown or another signal comes in."""
    assert end.node is not None
    inside = set(walked_back([end.node], ancestor.index))
    for node in inside:
        if any(
            each.signal and each not in inside and each is not ancestor for each in node.parents
        ):
            return None
    steps = [trace.made.get(node) for node in inside]
    known = [each for each in steps if each is not None]
    return list(dict.fromkeys(known)) if len(known) == len(steps) else None


def _is_linear(parts: Parts, step: Step) -> bool:
    """Whether the call is linear (up to a constant) in the signal, at inference at least."""
    if step in parts.maps or step.op.name in _LINEAR | _DROPOUTS:
        return True
    norm = parts.norms.get(step)
    if norm is not None:
        return norm.site.family == "batch" and norm.keeps_statistics
    if step.op.role is Role.SUM:
        return step.op.name in ("add", "sub", "subtract", "rsub")
    if step.op.name in _SCALINGS:
        return len(step.signals) == 1 and (step.operands[0].signal or step.op.name[0] != "d")
    return is_view(step)


def needless_projection(parts: Parts) -> Iterator[Finding]:
    """A projection on the shortcut between two signals of one shape."""
    trace = parts.trace
    shapes = {each.node: each.shape for step in trace.steps for each in step.operands if each.node}
    for step, site in _additions(trace):
        sides, ancestor = _sides(step, site), step.ancestor
        if sides is None or ancestor is None or site.shortcut != "projection":
            continue
        if shapes.get(ancestor) != step.shape:
            continue
        shortcut, branch = (_inside(trace, each, ancestor) for each in sides)
        if shortcut is None or branch is None or all(_is_linear(parts, each) for each in branch):
            continue
        maps = [parts.maps[each] for each in shortcut if each in parts.maps]
        others = [each for each in shortcut if each not in parts.maps]
        if len(maps) != 1 or not maps[0].keeps_positions or not all(map(_may_go, others)):
            continue
        if not all(parts.maps[each].keeps_positions for each in branch if each in parts.maps):
            continue  # down and up again: a lateral connection between two scales, no residual block
        learned = {
            id(each.parameter): each.parameter.numel()
            for one in shortcut
            for each in one.operands
            if each.parameter is not None
        }
        yield Finding(
            rule="needless-projection",
            severity="note",
            sites=(maps[0].path, site.name),
            reason="The shortcut goes through weights although input and sum have the same shape: an identity fits.",
            source="He et al. 2016a, section 4.1 (options B and C); He et al. 2016b, section 3",
            fix=f"an nn.Identity() in the place of {maps[0].path}"
            + (" and its norm" if any(each.op.role is Role.NORM for each in others) else ""),
            parameters=sum(learned.values()),
        )


def _may_go(step: Step) -> bool:
    return is_view(step) or step.op.role is Role.NORM or step.op.name in _DROPOUTS


def linear_skip(parts: Parts) -> Iterator[Finding]:
    """A skip around a branch without any non-linearity: one linear map can do both."""
    trace = parts.trace
    for step, site in _additions(trace):
        sides, ancestor = _sides(step, site), step.ancestor
        if sides is None or ancestor is None:
            continue
        inside = [_inside(trace, each, ancestor) for each in sides if each.node is not ancestor]
        if any(each is None for each in inside):
            continue
        steps = [each for side in inside if side is not None for each in side]
        maps = [parts.maps[each] for each in steps if each in parts.maps]
        if not maps or not all(_is_linear(parts, each) for each in steps):
            continue
        normed = any(each.op.role is Role.NORM for each in steps)
        yield Finding(
            rule="linear-skip",
            severity="note",
            sites=(site.name, *dict.fromkeys(each.path for each in maps)),
            reason="No non-linearity lies between where the skip leaves and where it joins again: shortcut and branch "
            "are one linear map" + (" in evaluation." if normed else "."),
            source="x + W x = (1 + W) x; Hardt & Ma 2017 on what it still does for training",
            fix="an activation in the branch, or the shortcut added to the weights (W <- 1 + W)",
        )
