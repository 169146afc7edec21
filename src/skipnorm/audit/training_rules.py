"""What lint says of how a network is trained: dropout before batch norms, and what weight decay acts on."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from torch import nn

from skipnorm.anatomy.operations import Role
from skipnorm.anatomy.sites import Norm
from skipnorm.audit.calls import LinearCall, NormCall
from skipnorm.audit.finding import Finding
from skipnorm.audit.parts import Parts
from skipnorm.audit.trace import Step
from skipnorm.errors import AnatomyError

__all__ = [
    "Optimizer",
    "decayed_norm",
    "decayed_scale_invariant_weight",
    "dropout_before_batch_norm",
]

_DROPOUTS = frozenset("dropout dropout1d dropout2d dropout3d feature_dropout".split())
_PASSES = frozenset(
    {Role.POINTWISE, Role.SHAPE, Role.ACTIVATION, Role.SUM, Role.CONCAT, Role.MIXING}
)


class Optimizer(Protocol):
    """Whatever lists its parameters in groups, as torch's optimisers do."""

    param_groups: Any


def dropout_before_batch_norm(parts: Parts) -> Iterator[Finding]:
    """Dropout whose variance, in training alone, reaches a batch norm."""
    for step in parts.trace.steps:
        if step.op.name in _DROPOUTS and _drops(parts, step):
            reached = _batch_norms_behind(parts, step)
            direct = [norm for norm, summed in reached if not summed]
            if reached:
                share = step.named.get("p", 0.5)
                yield Finding(
                    rule="dropout-before-batch-norm",
                    severity="warning" if direct else "note",
                    sites=(
                        step.call.path or step.op.name,
                        *(each.site.name for each, _ in reached),
                    ),
                    reason=f"Dropout (p = {share:g}) multiplies the second moment of its input by "
                    f"{1 / (1 - share):.3g} in training alone, and the norm keeps the variance of training.",
                    source="Li et al. 2019, section 3: variance shift",
                    fix="dropout behind the last batch norm, or none",
                )


def _drops(parts: Parts, step: Step) -> bool:
    share = step.named.get("p", 0.5)
    asleep = parts.trace.network.training and step.named.get("training") is False
    return bool(step.signals) and isinstance(share, int | float) and 0 < share < 1 and not asleep


def _batch_norms_behind(parts: Parts, start: Step) -> list[tuple[NormCall, bool]]:
    """The first batch norms on each way forward, and whether all ways there lead through a sum of signals."""
    found: dict[Step, bool] = {}
    queue = [(step, False) for node in start.results for step in parts.trace.takers.get(node, ())]
    seen = set()
    while queue:
        step, summed = queue.pop()
        if (step, summed) in seen:
            continue
        seen.add((step, summed))
        if step.op.role is Role.NORM or isinstance(step.site, Norm):
            norm = parts.norms.get(step)
            if norm is not None and parts.learns_by_batch(norm) and norm.keeps_statistics:
                found[step] = found.get(step, True) and summed
            continue
        joins = len(step.signals) > 1
        if step.op.role not in _PASSES or (joins and step.op.role not in (Role.SUM, Role.CONCAT)):
            continue
        queue += [
            (taker, summed or (joins and step.op.role is Role.SUM))
            for node in step.results
            for taker in parts.trace.takers.get(node, ())
        ]
    return [
        (parts.norms[step], found[step]) for step in sorted(found, key=lambda each: each.number)
    ]


def _decayed(parts: Parts, optimizer: Optimizer) -> dict[int, float]:
    """The weight decay of each parameter of the network that is decayed, by identity."""
    own = {id(each): each.requires_grad for each in parts.trace.network.parameters()}
    groups = list(getattr(optimizer, "param_groups", ()))
    listed = {
        id(each): group.get("weight_decay", 0) for group in groups for each in group["params"]
    }
    if not own.keys() & listed.keys():
        raise AnatomyError(
            f"expected an optimizer of the parameters of this {type(parts.trace.network).__name__}, found one that "
            f"holds none of them ({type(optimizer).__name__} with {len(listed)} parameters). Build it from "
            "network.parameters() of the very network that is given to lint."
        )
    return {key: float(decay) for key, decay in listed.items() if decay and own.get(key)}


def decayed_scale_invariant_weight(parts: Parts, optimizer: Optimizer) -> Iterator[Finding]:
    """Weight decay on weights whose size the norm behind them takes away."""
    decayed = _decayed(parts, optimizer)
    for norm in parts.norms.values():
        before = parts.map_before(norm)
        if before is None or not parts.trace.own(before.weight):
            continue
        if norm.site.family == "batch" and not parts.learns_by_batch(norm):
            continue
        together = _invariant_together(parts, norm, before)
        if together and all(id(each) in decayed for each in together):
            names = [parts.trace.names.get(id(each), before.path) for each in together]
            yield Finding(
                rule="decayed-scale-invariant-weight",
                severity="note",
                sites=(*names, norm.site.name),
                reason="The norm behind takes the weight's size away, so that decay does not regularise the function: "
                "it only shrinks the weight, and raises the effective learning rate, rate / |w|².",
                source="van Laarhoven 2017",
                fix="know it when tuning: decay and rate are one knob here (their product counts); "
                "weight_decay=0 lets the effective rate fall as the weight grows",
            )


def _invariant_together(parts: Parts, norm: NormCall, before: LinearCall) -> list[nn.Parameter]:
    """The parameters that the norm's output does not feel a common factor of; none where there are no such."""
    if not before.biased or parts.removes_bias(norm, before):
        return [before.weight]
    if before.bias is None or not parts.trace.own(before.bias):
        return []
    return [before.weight, before.bias]


def decayed_norm(parts: Parts, optimizer: Optimizer) -> Iterator[Finding]:
    """Weight decay on the gains and shifts of norms."""
    decayed = _decayed(parts, optimizer)
    for norm in _once(parts.norms.values()):
        names = [parts.trace.names[id(each)] for each in norm.affine if id(each) in decayed]
        if names:
            yield Finding(
                rule="decayed-norm",
                severity="note",
                sites=(norm.site.name, *names),
                reason="Decay acts on the gain and shift of the norm too, which are too few to overfit by: many "
                "recipes leave them out.",
                source="He et al. 2019 (bag of tricks), section 3.1: no bias decay",
                fix="a parameter group of their own with weight_decay=0: "
                "[p for p in network.parameters() if p.ndim < 2]",
            )


def _once(norms: Iterable[NormCall]) -> list[NormCall]:
    """One of several runs of a module."""
    return list({each.site.module: each for each in reversed(list(norms))}.values())[::-1]
