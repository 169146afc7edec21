"""Singular values of the Jacobian from input to output, whole and block by block."""

from skipnorm.probes.jacobian.spectrum import jacobian

__all__ = ["jacobian"]
