"""Internal covariate shift in its three readings: drift, gradients, identically distributed activations."""

from skipnorm.probes.shift.drift import PERCENTILES, drift

__all__ = ["PERCENTILES", "drift"]
