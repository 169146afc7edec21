"""What each unit does with its non-linearity: dead, always on, saturated, or as good as linear; and norms' gains."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from skipnorm.anatomy.channels import channel_dimension
from skipnorm.anatomy.discover import observe
from skipnorm.anatomy.preserve import untouched
from skipnorm.anatomy.sighting import Sighting
from skipnorm.anatomy.sites import Anatomy
from skipnorm.errors import ProbeError
from skipnorm.probes.activation.gains import GainTally, parameters_of
from skipnorm.probes.activation.labels import QUANTILES, QUANTITIES, labels, site_values
from skipnorm.probes.activation.slopes import Local, from_values, reference_slope
from skipnorm.probes.activation.summary import activation_summary
from skipnorm.probes.activation.tally import ActivationTally
from skipnorm.probes.findings import Findings
from skipnorm.probes.objective import inputs_of
from skipnorm.probes.problem import Statistics, batches_of
from skipnorm.probes.shift.samples import looked_at, units_of

__all__ = ["activation", "activation_summary"]


def activation(
    network: nn.Module,
    batch: Any,
    *,
    statistics: Statistics = "as_is",
    progress: Callable[[int, int], None] | None = None,
) -> Findings:
    """How every unit of every activation is used, and which gains and shifts every norm applies.

    A unit is a channel. With z its input and phi(z) its output, over samples and positions of all batches:

    * on fraction `P(z > 0)`; dead: never on; always on: ever on;
    * co-activation: P(both of two samples of one batch on), at the same position;
    * saturated: how often `|phi'(z)| < 0.1 max |phi'|`, with the derivative of the very function that acts, by
      autograd across the site, whoever wrote it; where autograd does not reach, by slopes between neighbouring samples;
    * non-linearity: `1 - R^2` of the best affine fit of phi(z) on z; NaN where phi(z) never changes.

    Per norm: gain and shift of each unit, from the parameters of torch's own norms, from input and output of
    others. Means over units leave out what is undefined for a unit that stands still, never a unit that is NaN: one NaN
    in is NaN out. A whole-network probe, since input and output of an activation are read together; costs one
    forward with its graph and one local backward per activation.

    Args:
        network: any module.
        batch: as `measure` takes it (targets are not looked at), or a list of such.
        statistics: what BatchNorm normalises by, see `problem.STATISTICS`.
        progress: called with (batches done, batches in all).

    Raises:
        ProbeError: a network without activation and norm.
        AnatomyError: the network cannot be looked at.

    >>> x = torch.tensor([[-1.0, 1.0, -1.0], [-2.0, 2.0, 1.0]])
    >>> found = activation(nn.Sequential(nn.ReLU()), x)
    >>> [found.values[name].item() for name in ("dead_fraction", "always_on_fraction", "on_fraction")]
    [0.3333333333333333, 0.3333333333333333, 0.5]
    """
    batches = batches_of(batch)
    watcher = _Watcher()
    anatomy: Anatomy | None = None
    with looked_at(network, batches, statistics):
        for number, each in enumerate(batches):
            anatomy = _pass(network, each, watcher, anatomy)
            if progress is not None:
                progress(number + 1, len(batches))
    assert anatomy is not None
    sites = [site for site in anatomy.sites if site.kind != "skip"]
    if not sites:
        raise ProbeError(
            f"expected an activation or a norm in {anatomy.network}, found {len(anatomy)} sites of other kinds. "
            "See what anatomy(network, inputs) finds; functions of scripted modules cannot be seen."
        )
    coords = labels(sites, watcher.units)
    values = site_values(sites, coords, watcher.activations, watcher.gains)
    notes = (*anatomy.unseen, *dict.fromkeys(watcher.notes(sites)))
    settings = {"statistics": statistics, "batches": str(len(batches))}
    return Findings(QUANTITIES, values, coords | {"quantile": list(QUANTILES)}, settings, notes)


def _pass(network: nn.Module, batch: Any, watcher: "_Watcher", known: Anatomy | None) -> Anatomy:
    args, named, _ = inputs_of(batch)
    inner = getattr(network, "_orig_mod", network)
    with untouched(network) as ledger, torch.enable_grad():
        torch.manual_seed(0)
        args, named = watcher.rooted(args), watcher.rooted(named)
        try:
            observer, _ = observe(inner, args, named, ledger, watcher)
        finally:
            watcher.end()
        anatomy = Anatomy(type(inner).__name__, observer.sites, observer.notes())
    names = [site.name for site in anatomy.sites]
    if known is not None and names != [site.name for site in known.sites]:
        raise ProbeError(
            "expected every batch to run through the same sites, found others in a later batch. Measure such "
            "batches one by one."
        )
    return anatomy


@dataclass
class _Entered:
    """What is remembered of a site between its input and its output."""

    input: Tensor
    channels: int
    local: Local | None = None


@dataclass
class _Watcher:
    """The listener that accounts for every activation and every norm, batch after batch."""

    edges: bool = False
    activations: dict[int, ActivationTally] = field(default_factory=dict)
    gains: dict[int, GainTally] = field(default_factory=dict)
    units: dict[int, int] = field(default_factory=dict)
    _entered: dict[int, _Entered] = field(default_factory=dict)
    _reasons: dict[int, str] = field(default_factory=dict)

    def rooted(self, value: Any) -> Any:
        """The same inputs as roots of the graph, in copies that the network may write into."""
        if isinstance(value, Tensor):
            return self.adopt(value) if value.is_floating_point() else value.clone()
        if isinstance(value, Mapping):
            return {key: self.rooted(each) for key, each in value.items()}
        if type(value) in (tuple, list):
            return type(value)(self.rooted(each) for each in value)
        return value

    def adopt(self, tensor: Tensor) -> Tensor:
        return tensor.detach().clone().requires_grad_().clone()

    def end(self) -> None:
        """Forget what was entered and not left."""
        for entered in self._entered.values():
            if entered.local is not None:
                entered.local.close()
        self._entered.clear()

    def notes(self, sites: Any) -> Iterator[str]:
        """What could not be read, by name of site."""
        for site in sites:
            if site.index in self._reasons:
                yield f"{site.name}: {self._reasons[site.index]}"

    def value(self, sighting: Sighting, port: str, tensor: Tensor, channels: int | None) -> None:
        kind = sighting.finding.kind
        if kind == "skip" or not (tensor.is_floating_point() and tensor.dim() and tensor.numel()):
            return
        for (
            entered
        ) in self._entered.values():  # an activation within a norm is entered, and never left
            if entered.local is not None and port == "input":
                entered.local.close()
        if port == "input":
            entered = _Entered(tensor.detach().clone(), channel_dimension(tensor, channels))
            entered.local = Local(tensor) if kind == "activation" else None
            self._entered[sighting.index] = entered
            return
        left = self._entered.pop(sighting.index, None)
        if left is not None:
            with torch.no_grad():
                (self._activation if kind == "activation" else self._norm)(sighting, left, tensor)

    def _activation(self, sighting: Sighting, entered: _Entered, output: Tensor) -> None:
        assert entered.local is not None
        slopes = entered.local.slopes(output)
        index, x = sighting.index, units_of(entered.input, entered.channels)
        tally = self.activations.get(index)
        if tally is None:
            tally = ActivationTally(reference_slope(sighting, len(x)))
            self.activations[index], self.units[index] = tally, len(x)
        if output.shape != entered.input.shape:
            self._reasons[index] = (
                f"the output of {sighting.finding.operation} has another shape than its input: no line, no slope"
            )
            tally.add(x, None, None)
            return
        y = units_of(output.detach(), entered.channels)
        if slopes is None or slopes.shape != entered.input.shape:
            self._reasons[index] = "autograd does not reach it; slopes are those between samples"
            tally.add(x, y, from_values(x, y))
            return
        tally.add(x, y, units_of(slopes, entered.channels))

    def _norm(self, sighting: Sighting, entered: _Entered, output: Tensor) -> None:
        index, module = sighting.index, sighting.call.module
        channels = entered.channels
        tally = self.gains.setdefault(index, GainTally())
        units = output.shape[channels] if channels < output.dim() else output.shape[-1]
        self.units[index] = units
        tally.fixed = parameters_of(module, units)
        if tally.fixed is None:
            training = module is None or module.training
            family = sighting.finding.family
            tally.add(family, training, entered.input, output.detach(), channels)
            if tally.found() is None:
                self._reasons[index] = (
                    f"a {family} norm of other make than torch's: gain and shift are unknown"
                )
