"""Weights drawn anew, in the way that the altered network needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from skipnorm.anatomy.sites import Address, Norm, Site
from skipnorm.errors import SurgeryError, nearest
from skipnorm.formulas.quadrature import SCALAR_ACTIVATIONS
from skipnorm.networks.initializers import Place, Role, initialize
from skipnorm.surgery.channels import affine_of
from skipnorm.surgery.maps import LinearMap, maps_of, settle, shared_with_a_table
from skipnorm.surgery.mirrors import mirrored_by, refuse_bent
from skipnorm.surgery.operation import Operation
from skipnorm.surgery.patient import Patient, Signal
from skipnorm.surgery.roles import Standing, Standings, standings_of

__all__ = ["Reinitialize", "site_of"]

Scheme = Literal["he", "glorot", "lecun", "orthogonal", "fixup", "looks_linear"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Reinitialize(Operation):
    """Draw the weights anew: biases become 0, scales of norms 1, shifts 0, running statistics those of a new norm.

    Sites are modules, named by their paths: linear maps and convolutions (transposed ones, torch's attention and the
    `Conv1D` of transformers too) that the inputs reach, and then norms with a scale. All else stays:
    embeddings (and weights tied to them), tokens, learned scales of skips.

    - `he`, `glorot`, `lecun`, `orthogonal`: as in `skipnorm.networks.initializers`. The first and the last weight of
      the network (stem and head) have no rectifier to make up for. Orthogonal weights have the gain of the
      activation in front of them, or else behind them. A group of a convolution is a matrix of its own.
    - `fixup`: the last weight of each residual branch and the head are 0; the others in branches are those of He
      times `L^(-1/(2m-2))` for L residual skips and m weights in a row in the branch (Zhang et al. 2019, section 3).
    - `looks_linear`: the network becomes linear. Each ReLU gives way to a concatenated one, each linear map
      behind it to one of twice as many inputs, `[W, -W]` with orthogonal W (Balduzzi et al. 2017, section 5). A
      checkpoint of the original that is loaded afterwards brings the original function back. Norms stay as they are.

    Drawn in float64, in order of execution, from a generator of its own. Twice is once.

    Args:
        where, expect: see `Operation`.
        scheme: how to draw.
        seed: of the generator.

    Raises:
        SurgeryError: an unknown scheme; a weight that is computed from others (`weight_norm`, a parametrisation);
            `fixup` without residual branches; for `looks_linear`, an activation that is no ReLU, or whose output goes
            elsewhere than to linear maps, or a network that is not linear all the same.
    """

    scheme: Scheme
    seed: int = 0
    changes: ClassVar[str] = "weights and norms"

    def __post_init__(self) -> None:
        """Refuse a scheme that there is not."""
        super().__post_init__()
        if self.scheme not in get_args(Scheme):
            raise SurgeryError(f"Reinitialize: {nearest(str(self.scheme), get_args(Scheme))}")

    def candidates(self, patient: Patient) -> Sequence[Site]:
        """The linear maps that the inputs reach, and the norms that are modules with a scale."""
        weights = standings_of(patient).weights
        maps = [
            site_of(each, patient)
            for each in weights.values()
            if not shared_with_a_table(patient.network, patient.module(each.path))
        ]
        return [*maps, *(_norm_site(path, norm) for path, norm in _norms(patient).items())]

    def apply(self, patient: Patient, sites: Sequence[Site]) -> None:
        """Refuse what cannot be drawn, then fill everything."""
        standings, norms = standings_of(patient), _norms(patient)
        chosen = {site.module: standings.weights[site.module] for site in sites if _is_map(site)}
        self._refuse_computed(patient, chosen)
        if self.scheme == "fixup":
            self._refuse_branchless(patient, standings)
        mirrored: frozenset[str] = frozenset()
        if self.scheme == "looks_linear":
            mirrored = mirrored_by(self, patient, chosen, standings)
        generator = torch.Generator().manual_seed(self.seed)
        filled: set[int] = set()
        for path, standing in chosen.items():
            self._fill(patient, standing, path in mirrored, generator, filled)
        signals = patient.signals() if any(not _is_map(site) for site in sites) else {}
        for site in sites:
            if not _is_map(site):
                _neutral(patient, norms[site.module], signals)
        if self.scheme == "looks_linear" and self.where == "*":
            refuse_bent(self, patient)

    def _fill(
        self,
        patient: Patient,
        standing: Standing,
        mirrored: bool,
        generator: torch.Generator,
        filled: set[int],
    ) -> None:
        module = patient.module(standing.path)
        *first, last = maps_of(module)
        for each in (*first, last):
            if id(each.weight) in filled:  # shared with a module that came before
                continue
            filled.add(id(each.weight))
            role: Role = "inner" if each is not last and standing.role == "last" else standing.role
            place = Place(
                generator,
                role,
                mirrored,
                _activation(patient, standing),
                max(1, sum(skip.merge == "add" for skip in patient.anatomy.skips)),
                standing.layers,
            )
            self._draw(each, place)
        settle(module)

    def _draw(self, each: LinearMap, place: Place) -> None:
        def draw(matrix: Tensor) -> None:
            initialize(matrix, self.scheme, place)
            matrix.mul_(each.correction(self.scheme))

        each.redraw(draw)

    def _refuse_computed(self, patient: Patient, chosen: Mapping[str, Standing]) -> None:
        for path in chosen:
            for each in maps_of(patient.module(path)):
                if each.weight is None:
                    raise SurgeryError(
                        f"{self} at {path}: expected a weight of its own, found one that is computed from others in "
                        "each pass (weight_norm, a parametrisation). Remove that before operating, or leave it out "
                        "of `where`."
                    )

    def _refuse_branchless(self, patient: Patient, standings: Standings) -> None:
        roles = [each.role for each in standings.weights.values()]
        if "last" not in roles:
            raise SurgeryError(
                f"{self}: expected residual branches that end in a linear map, found none ({patient.anatomy.summary}). "
                "Try scheme='he'."
            )
        if standings.headless:
            raise SurgeryError(
                f"{self} at {standings.headless[0]}: expected a branch whose last weights are in a linear map or a "
                "convolution, found none there. Try scheme='he' with ScaleSkips(branch=0, learnable=True)."
            )


def site_of(standing: Standing, patient: Patient) -> Site:
    """A module that holds weights, as a site named by its path."""
    kind = type(patient.module(standing.path)).__name__
    return Site(
        name=standing.path or kind,
        module=standing.path,
        operation=kind,
        index=0,
        shape=standing.shape,
        address=Address(standing.path, "forward", "", 1),
    )


def _is_map(site: Site) -> bool:
    return not isinstance(site, Norm)


def _norms(patient: Patient) -> dict[str, Norm]:
    """The first site of each module that is a norm with a scale, by path."""
    found: dict[str, Norm] = {}
    for site in patient.anatomy.norms:
        module = patient.module(site.module)
        leaf = not any(True for _ in module.children())
        if leaf and isinstance(module._parameters.get("weight"), Tensor):
            found.setdefault(site.module, site)
    return found


def _norm_site(path: str, norm: Norm) -> Norm:
    return Norm(
        name=path or norm.name,
        module=path,
        operation=norm.operation,
        index=norm.index,
        shape=norm.shape,
        address=norm.address,
        family=norm.family,
    )


def _neutral(patient: Patient, site: Norm, signals: Mapping[tuple[str, str], Signal]) -> None:
    """Scale 1 and shift 0, also where the parameter says by how much the scale exceeds 1, as Gemma's does."""
    module = patient.module(site.module)
    weight, bias = module._parameters["weight"], module._parameters.get("bias")
    assert weight is not None
    with torch.no_grad():
        if bias is not None:
            bias.zero_()
        weight.fill_(1)
        if not type(module).__module__.startswith("torch.nn."):
            affine = affine_of(module, site.family, signals[site.name, "input"])
            if affine is not None and bool((affine[0] - 2).abs().max() < 1e-3):
                weight.zero_()
    if isinstance(module, nn.modules.batchnorm._NormBase):
        module.reset_running_stats()


def _activation(patient: Patient, standing: Standing) -> str:
    """The name of the activation in front of a weight, else behind it, as recipes call it."""
    nearby = sorted(standing.before) or sorted(standing.behind)
    names = {patient.anatomy.sites[index].operation.lower() for index in nearby}
    known = [name for name in names if name in SCALAR_ACTIVATIONS]
    return known[0] if len(names) == 1 and known else "identity"
