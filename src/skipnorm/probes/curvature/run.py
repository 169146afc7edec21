"""One Krylov run over one block of parameters: eigenpairs, trace, density and curvature along directions."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from skipnorm.formulas.krylov import Krylov, block_lanczos, signs
from skipnorm.formulas.spectra import Ritz, cells, density, hutchinson, quadrature, ritz_pairs
from skipnorm.probes.curvature.operator import Operator

__all__ = ["ORDERS", "Order", "Plan", "Spectrum", "spectrum"]

Order = Literal["largest", "magnitude"]
ORDERS: tuple[Order, ...] = ("largest", "magnitude")


@dataclass(frozen=True)
class Plan:
    """How far a run goes; the fields are the settings of `curvature` of the same name."""

    top: int
    order: Order
    tolerance: float
    vectors: int
    steps: int
    most: int
    samples: int
    smoothing: float
    cells: int
    seed: int

    @property
    def rows(self) -> int:
        """How many vectors are multiplied at most."""
        return self.most + self.last

    @property
    def last(self) -> int:
        """How many vectors are multiplied in the end: a blend of the eigenvectors, the gradient, samples."""
        return 2 + self.samples


@dataclass
class Spectrum:
    """What one run found; lengths as the plan says, NaN where there is nothing.

    Attributes:
        names: the parameters, side by side in each vector.
        vectors: (found, n): the unit gradient (zero where the gradient is), then the top eigenvectors.
        eigenvalues, residuals: (top,), the latter `||H v - lambda v|| / |lambda|`: as the Krylov space has it, and the
            difference between a product with all of them together and what the space foresees of it.
        lowest: the smallest eigenvalue and its residual.
        trace: the trace and its standard error.
        grid, density: (cells,).
        gradient_norm, along_gradient: length of the gradient and curvature along it.
        products: how many vectors were multiplied by the matrix.
        notes: what did not go as planned.
    """

    names: Sequence[str]
    vectors: Tensor
    eigenvalues: Tensor
    residuals: Tensor
    lowest: tuple[float, float]
    trace: tuple[float, float]
    grid: Tensor
    density: Tensor
    gradient_norm: float
    along_gradient: float
    products: int
    notes: list[str] = field(default_factory=list)


def spectrum(
    operator: Operator,
    names: Sequence[str],
    plan: Plan,
    *,
    advance: Callable[[int], None] = lambda done: None,
) -> Spectrum:
    """Run block Lanczos until the top eigenpairs have settled, then multiply once more for everything else."""
    gradient = torch.cat([operator.gradient[name].reshape(-1) for name in names])
    wide = torch.float64 if gradient.dtype == torch.float64 else torch.float32
    gradient = gradient.to(wide)
    generator = torch.Generator().manual_seed(plan.seed)
    done = 0
    broken = not bool(gradient.isfinite().all())

    def product(rows: Tensor) -> Tensor:
        nonlocal done, broken
        done += len(rows)
        advance(done)
        image = operator.times(rows, names)
        broken = broken or not bool(image.isfinite().all())
        return image.nan_to_num(0.0, 0.0, 0.0) if broken else image

    if broken:
        return _nothing(names, gradient, plan, 0, "the gradient is not finite")
    space = block_lanczos(
        product,
        signs(min(plan.vectors, len(gradient)), gradient, generator),
        most=plan.most,
        enough=lambda space: broken or _settled(space, plan),
        generator=generator,
    )
    if broken:
        return _nothing(names, gradient, plan, done, "a product with the curvature is not finite")
    pairs = ritz_pairs(space)
    found = _finish(names, gradient, plan, space, pairs, product, generator)
    found.products = done
    return found if not broken else _nothing(names, gradient, plan, done, "not finite")


def _settled(space: Krylov, plan: Plan) -> bool:
    blocks = space.size // space.start.shape[0]
    if blocks < plan.steps or space.size < plan.top:
        return False
    pairs = ritz_pairs(space)
    precision = 50 * torch.finfo(space.basis.dtype).eps
    # half of what is promised, since the promise is checked by one more product
    return pairs.settled(_chosen(pairs, plan), plan.tolerance / 2, precision)


def _chosen(pairs: Ritz, plan: Plan) -> Tensor:
    """The top pairs, the first of them first."""
    keys = pairs.values.abs() if plan.order == "magnitude" else pairs.values
    return keys.argsort(descending=True, stable=True)[: plan.top]


def _finish(
    names: Sequence[str],
    gradient: Tensor,
    plan: Plan,
    space: Krylov,
    pairs: Ritz,
    product: Callable[[Tensor], Tensor],
    generator: torch.Generator,
) -> Spectrum:
    """One more product, of several vectors at once: it checks the pairs, and samples what the basis has not seen."""
    chosen = _chosen(pairs, plan)
    wanted = torch.cat([chosen, chosen.new_zeros(1)])  # pairs ascend: the lowest is the first
    coordinates = pairs.coordinates[:, wanted].T
    vectors = coordinates.to(space.basis) @ space.basis
    length = float(torch.linalg.vector_norm(gradient))
    unit = gradient / length if length else gradient
    probes = signs(0 if space.complete else plan.samples, gradient, generator)
    probes = probes - (probes @ space.basis.T) @ space.basis
    blend = vectors.sum(dim=0) / len(vectors) ** 0.5
    images = product(torch.cat([blend[None], unit[None], probes]))
    values = pairs.values[wanted]
    foreseen = values @ vectors.double()
    foreseen = foreseen + (coordinates @ space.leaving.T).sum(dim=0) @ space.outside.double()
    doubt = torch.linalg.vector_norm(images[0].double() - foreseen / len(vectors) ** 0.5)
    residuals = torch.hypot(pairs.residuals[wanted], doubt)
    relative = torch.where(residuals == 0, residuals, residuals / values.abs())
    inside = float(space.projected.trace())
    outside, error = hutchinson(images[2:], probes) if len(probes) else (0.0, 0.0)
    nodes, weights = quadrature(space, pairs)
    edges, width = cells(nodes.cpu(), smoothing=plan.smoothing, count=plan.cells)
    top = len(chosen)
    return Spectrum(
        names,
        torch.cat([unit[None], vectors[:top]]),
        _padded(values[:top], plan.top),
        _padded(relative[:top], plan.top),
        (float(values[top]), float(relative[top])),
        (inside + outside, error),
        (edges[1:] + edges[:-1]) / 2,
        density(nodes.cpu(), weights.cpu(), edges, width),
        length,
        float(images[1].double() @ unit.double()) if length else math.nan,
        0,
        _remarks(space, relative[:top], values[:top], plan),
    )


def _remarks(space: Krylov, relative: Tensor, values: Tensor, plan: Plan) -> list[str]:
    remarks = []
    precision = 50 * torch.finfo(space.basis.dtype).eps
    zero = values.abs() * plan.tolerance <= precision * values.abs().amax()
    late = [place + 1 for place in range(len(values)) if relative[place] > plan.tolerance]
    unsettled = [place for place in late if not zero[place - 1]]
    if unsettled:
        remarks.append(
            f"eigenvalues {unsettled} have a relative residual above {plan.tolerance:g} after {space.size} products: "
            "raise most="
        )
    if len(late) > len(unsettled):
        small = [place for place in late if zero[place - 1]]
        remarks.append(
            f"eigenvalues {small} are zero to rounding, their relative residual says nothing"
        )
    if len(values) < plan.top:
        remarks.append(f"{space.basis.shape[1]} parameters have no more eigenvalues than that")
    if space.asymmetry > 1e-3:
        remarks.append(
            f"the products are not symmetric (by {space.asymmetry:.1e}): the network is not deterministic, too coarse "
            "in its precision, or has a hand-written derivative that is wrong"
        )
    return remarks


def _padded(values: Tensor, length: int) -> Tensor:
    padded = torch.full((length,), math.nan, dtype=torch.float64)
    padded[: len(values)] = values.cpu()
    return padded


def _nothing(
    names: Sequence[str], gradient: Tensor, plan: Plan, products: int, reason: str
) -> Spectrum:
    nan = math.nan
    top, grid = torch.full((plan.top,), nan), torch.full((plan.cells,), nan)
    length = float(torch.linalg.vector_norm(gradient))
    return Spectrum(
        names, gradient[:0].reshape(0, len(gradient)), top, top, (nan, nan), (nan, nan), grid, grid, length, nan,
        products, [reason],
    )  # fmt: skip
