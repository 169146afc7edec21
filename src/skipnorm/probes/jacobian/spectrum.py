"""How far a network, or a part of it, stretches small changes of its input: singular values of Jacobians."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from skipnorm.errors import ProbeError, nearest
from skipnorm.evidence.schema import Quantity
from skipnorm.formulas.singular import extreme_singular_values
from skipnorm.probes.findings import Findings
from skipnorm.probes.jacobian.map import Jacobian
from skipnorm.probes.jacobian.places import caught
from skipnorm.probes.objective import inputs_of
from skipnorm.probes.problem import batches_of
from skipnorm.probes.shattering.statistics import Statistics, prepared

__all__ = ["jacobian"]

_EACH = ("block", "sample")
_SOURCE = "Pennington et al. 2017"
_METHODS = ("auto", "exact", "lanczos")
WHOLE = "batch"
"""The label of the whole batch, where samples are mixed and have no Jacobian of their own."""

_SUMMARY = {
    "mean_square": "mean of the squared singular values; 1: lengths are kept on average",
    "mean_square_error": "standard error of that mean, 0 where it is exact",
    "largest": "largest singular value",
    "smallest": "smallest singular value",
    "smallest_residual": "how far the smallest may be from a singular value, 0 where it is exact",
    "median": "median singular value",
    "condition": "largest over smallest singular value; infinite where directions are lost",
    "log_variance": "variance of the logarithm of the singular values that are not zero; 0: dynamical isometry",
    "rank": "how many singular values are not zero up to rounding",
}
_QUANTITIES = (
    Quantity(
        "jacobian_singular_value",
        (*_EACH, "direction"),
        "output/input",
        "singular values from the largest on, as many as were computed",
        _SOURCE,
    ),
    Quantity(
        "jacobian_residual",
        (*_EACH, "direction"),
        "output/input",
        "how far each may be from a singular value, 0 where it is exact",
        "Golub & Kahan 1965",
    ),
    *(
        Quantity(
            f"jacobian_{name}",
            _EACH,
            {"condition": "1", "log_variance": "1", "rank": "directions"}.get(name, "output/input"),
            meaning,
            _SOURCE,
        )
        for name, meaning in _SUMMARY.items()
    ),
)


def jacobian(
    network: nn.Module,
    batch: Any,
    *,
    between: tuple[str, str] = ("input", "output"),
    modules: str | None = None,
    statistics: Statistics = "as_is",
    method: Literal["auto", "exact", "lanczos"] = "auto",
    exact_up_to: int = 512,
    count: int = 4,
    steps: int = 60,
    draws: int = 16,
    samples: int = 8,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Findings:
    """How far a network stretches small changes of its input, and how evenly: the spectrum of its Jacobian.

    ``J = d(end)/d(start)``, its singular values ``s`` over the smaller of its two sides. All near 1 is dynamical
    isometry, ``mean s^2 = 1`` alone the edge of chaos. Each sample has its own Jacobian; where samples are mixed, as by
    batch statistics, the batch as a whole has one, labelled `batch`. Which it is, is found by differentiating.

    Args:
        network: any module.
        batch: as `measure` takes it; targets are not looked at.
        between: two of `input`, `output`, the path of a module, or the name of a site; with `:input`, `:output`,
            `:shortcut` or `:branch` behind it (`:output` if nothing is said).
        modules: glob over paths of modules: the Jacobian of each from its first argument to its output, instead.
        statistics: what BatchNorm normalises by: as_is, batch, running, recalibrated or detached.
        method: `exact` (every row, then a singular value decomposition), `lanczos` (extreme values by
            Golub-Kahan-Lanczos; the mean square from random covectors; median and log-variance are NaN), or by size.
        exact_up_to: `auto` is exact where the shorter side of J has at most so many entries.
        count: how many of the largest Lanczos is to find.
        steps: of Lanczos at most; each is two products with J.
        draws: random covectors for the mean square.
        samples: only the first so many have their Jacobian taken.
        seed: of random vectors.
        progress: told (done, total) blocks.

    Raises:
        ProbeError: an unknown place, module or setting, several batches, or no signal where one was asked for.

    Saxe et al. 2014; Pennington et al. 2017.

    >>> double = nn.Linear(2, 2, bias=False)
    >>> with torch.no_grad():
    ...     _ = double.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
    >>> found = jacobian(double, torch.ones(1, 2))
    >>> found.values["jacobian_largest"].tolist(), found.values["jacobian_mean_square"].tolist()
    ([[2.0]], [[2.5]])
    """
    _check(between, method, count, steps, draws, samples, exact_up_to)
    batches = batches_of(batch)
    if len(batches) != 1:
        raise ProbeError(
            f"expected one batch, found {len(batches)}: call once for each, or concatenate them."
        )
    args, named, _ = inputs_of(batches[0])
    spectra: list[tuple[str, bool, _Spectrum]] = []
    with prepared(network, batches[0], statistics) as run:
        spans = caught(run, (args, named), between, modules)
        if not spans:
            raise ProbeError(
                f"expected modules with real inputs and outputs, found none among {modules!r}. "
                "Embeddings have integers as input."
            )
        for done, span in enumerate(spans):
            maps = Jacobian(span, samples)
            small = min(maps.rows, maps.columns) <= exact_up_to
            if method == "exact" or (method == "auto" and small):
                spectrum = _exact(maps)
            else:
                spectrum = _lanczos(maps, count, steps, draws, seed)
            spectra.append((span.name, maps.whole, spectrum))
            if progress is not None:
                progress(done + 1, len(spans))
    return _findings(spectra, statistics)


@dataclass(frozen=True)
class _Spectrum:
    """What is known of the singular values of some maps: `values` maps x directions, the rest one a map."""

    values: Tensor
    residuals: Tensor
    summary: dict[str, Tensor]
    how: str


def _exact(maps: Jacobian) -> _Spectrum:
    matrices = maps.matrices().double()
    finite = matrices.flatten(1).isfinite().all(dim=1)
    values = torch.linalg.svdvals(torch.where(finite[:, None, None], matrices, 0.0))
    values = torch.where(finite[:, None], values, torch.nan)
    fine = torch.finfo(maps.dtype).eps * max(maps.rows, maps.columns)
    there = values > fine * values[:, :1]
    logs = torch.where(there, values, 1.0).log()
    rank = there.sum(1).double()
    middle = logs.sum(1) / rank
    variance = (torch.where(there, logs - middle[:, None], 0.0)).square().sum(1) / rank
    zeros = torch.zeros_like(values[:, 0])
    everything = rank == values.shape[1]
    summary = {
        "mean_square": values.square().mean(1),
        "mean_square_error": zeros,
        "largest": values[:, 0],
        "smallest": values[:, -1],
        "smallest_residual": zeros,
        "median": torch.quantile(values, 0.5, dim=1),
        "condition": torch.where(everything, values[:, 0] / values[:, -1], math.inf),
        "log_variance": variance,
        "rank": rank,
    }
    summary = {name: torch.where(finite, value, torch.nan) for name, value in summary.items()}
    residuals = torch.where(values.isnan(), torch.nan, 0.0)
    return _Spectrum(values, residuals, summary, "exact")


def _lanczos(maps: Jacobian, count: int, steps: int, draws: int, seed: int) -> _Spectrum:
    generator = torch.Generator().manual_seed(seed)

    def drawn(length: int) -> Tensor:
        values = torch.randn(maps.maps, length, generator=generator, dtype=torch.float64)
        return values.to(maps.dtype)

    wide = maps.rows <= maps.columns  # the start is to lie in the smaller space
    forth, back = (maps.pull, maps.push) if wide else (maps.push, maps.pull)
    small, large = sorted((maps.rows, maps.columns))
    found = extreme_singular_values(
        forth, back, drawn(small), large, count=min(count, small), steps=steps, seed=seed
    )
    lengths = torch.stack([
        maps.pull(drawn(maps.rows)).double().square().sum(1) / small for _ in range(draws)
    ])  # fmt: skip
    unknown = torch.full_like(found.smallest, torch.nan)
    lost = found.smallest <= torch.finfo(maps.dtype).eps * large * found.largest[:, 0]
    condition = found.largest[:, 0] / found.smallest
    summary = {
        "mean_square": lengths.mean(0),
        "mean_square_error": lengths.std(0) / math.sqrt(draws),
        "largest": found.largest[:, 0],
        "smallest": found.smallest,
        "smallest_residual": found.smallest_residual,
        "median": unknown,
        "condition": torch.where(lost, math.inf, condition),
        "log_variance": unknown,
        "rank": unknown,
    }
    return _Spectrum(
        found.largest, found.largest_residuals, summary, f"lanczos, {found.steps} steps"
    )


def _findings(spectra: Sequence[tuple[str, bool, _Spectrum]], statistics: str) -> Findings:
    most = max((len(found.values) for _, whole, found in spectra if not whole), default=0)
    labels = [str(sample) for sample in range(most)]
    if any(whole for _, whole, _ in spectra):
        labels.append(WHOLE)
    longest = max(found.values.shape[1] for _, _, found in spectra)
    shape = (len(spectra), len(labels))
    values = {
        quantity.name: torch.full(
            shape + (longest,) * (len(quantity.dims) - 2), torch.nan, dtype=torch.float64
        )
        for quantity in _QUANTITIES
    }
    for index, (_, whole, found) in enumerate(spectra):
        place = slice(len(labels) - 1, len(labels)) if whole else slice(0, len(found.values))
        width = found.values.shape[1]
        values["jacobian_singular_value"][index, place, :width] = found.values.cpu()
        values["jacobian_residual"][index, place, :width] = found.residuals.cpu()
        for name, value in found.summary.items():
            values[f"jacobian_{name}"][index, place] = value.cpu()
    names = [name for name, _, _ in spectra]
    coords = {"block": names, "sample": labels, "direction": list(range(longest))}
    settings = {
        "statistics": statistics,
        "attention": "math",
        "method": "; ".join(dict.fromkeys(found.how for _, _, found in spectra)),
    }
    notes = [
        f"{name}: samples are mixed, the whole batch is one map"
        for name, whole, _ in spectra
        if whole
    ]
    notes += [
        f"{name}: the Jacobian holds NaN or Inf"
        for name, _, found in spectra
        if bool(found.summary["largest"].isnan().any())
    ]
    return Findings(_QUANTITIES, values, coords, settings, tuple(notes))


def _check(between: Any, method: str, *numbers: int) -> None:
    if method not in _METHODS:
        raise ProbeError(f"method: {nearest(method, _METHODS)}")
    if not (isinstance(between, tuple | list) and len(between) == 2):
        raise ProbeError(f"expected two places, as ('input', 'output'), found {between!r}.")
    if min(numbers) < 1:
        raise ProbeError(
            f"expected count, steps, draws, samples and exact_up_to of at least 1, found {numbers}."
        )
