"""Do gradients of like inputs look alike? Autocorrelation along a line, correlation between samples."""

from skipnorm.probes.shattering.correlation import (
    gradient_correlation,
    input_gradient_autocorrelation,
)

__all__ = ["gradient_correlation", "input_gradient_autocorrelation"]
