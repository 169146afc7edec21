"""What lint says of norms: what stands before them, behind them, and what they take statistics over."""

from collections.abc import Iterator
from itertools import pairwise

from skipnorm.audit.calls import NormCall
from skipnorm.audit.finding import Finding
from skipnorm.audit.parts import STILL, Parts, source_of
from skipnorm.audit.trace import walked_back

__all__ = ["bias_before_norm", "norm_after_norm", "norm_over_few", "shared_batch_norm"]

_FEW = 8


def bias_before_norm(parts: Parts) -> Iterator[Finding]:
    """A bias directly before a norm that subtracts a mean in which a channel's bias is all there is of a constant."""
    removed = []
    for norm in parts.norms.values():
        before = parts.map_before(norm)
        if before is not None and before.bias is not None and parts.removes_bias(norm, before):
            removed.append((norm, before, before.bias))
    for norm, before, bias in removed:
        times = sum(each is bias for _, _, each in removed)
        if parts.trace.uses[id(bias)] != times or parts.trace.holders.get(id(bias), 1) > 1:
            continue
        kept = (
            f" (of a trained network: first {norm.site.module}.running_mean -= {before.path}.bias)"
        )
        yield Finding(
            rule="bias-before-norm",
            severity="warning",
            sites=(before.path, norm.site.name),
            reason="The norm subtracts the mean of each channel and the bias with it: its gradient is zero, and "
            "without it the function is the same.",
            source="Ioffe & Szegedy 2015, section 3.2",
            fix=f"{before.path}.bias = None, or bias=False where it is built"
            + (kept if norm.step.named.get("running_mean") else ""),
            parameters=bias.numel(),
        )


def norm_after_norm(parts: Parts) -> Iterator[Finding]:
    """A norm directly behind another one, where one of the two is redundant."""
    for second in parts.norms.values():
        found = _norm_before(parts, second)
        if found is None:
            continue
        first, alone = found
        learned = sum(each.numel() for each in first.affine)
        if alone and _undone(first, second) and _reads_the_batch(parts, first, second):
            yield Finding(
                rule="norm-after-norm",
                severity="warning",
                sites=(first.site.name, second.site.name),
                reason="The second norm undoes whatever the first one does, but for the sign of its gains.",
                source="derivation: the first is affine on each set over which the second takes its statistics",
                fix=f"sn.operate(network, sn.SwapNorm(where={first.site.name!r}, to='none'), inputs=x)"
                + (", then new running statistics" if second.site.family == "batch" else ""),
                parameters=learned,
            )
        elif _idle(first, second) and _reads_the_batch(parts, second):
            yield _idle_finding(first, second)


def _idle_finding(first: NormCall, second: NormCall) -> Finding:
    if first.affine:
        reason = (
            "What arrives has mean and size already, but for what the first norm's gain and shift have learned: the "
            "second only takes that away."
        )
        fix = f"sn.operate(network, sn.SwapNorm(where={second.site.name!r}, to='none'), inputs=x)"
    else:
        reason = "What arrives is normalised already: the second norm does nothing but its own gain and shift."
        fix = f"in the place of {second.site.name}: its gain and shift alone"
    return Finding(
        rule="norm-after-norm",
        severity="note" if first.affine else "warning",
        sites=(second.site.name, first.site.name),
        reason=reason,
        source="derivation: a normalised signal is a fixed point of the norm",
        fix=fix,
        parameters=sum(each.numel() for each in second.affine) if first.affine else 0,
    )


def _norm_before(parts: Parts, norm: NormCall) -> tuple[NormCall, bool] | None:
    """The norm whose output this one takes, dimension by dimension, and whether nobody else takes it."""
    trace, node = parts.trace, norm.input.node
    found = source_of(trace, node, STILL)
    if found is not None:
        before = parts.norms.get(found[0])
        return (before, True) if before is not None else None
    step = trace.made.get(node) if node is not None else None
    before = parts.norms.get(step) if step is not None else None
    return (before, False) if before is not None else None


def _finer(one: NormCall, other: NormCall) -> bool:
    """Whether each set of the one norm lies within a set of the other."""
    return one.over <= other.over and one.groups % other.groups == 0


def _undone(first: NormCall, second: NormCall) -> bool:
    plain = not first.affine or not (first.varies & second.over)
    adds = first.centred or first.shift is not None
    return _finer(second, first) and plain and (second.centred or not adds)


def _idle(first: NormCall, second: NormCall) -> bool:
    return _finer(first, second) and (first.centred or not second.centred)


def _reads_the_batch(parts: Parts, *norms: NormCall) -> bool:
    """Whether those of them that are batch norms use the batch's statistics in training."""
    return all(each.site.family != "batch" or parts.learns_by_batch(each) for each in norms)


def norm_over_few(parts: Parts) -> Iterator[Finding]:
    """A norm whose statistics rest on one element, or in training on a tiny batch."""
    for norm in parts.norms.values():
        number = norm.elements
        if norm.site.family == "batch":
            if parts.trace.network.training and parts.learns_by_batch(norm) and number < _FEW:
                yield _tiny_batch(norm)
        elif number == 1:
            left = "its shift alone" if norm.centred else "the sign of each element"
            yield Finding(
                rule="norm-over-few",
                severity="warning",
                sites=(norm.site.name,),
                reason=f"The statistic is taken over one element: what leaves is {left}, whatever arrives.",
                source="(x - x) / sqrt(0 + eps) = 0; x / |x| = ±1",
                fix="normalise over more: fewer groups, more features, or before the positions are pooled",
            )


def _tiny_batch(norm: NormCall) -> Finding:
    samples = norm.input.shape[0]
    return Finding(
        rule="norm-over-few",
        severity="warning",
        sites=(norm.site.name,),
        reason=f"With this batch of {samples}, mean and variance of a channel are taken over fewer than {_FEW} values: "
        "they are noise, and differ from the running ones used in evaluation.",
        source="Wu & He 2018, figure 1",
        fix=f"a larger batch, or sn.operate(network, sn.SwapNorm(where={norm.site.name!r}, to='group'), inputs=x)",
    )


def shared_batch_norm(parts: Parts) -> Iterator[Finding]:
    """A batch norm that normalises several signals with one set of running statistics."""
    calls: dict[str, list[NormCall]] = {}
    for norm in parts.norms.values():
        if parts.learns_by_batch(norm) and norm.keeps_statistics:
            calls.setdefault(norm.site.module, []).append(norm)
    for path, runs in calls.items():
        if len(runs) == 1:
            continue
        chained = any(
            one.output in set(walked_back([two.input.node], one.output.index - 1))
            for one, two in pairwise(runs)
            if two.input.node is not None
        )
        yield Finding(
            rule="shared-batch-norm",
            severity="warning" if chained else "note",
            sites=(path, *(each.site.name for each in runs)),
            reason="One module normalises signals of different depths: its running statistics mix them, so that "
            "evaluation is not what was trained."
            if chained
            else "One module normalises several signals: its running statistics mix them, which is harmless only if "
            "they are distributed alike.",
            source="Cooijmans et al. 2017: statistics for each time step",
            fix="a batch norm of its own for each call; the weights may stay shared",
        )
