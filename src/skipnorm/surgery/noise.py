"""Noise behind a norm, which brings back the covariate shift that the norm is said to take away."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skipnorm.anatomy.alter import Occasion
from skipnorm.anatomy.channels import channel_dimension
from skipnorm.anatomy.sites import Site
from skipnorm.errors import SurgeryError
from skipnorm.surgery.operation import OfNorms
from skipnorm.surgery.patient import Patient

__all__ = ["Noise", "NoisyNorm"]


@dataclass(frozen=True, kw_only=True, repr=False)
class NoisyNorm(OfNorms):
    """Disturb what comes out of each norm, anew at every step, by noise whose own distribution shifts.

    For each unit j, `mu_j ~ U(-n_mu, n_mu)` and `sigma_j ~ U(1, n_sigma)`; for each sample (and position) i,
    `m_ij ~ U(mu_j - r_mu, mu_j + r_mu)` and `s_ij ~ N(sigma_j, r_sigma)`; then `a_ij <- s_ij a_ij + m_ij`. In
    training only, from torch's random state as dropout does. Applied twice, the noise is added twice.

    Source: Santurkar et al. 2018, algorithm 1, with its settings.

    Raises:
        SurgeryError: a setting that is negative or not finite, or `n_sigma` below 1.
    """

    n_mu: float = 0.5
    n_sigma: float = 1.25
    r_mu: float = 0.1
    r_sigma: float = 0.1

    def __post_init__(self) -> None:
        """Refuse noise that there is not."""
        super().__post_init__()
        settings = (self.n_mu, self.n_sigma, self.r_mu, self.r_sigma)
        if not all(math.isfinite(each) and each >= 0 for each in settings) or self.n_sigma < 1:
            raise SurgeryError(
                f"expected finite settings of at least 0, and n_sigma of at least 1; found {self}."
            )

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Disturb the outputs: by a hook behind a module, by a gate at a call in another module's code."""
        signals = patient.signals()
        gated = {}
        for place in patient.places(sites):
            site = place.sites[0]
            dim = channel_dimension(
                torch.empty(site.shape, device="meta"), signals[site.name, "input"].channels
            )
            noise = Noise(self.n_mu, self.n_sigma, self.r_mu, self.r_sigma, dim)
            if place.path is None:
                gated[site] = noise
            else:
                patient.module(place.path).register_forward_hook(noise.hook)
        if gated:
            patient.gate(gated)


@dataclass(frozen=True)
class Noise:
    """The law of the noise, with the dimension that counts units; for those who know their network's norms."""

    n_mu: float
    n_sigma: float
    r_mu: float
    r_sigma: float
    dim: int

    def __call__(self, at: Occasion) -> Tensor:
        """The noise as an edit of a gate."""
        return self.disturbed(at.original(), training=at.module.training)

    def hook(self, module: nn.Module, args: object, output: Tensor) -> Tensor:
        """The noise as a forward hook."""
        return self.disturbed(output, training=module.training)

    def disturbed(self, a: Tensor, *, training: bool) -> Tensor:
        """The signal with noise, in training."""
        if not training:
            return a
        unit = [a.shape[self.dim] if dim == self.dim else 1 for dim in range(a.dim())]
        per_unit = a.new_empty(unit)
        mu = (2 * torch.rand_like(per_unit) - 1) * self.n_mu
        sigma = 1 + torch.rand_like(per_unit) * (self.n_sigma - 1)
        shift = mu + (2 * torch.rand_like(a) - 1) * self.r_mu
        scale = sigma + torch.randn_like(a) * self.r_sigma
        return scale * a + shift
