"""What can be measured on a network at one instant: pure functions of (network, batch, settings)."""

from skipnorm.probes.activation.summary import activation_summary
from skipnorm.probes.catalogue import CATALOGUE, chosen
from skipnorm.probes.gradient import flow, gradient
from skipnorm.probes.passage import Reading, pass_through
from skipnorm.probes.probe import PORTS, Flow, Probe
from skipnorm.probes.signal import likeness, moments

__all__ = [
    "CATALOGUE",
    "PORTS",
    "Flow",
    "Probe",
    "Reading",
    "activation_summary",
    "chosen",
    "flow",
    "gradient",
    "likeness",
    "moments",
    "pass_through",
]
