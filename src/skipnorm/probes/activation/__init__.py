"""How units are used: dead, always on, saturated, linear; what gains and shifts do."""

from skipnorm.probes.activation.units import activation, activation_summary

__all__ = ["activation", "activation_summary"]
