"""The doorway: what the probes read on a network becomes a labelled dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skipnorm.evidence import label
from skipnorm.evidence.schema import Quantity
from skipnorm.probes import PORTS, Reading, chosen, pass_through
from skipnorm.probes.findings import Findings
from skipnorm.probes.passage import check_probes

if TYPE_CHECKING:
    import xarray as xr
    from torch import nn

__all__ = ["labelled", "measure"]

_GROWTH = Quantity(
    "gradient_growth",
    ("site", "port"),
    "1",
    "gradient mean square here over that at the next site of the same kind and size: the gain per block, backwards",
    "Yang et al. 2019, gradient explosion rate",
)


def measure(network: nn.Module, batch: Any, *, loss: Any = None, probes: Any = None) -> xr.Dataset:
    """What passes at every norm, activation and skip of a network on one batch, forward and backward.

    Nothing of the network changes. The result has the dimensions `site` (in order of execution, with the coordinates
    kind, nature, operation, module and index) and `port` (`input`, `output`, `shortcut`, `branch`): NaN where
    a site has no such port, or where a value could not be measured, which `notes` then says. A quantity that is NaN or
    infinite because the network diverges is reported as it is.

    Args:
        network: any module, in the mode in which it is to be measured.
        batch: (inputs, targets), or a dict that the network takes by name and for which it returns a loss.
        loss: `cross_entropy`, `mse`, `inner_product`, or a function of (outputs, targets); by default the loss that
            the model returns, else by the type of the targets.
        probes: names from the catalogue or probes; by default all.

    Raises:
        AnatomyError: the network cannot be looked at, or does not run on the batch.
        ProbeError: an unknown probe, or no loss to differentiate.

    >>> import torch
    >>> rectifier = torch.nn.Sequential(torch.nn.Identity(), torch.nn.ReLU())
    >>> x = torch.tensor([[3.0, -4.0], [-3.0, 4.0]])
    >>> seen = measure(rectifier, x, probes="moments").sel(site="1")
    >>> seen.mean_square.sel(port=["input", "output"]).values.round(6)
    array([12.5 ,  6.25])
    """
    wanted = chosen(probes)
    check_probes(wanted)
    reading = pass_through(network, batch, wanted, loss=loss)
    quantities = [quantity for probe in wanted for quantity in probe.quantities]
    arrays = {quantity.name: _array(quantity, reading) for quantity in quantities}
    if "gradient_mean_square" in arrays:
        quantities.append(_GROWTH)
        arrays[_GROWTH.name] = _growth(arrays["gradient_mean_square"], reading)
    return label(arrays, quantities, _coordinates(reading), _provenance(reading, wanted))


def labelled(findings: Findings) -> xr.Dataset:
    """What a probe of a whole network found, as a labelled dataset."""
    values = {name: _numbers(value) for name, value in findings.values.items()}
    attributes = dict(findings.settings)
    if findings.notes:
        attributes["notes"] = "\n".join(findings.notes)
    return label(values, findings.quantities, findings.coords, attributes)


def _numbers(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()
    return np.asarray(value)


def _array(quantity: Quantity, reading: Reading) -> np.ndarray:
    numbers = reading.numbers[quantity.name]
    shape = (
        (len(reading.anatomy), len(PORTS)) if "port" in quantity.dims else (len(reading.anatomy),)
    )
    array = np.full(shape, np.nan)
    for (index, port), number in numbers.items():
        array[(index, PORTS.index(port)) if "port" in quantity.dims else index] = number
    return array


def _growth(gradients: np.ndarray, reading: Reading) -> np.ndarray:
    """Each site's gradient over that of the next one of the same kind and size, port by port."""
    growth = np.full_like(gradients, np.nan)
    last: dict[tuple[str, tuple[int, ...]], int] = {}
    for site in reversed(reading.anatomy.sites):
        following = last.get((site.kind, site.shape))
        if following is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                growth[site.index] = gradients[site.index] / gradients[following]
        last[site.kind, site.shape] = site.index
    return growth


def _coordinates(reading: Reading) -> dict[str, Any]:
    sites = reading.anatomy.sites
    columns: dict[str, list[Any]] = {
        name: [getattr(site, name) for site in sites]
        for name in ("kind", "nature", "operation", "module", "index")
    }
    labels: Mapping[str, Any] = {
        name: ("site", np.array(values, dtype=int if name == "index" else str))
        for name, values in columns.items()
    }
    return {
        "site": np.array([site.name for site in sites], dtype=str),
        "port": list(PORTS),
        **labels,
    }


def _provenance(reading: Reading, probes: Sequence[Any]) -> dict[str, str]:
    if not len(reading.anatomy):
        return {"network": reading.anatomy.network, "notes": "no norm, activation or skip was met"}
    notes = [*(f"not seen: {note}" for note in reading.anatomy.unseen), *reading.notes]
    attributes = {"network": reading.anatomy.network, "probes": "; ".join(map(str, probes))}
    if reading.loss is not None:
        attributes["loss"] = repr(reading.loss)
    return attributes | ({"notes": "\n".join(notes)} if notes else {})
