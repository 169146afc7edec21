"""Eigenpairs, trace and density of the Hessian or the Gauss-Newton matrix from one Krylov run."""

from skipnorm.probes.curvature.spectra import curvature, leading_directions

__all__ = ["curvature", "leading_directions"]
