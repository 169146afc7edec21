"""How the distribution of every unit drifts from one state of a network to another: the first reading of shift.

The second is `shift_gradient` (does a layer's gradient move when those below it do?), the third `identical` (how
identically distributed are activations over batches, units, time, and from training to test data?).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skipnorm.errors import ProbeError
from skipnorm.evidence.schema import Quantity
from skipnorm.formulas.distances import percentiles, wasserstein
from skipnorm.probes.findings import Findings
from skipnorm.probes.probe import PORTS
from skipnorm.probes.problem import Statistics, batches_of
from skipnorm.probes.shift.samples import Place, Samples, coordinates, sampled, state_of

__all__ = ["PERCENTILES", "drift"]

PERCENTILES = (0.15, 0.5, 0.85)
"""Those that Ioffe & Szegedy 2015 follow in their figure 1."""

_UNIT = ("step", "site", "port", "unit")
_SITE = ("step", "site", "port")
_IOFFE = "Ioffe & Szegedy 2015, section 2 and figure 1"
_SANTURKAR = "Santurkar et al. 2018, figure 8"
_VILLANI = "Villani 2003, theorem 2.18"

QUANTITIES = (
    Quantity("unit_mean", _UNIT, "1", "mean of the unit over samples and positions", _SANTURKAR),
    Quantity("unit_variance", _UNIT, "1", "biased variance of the unit", _SANTURKAR),
    Quantity(
        "unit_percentile", (*_UNIT, "quantile"), "1", "15, 50 and 85 per cent lie below", _IOFFE
    ),
    Quantity(
        "unit_wasserstein",
        _UNIT,
        "1",
        "Wasserstein-1 distance of the unit's distribution to its own in the first state",
        _VILLANI,
    ),
    Quantity(
        "mean_drift", _SITE, "1", "mean over units of |mean - mean in the first state|", _SANTURKAR
    ),
    Quantity(
        "variance_drift",
        _SITE,
        "1",
        "mean over units of |variance - variance in the first state|",
        _SANTURKAR,
    ),
    Quantity("wasserstein_drift", _SITE, "1", "mean over units of unit_wasserstein", _VILLANI),
    Quantity("units", ("site", "port"), "units", "number of units at the place", "definition"),
)


def drift(
    network: nn.Module,
    batch: Any,
    *,
    states: Sequence[Any],
    statistics: Statistics = "as_is",
    positions: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Findings:
    """How far every unit's distribution has moved between states of a network, on the same samples.

    For unit u in state t, over samples and positions: mean `mu_t`, biased variance, percentiles 15, 50 and
    85, and `W1(u_t, u_0) = int |F_t^-1 - F_0^-1|`; summed up per place by `mean_u |mu_t - mu_0|` and so on.
    Zero, exactly, in the first state and in every one that computes the same.

    Args:
        network: any module.
        batch: as `measure` takes it, or a list of such; always the same one, in every state.
        states: two or more, in order of time: state_dicts, networks, or None for the network as it is.
        statistics: what BatchNorm normalises by, see `problem.STATISTICS`.
        positions: at most so many positions (pixels, tokens) of every sample enter percentiles and W1, the same ones
            in every state; moments are over all.
        progress: called with (states done, states in all).

    Raises:
        ProbeError: fewer than two states, states that do not fit the network, or that run through different sites.

    >>> before, after = nn.Sequential(nn.Linear(1, 1), nn.ReLU()), nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    >>> _ = nn.init.ones_(before[0].weight), nn.init.zeros_(before[0].bias)
    >>> _ = nn.init.ones_(after[0].weight), nn.init.constant_(after[0].bias, 3.0)
    >>> found = drift(before, torch.tensor([[1.0], [2.0]]), states=(before, after))
    >>> found.values["wasserstein_drift"][:, 0, 0].tolist()
    [0.0, 3.0]
    """
    if not isinstance(states, tuple | list) or len(states) < 2:
        found = len(states) if isinstance(states, tuple | list) else type(states).__name__
        raise ProbeError(
            f"expected states=(before, after) or more of them, found {found}. Keep a state by "
            "copy.deepcopy(network.state_dict())."
        )
    if positions < 1:
        raise ProbeError(f"expected positions of 1 or more, found {positions}. Try 16.")
    batches = batches_of(batch)
    passes: list[Samples] = []
    for number, state in enumerate(states):
        there = state_of(network, state)
        passes.append(joined(sampled(there, batches, statistics=statistics, positions=positions)))
        if progress is not None:
            progress(number + 1, len(states))
    same_sites(passes)
    settings = {"statistics": statistics, "positions": str(positions), "states": str(len(states))}
    coords = coordinates(passes[0].anatomy) | {
        "step": list(range(len(states))),
        "unit": list(range(max(map(len, passes[0].kept.values()), default=0))),
        "quantile": list(PERCENTILES),
    }
    return Findings(QUANTITIES, _values(passes, coords), coords, settings, passes[0].anatomy.unseen)


def joined(passes: Sequence[Samples]) -> Samples:
    """Several batches as one: samples side by side, moments of all together."""
    if len(passes) == 1:
        return passes[0]
    same_sites(passes)
    kept: dict[Place, Tensor] = {}
    moments: dict[Place, Tensor] = {}
    for place, first in passes[0].kept.items():
        parts = [each.kept[place] for each in passes]
        if any(part.shape[2] != first.shape[2] for part in parts):
            raise ProbeError(
                "expected batches of equally large samples, found "
                f"{sorted({part.shape[2] for part in parts})} positions. Pad or crop them to one size."
            )
        kept[place] = torch.cat(parts, dim=1)
        sizes = torch.tensor([part.shape[1] for part in parts], dtype=torch.float64)
        shares = (sizes / sizes.sum()).to(first.device)
        means, variances = torch.stack([each.moments[place] for each in passes], dim=1)
        mean = shares @ means
        moments[place] = torch.stack([mean, shares @ (variances + (means - mean).square())])
    return Samples(passes[0].anatomy, kept, moments)


def same_sites(passes: Sequence[Samples]) -> None:
    """Raise ProbeError where passes met different sites or units."""
    first = passes[0]
    for other in passes[1:]:
        names, others = (
            {f"{site.name} ({site.operation})" for site in each.anatomy.sites}
            for each in (first, other)
        )
        shapes = all(
            place in other.kept and len(other.kept[place]) == len(kept)
            for place, kept in first.kept.items()
        )
        if names != others or not shapes:
            raise ProbeError(
                "expected the same sites and units in every state and batch, found others at "
                f"{sorted(names ^ others) or 'the same names'}. Compare states of one architecture."
            )


def _values(passes: Sequence[Samples], coords: Mapping[str, Any]) -> dict[str, Tensor]:
    sites, units = len(coords["site"]), len(coords["unit"])
    shape = (len(passes), sites, len(PORTS), units)
    values = {
        quantity.name: torch.full(
            shape[:3] if quantity.dims == _SITE else shape, torch.nan, dtype=torch.float64
        )
        for quantity in QUANTITIES
    }
    values["unit_percentile"] = torch.full((*shape, 3), torch.nan, dtype=torch.float64)
    values["units"] = torch.zeros(sites, len(PORTS), dtype=torch.float64)
    for (index, port), first in passes[0].kept.items():
        at, count = (index, PORTS.index(port)), len(first)
        values["units"][at] = count
        origin = passes[0].moments[index, port]
        for step, each in enumerate(passes):
            rows, moments = each.kept[index, port].flatten(1), each.moments[index, port]
            apart = wasserstein(first.flatten(1), rows)
            here = (step, *at)
            values["unit_mean"][here][:count] = moments[0]
            values["unit_variance"][here][:count] = moments[1]
            values["unit_percentile"][here][:count] = percentiles(rows, PERCENTILES)
            values["unit_wasserstein"][here][:count] = apart
            values["mean_drift"][here] = (moments[0] - origin[0]).abs().mean()
            values["variance_drift"][here] = (moments[1] - origin[1]).abs().mean()
            values["wasserstein_drift"][here] = apart.mean()
    return values
