"""The probes that there are, written by hand, and those that are read where nobody says otherwise."""

from collections.abc import Iterable

from skipnorm.errors import ProbeError, nearest
from skipnorm.probes.activation.summary import activation_summary
from skipnorm.probes.gradient import flow, gradient
from skipnorm.probes.probe import Probe
from skipnorm.probes.signal import likeness, moments

__all__ = ["CATALOGUE", "chosen"]

CATALOGUE: tuple[Probe, ...] = (moments(), activation_summary(), likeness(), gradient(), flow())
"""Every probe with its usual settings, in the order of their cost."""


def chosen(probes: object = None) -> tuple[Probe, ...]:
    """The probes meant: all of the catalogue for None, else those given, by value or by name.

    Raises:
        ProbeError: an unknown name, or something that is no probe.

    >>> [probe.name for probe in chosen(["gradient"])]
    ['gradient']
    """
    if probes is None:
        return CATALOGUE
    one = isinstance(probes, str | Probe) or not isinstance(probes, Iterable)
    given = [probes] if one else list(probes)  # type: ignore[call-overload]
    known = {probe.name: probe for probe in CATALOGUE}
    found = []
    for each in given:
        if isinstance(each, Probe):
            found.append(each)
        elif isinstance(each, str) and each in known:
            found.append(known[each])
        else:
            raise ProbeError(f"probe: {nearest(str(each), known)}")
    return tuple(found)
