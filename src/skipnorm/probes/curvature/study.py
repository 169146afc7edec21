"""A network posed for second derivatives: its parameters in groups, what fits into memory, and how it was posed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from skipnorm.errors import ProbeError
from skipnorm.probes.curvature.memory import Passage, budget, free_bytes, passage
from skipnorm.probes.curvature.operator import Kind, Operator
from skipnorm.probes.curvature.run import Plan, Spectrum, spectrum
from skipnorm.probes.objective import Loss
from skipnorm.probes.problem import Problem, Statistics, posed

__all__ = ["PER", "Per", "Study", "studied"]

Per = Literal["network", "layer", "parameter"]
PER: tuple[Per, ...] = ("network", "layer", "parameter")
_GIB = 2**30


@dataclass
class Study:
    """A network posed for second derivatives."""

    problem: Problem
    operator: Operator
    groups: dict[str, list[str]]
    plan: Plan
    settings: dict[str, str] = field(default_factory=dict)

    def spectra(self, progress: Callable[[int, int], None] | None = None) -> Iterator[Spectrum]:
        """One run for each group of parameters."""
        total = self.plan.rows * len(self.groups)
        for place, names in enumerate(self.groups.values()):
            before = self.plan.rows * place

            def advance(done: int, before: int = before) -> None:
                if progress is not None:
                    progress(before + done, total)

            yield spectrum(self.operator, names, self.plan, advance=advance)
            advance(self.plan.rows)


@contextmanager
def studied(
    network: nn.Module,
    batch: Any,
    loss: Loss,
    kind: Kind,
    statistics: Statistics,
    where: str,
    per: Per,
    plan: Plan,
    memory_gib: float | None,
) -> Iterator[Study]:
    """Pose the network, see what one pass of each batch takes, and decide how the products are made."""
    with posed(network, batch, loss=loss, statistics=statistics, where=where) as problem:
        if statistics == "recalibrated":  # once, at this point; later calls leave them as they are
            problem.recalibrate()
            problem.statistics = "running"
        groups = _groups(problem, per)
        point = {
            name: value.detach().requires_grad_() for name, value in problem.parameters.items()
        }
        seen = passage(problem, point)
        first = next(iter(point.values()))
        sizes = [sum(point[name].numel() for name in names) for names in groups.values()]
        cap = 0.8 * free_bytes(first.device) if memory_gib is None else memory_gib * _GIB
        fit = budget(
            seen,
            parameters=sum(sizes),
            largest=max(sizes),
            itemsize=max(4, first.element_size()),
            rows=min(max(sizes), plan.most) + plan.top + 2 * plan.last,
            block=max(plan.vectors, plan.last),
            cap=cap,
            said="80 % of what was free" if memory_gib is None else f"{memory_gib:g} GiB",
            cpu=first.device.type == "cpu",
        )
        operator = Operator(problem, loss, kind, retained=fit.retained, at_once=fit.at_once)
        settings = {
            "kind": kind,
            "statistics": _statistics_words(problem, statistics),
            "attention": _attention_words(seen),
            "kinks": ", ".join(sorted(seen.bent)) or "none seen",
            "memory": fit.words,
            "where": where,
            "plan": str(plan),
        }
        yield Study(problem, operator, groups, plan, settings)


def _groups(problem: Problem, per: Per) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, value in problem.parameters.items():
        label = {"network": "network", "parameter": name}.get(
            per, name.rpartition(".")[0] or "root"
        )
        if value.numel():
            groups.setdefault(label, []).append(name)
    if not groups:
        raise ProbeError("expected parameters to vary, found only empty ones. Widen where=.")
    return groups


def _statistics_words(problem: Problem, statistics: Statistics) -> str:
    norms = [m for m in problem.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return f"{statistics}; the network has no BatchNorm module"
    by_batch = sum(norm.training or norm.running_mean is None for norm in norms)
    held = " held fixed" if statistics == "recalibrated" else ""
    return (
        f"{statistics}: {by_batch} of {len(norms)} BatchNorm modules normalise by the batch, "
        f"{len(norms) - by_batch} by running statistics{held}"
    )


def _attention_words(seen: Passage) -> str:
    if not seen.attention:
        return "no attention that PyTorch would fuse was called"
    return f"differentiable (math) path in place of fused attention, {seen.attention} calls in a forward pass"
