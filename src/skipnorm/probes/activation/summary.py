"""How often the signal is positive at every site, and for how many units never or always: read in one pass."""

import torch
from torch import Tensor

from skipnorm.evidence.schema import Quantity
from skipnorm.formulas.nonlinearity import co_activation
from skipnorm.probes.probe import Numbers, Probe
from skipnorm.probes.shift.samples import units_of

__all__ = ["activation_summary"]

_PLACE = ("site", "port")


def activation_summary() -> Probe:
    """Dead, always-on and on fractions and co-activation as means over units, at every site and port.

    At the input of an activation they are the numbers of the same name that `activation` gives; elsewhere they say
    how the signal is divided between the signs. What needs input and output of an activation together
    (saturation, the non-linearity index) is in `activation`.
    """
    return Probe(
        "activation_summary",
        1,
        (
            Quantity("on_fraction", _PLACE, "1", "share of values above 0", "definition"),
            Quantity(
                "dead_fraction",
                _PLACE,
                "1",
                "share of units that are never above 0",
                "Lu et al. 2019, dying ReLU",
            ),
            Quantity(
                "always_on_fraction", _PLACE, "1", "share of units always above 0", "definition"
            ),
            Quantity(
                "co_activation",
                _PLACE,
                "1",
                "mean over units of how often two different samples are both above 0",
                "Balduzzi et al. 2017, section 3",
            ),
        ),
        on_value=_summary,
        cost="1 forward, and two sweeps over each signal",
    )


def _summary(values: Tensor, channels: int) -> Numbers:
    units = units_of(values, channels)
    on = units > 0
    by_position = on.sum(dim=1)
    share = by_position.double().mean(dim=1) / units.shape[1]
    found = {
        "on_fraction": share,
        "dead_fraction": (share == 0).double(),
        "always_on_fraction": on.flatten(1).all(dim=1).double(),
        "co_activation": co_activation(by_position, units.shape[1]),
    }
    spoilt = bool(values.isnan().any())  # NaN is not above 0, and neither is it below
    return {name: torch.nan if spoilt else each.mean() for name, each in found.items()}
