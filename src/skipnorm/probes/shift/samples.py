"""What passes at every place of a network, as samples of each unit: the raw material of every reading of shift."""

import copy
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from skipnorm.anatomy.channels import channel_dimension
from skipnorm.anatomy.discover import observe
from skipnorm.anatomy.preserve import Ledger, untouched
from skipnorm.anatomy.sighting import Sighting
from skipnorm.anatomy.sites import Anatomy
from skipnorm.errors import ProbeError, nearest
from skipnorm.probes.objective import inputs_of
from skipnorm.probes.probe import PORTS
from skipnorm.probes.problem import STATISTICS, Statistics, posed

__all__ = ["Place", "Samples", "coordinates", "looked_at", "sampled", "state_of", "units_of"]

Place = tuple[int, str]
"""Index of a site, and port."""

POSITIONS_SEED = 0


@dataclass
class Samples:
    """What passed in one batch.

    Attributes:
        anatomy: the sites that were met.
        kept: by place, a matrix of (units, samples, positions), the positions at most as many as asked for.
        moments: by place, mean and biased variance of every unit over all samples and positions, (2, units).
    """

    anatomy: Anatomy
    kept: dict[Place, Tensor]
    moments: dict[Place, Tensor]


def units_of(values: Tensor, channels: int | None) -> Tensor:
    """A signal as (units, samples, positions): channels are units, the first dimension counts samples.

    >>> units_of(torch.zeros(2, 3, 4, 5), 1).shape, units_of(torch.zeros(2, 7, 3), 2).shape
    (torch.Size([3, 2, 20]), torch.Size([3, 2, 7]))
    """
    rows = values.movedim(channel_dimension(values, channels), 0)
    if rows.dim() < 3:
        rows = rows.reshape(len(rows), -1, 1)
    return rows.flatten(2)


@contextmanager
def looked_at(network: nn.Module, batches: Sequence[Any], statistics: Statistics) -> Iterator[None]:
    """The network as it is to be looked at: BatchNorm by the statistics asked for, and no trace afterwards.

    Unlike `posed` it asks for no parameters: what passes through a bare activation can be looked at too.
    """
    if statistics not in STATISTICS:
        raise ProbeError(f"statistics: {nearest(str(statistics), STATISTICS)}")
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        if statistics == "recalibrated":
            pairs = [(each, None) if isinstance(each, Tensor) else each for each in batches]
            problem = stack.enter_context(posed(network, pairs, statistics=statistics, where=None))
            problem.recalibrate()
        stack.enter_context(untouched(network))
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and statistics != "as_is":
                module.training = statistics == "batch"
        yield


def sampled(
    network: nn.Module,
    batches: Sequence[Any],
    *,
    statistics: Statistics = "as_is",
    positions: int = 16,
) -> list[Samples]:
    """What passes in each batch at every place; each pass draws the same dropout and starts from the same buffers.

    Which positions (pixels, tokens) are kept is drawn once for all batches and states, so that they can be compared.
    """
    found = []
    with looked_at(network, batches, statistics):
        for batch in batches:
            args, named, _ = inputs_of(batch)
            with untouched(network) as ledger, torch.no_grad():
                found.append(_passed(network, args, named, ledger, positions))
    return found


def _passed(
    network: nn.Module,
    args: tuple[Any, ...],
    named: dict[str, Any],
    ledger: Ledger,
    positions: int,
) -> Samples:
    torch.manual_seed(0)
    collector = _Collector(positions)
    inner = getattr(network, "_orig_mod", network)
    observer, _ = observe(inner, args, named, ledger, collector)
    anatomy = Anatomy(type(inner).__name__, observer.sites, observer.notes())
    return Samples(anatomy, collector.kept, collector.moments)


@dataclass
class _Collector:
    """The listener that keeps samples of what passes at every place; a signal at two places is kept once."""

    positions: int
    edges: bool = False
    kept: dict[Place, Tensor] = field(default_factory=dict)
    moments: dict[Place, Tensor] = field(default_factory=dict)
    _seen: dict[tuple[int, int], tuple[weakref.ref[Tensor], Place]] = field(default_factory=dict)

    def adopt(self, tensor: Tensor) -> Tensor:
        return tensor

    def value(self, sighting: Sighting, port: str, tensor: Tensor, channels: int | None) -> None:
        if not (tensor.is_floating_point() and tensor.dim() and tensor.numel()):
            return
        place = (sighting.index, port)
        key = (id(tensor), tensor._version)
        known = self._seen.get(key)
        if known is not None and known[0]() is tensor:
            self.kept[place], self.moments[place] = self.kept[known[1]], self.moments[known[1]]
            return
        values = units_of(tensor.detach(), channels)
        if values.dtype in (torch.float16, torch.bfloat16):
            values = values.float()
        variance, mean = torch.var_mean(values.double(), dim=(1, 2), correction=0)
        self.moments[place] = torch.stack([mean, variance])
        chosen = _chosen(values.shape[2], self.positions)
        picked = values if chosen is None else values[:, :, chosen.to(values.device)]
        self.kept[place] = picked.clone()  # the network may write into its tensor later
        self._seen[key] = (weakref.ref(tensor), place)


def _chosen(total: int, wanted: int) -> Tensor | None:
    if total <= wanted:
        return None
    draws = torch.Generator().manual_seed(POSITIONS_SEED)
    return torch.randperm(total, generator=draws)[:wanted].sort().values


def state_of(network: nn.Module, state: Any) -> nn.Module:
    """The network in that state: a module as it is, a state_dict loaded into a copy, None for the network itself.

    Raises:
        ProbeError: neither a module nor a state_dict that fits.
    """
    if state is None:
        return network
    if isinstance(state, nn.Module):
        return state
    if not isinstance(state, Mapping):
        raise ProbeError(
            f"expected each state as a state_dict or as a network, found {type(state).__name__}. Keep one by "
            "copy.deepcopy(network.state_dict()): the dict alone shares its memory with the network."
        )
    twin = copy.deepcopy(network)
    try:
        twin.load_state_dict(dict(state))
    except RuntimeError as error:
        raise ProbeError(
            f"expected a state_dict of {type(network).__name__}: {error}. Take it from the same network."
        ) from error
    return twin


def coordinates(anatomy: Anatomy) -> dict[str, Any]:
    """The labels of sites, as `measure` gives them, and of ports."""
    sites = anatomy.sites
    columns = {
        name: ("site", [getattr(site, name) for site in sites])
        for name in ("kind", "nature", "operation", "module", "index")
    }
    return {"site": [site.name for site in sites], "port": list(PORTS), **columns}
