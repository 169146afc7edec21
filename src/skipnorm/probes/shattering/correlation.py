"""Shattered gradients: how alike the gradients of different samples are, and of neighbours on a line."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from torch import Tensor, nn

from skipnorm.errors import ProbeError, nearest
from skipnorm.evidence.schema import Quantity
from skipnorm.probes.findings import Findings
from skipnorm.probes.objective import Loss, inputs_of
from skipnorm.probes.problem import batches_of
from skipnorm.probes.shattering.exact import Progress
from skipnorm.probes.shattering.gram import Gram, Trials, input_gram, parameter_gram
from skipnorm.probes.shattering.line import input_gradient_autocorrelation
from skipnorm.probes.shattering.statistics import Statistics, prepared

__all__ = ["gradient_correlation", "input_gradient_autocorrelation"]

_BALDUZZI = "Balduzzi et al. 2017"
_METHODS = ("auto", "layerwise", "vmap", "loop")

_PAIRS = (
    Quantity(
        "gradient_correlation",
        ("batch",),
        "1",
        "mean cosine between the gradients of two samples",
        f"{_BALDUZZI}, theorem 1",
    ),
    Quantity(
        "gradient_correlation_quantile",
        ("batch", "quantile"),
        "1",
        "quantiles of the cosine between the gradients of two samples",
        "definition",
    ),
    Quantity(
        "gradient_correlation_eigenvalue",
        ("batch", "eigenvalue"),
        "1",
        "eigenvalues of the matrix of cosines, descending; they add up to the number of samples",
        "definition",
    ),
    Quantity(
        "gradient_effective_rank",
        ("batch",),
        "directions",
        "exponential of the entropy of the eigenvalues of the matrix of cosines",
        "Roy & Vetterli 2007",
    ),
    Quantity(
        "gradient_norm",
        ("batch", "sample"),
        "loss/unit",
        "length of each sample's part in the gradient of the loss",
        "definition",
    ),
    Quantity(
        "gradient_absent",
        ("batch",),
        "samples",
        "how many samples have the gradient zero, without direction, and are left out",
        "definition",
    ),
)


def gradient_correlation(
    network: nn.Module,
    batch: Any,
    *,
    loss: Loss = None,
    wrt: Literal["parameters", "input"] = "parameters",
    where: str = "*",
    statistics: Statistics = "as_is",
    method: Literal["auto", "layerwise", "vmap", "loop"] = "auto",
    quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
    progress: Progress | None = None,
) -> Findings:
    """Whether the samples of a batch pull a network in the same direction: cosines between their gradients.

    ``R_ij = <g_i, g_j> / (||g_i|| ||g_j||)`` with ``g_i`` sample i's part in the gradient of the loss. Its mean off the
    diagonal, quantiles, eigenvalues and effective rank (of R). What goes into a layer and what comes back to it
    say all inner products, so that no gradient of a sample is ever formed for linear, convolutional, embedding and
    norm layers and parameters that are broadcast; others are had one by one, which the settings then say.

    With batch statistics the gradient of a sample is not defined, since its output depends on all: that is refused,
    and ``statistics='detached'`` takes the statistics as constants of the backward pass, as the theorems do.

    Args:
        network: any module in which samples come first.
        batch: as `measure` takes it, or a list of such: each is looked at by itself.
        loss: as `measure` takes it: a sum (or mean) over samples.
        wrt: gradients with respect to parameters, or to the network's real inputs.
        where: glob over the names of parameters.
        statistics: what BatchNorm normalises by: as_is, batch, running, recalibrated or detached.
        method: `layerwise` refuses what it does not understand, `vmap` and `loop` form each sample's gradient.
        quantiles: of the cosines.
        progress: told (done, total) batches.

    Raises:
        ProbeError: samples are mixed, there is one only, or a setting makes no sense.

    Balduzzi et al. 2017, section 3.

    >>> line = nn.Linear(2, 1, bias=False)
    >>> data = (torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]), torch.ones(3, 1))
    >>> found = gradient_correlation(line, data, loss="inner_product")
    >>> found.values["gradient_correlation"].round(decimals=4).tolist()  # one pair of three is parallel
    [0.3333]
    """
    parameters = _settings(network, wrt, where, method, quantiles)
    batches = batches_of(batch)
    grams: list[Gram] = []
    trials = Trials()
    with prepared(network, batches, statistics) as run:
        for done, each in enumerate(batches):
            inputs_of(each)
            if wrt == "input":
                grams.append(input_gram(run, each, loss, trials))
            else:
                grams.append(parameter_gram(run, each, loss, parameters, method, None, trials))
            if progress is not None:
                progress(done + 1, len(batches))
    return _summarised(grams, wrt, where, statistics, quantiles)


def _summarised(
    grams: Sequence[Gram], wrt: str, where: str, statistics: str, quantiles: Sequence[float]
) -> Findings:
    longest = max(len(gram.matrix) for gram in grams)
    rows: dict[str, list[Tensor]] = {quantity.name: [] for quantity in _PAIRS}
    notes = []
    for index, gram in enumerate(grams):
        found = _summary(gram.matrix.cpu(), quantiles)
        for name, value in found.items():
            short = longest - len(value) if name in _PER_SAMPLE else 0
            rows[name].append(
                torch.cat([value, value.new_full((short,), torch.nan)]) if short else value
            )
        absent = int(found["gradient_absent"])
        if absent:
            notes.append(f"batch {index}: {absent} samples have the gradient zero and are left out")
        if not bool(gram.matrix.isfinite().all()):
            notes.append(f"batch {index}: gradients hold NaN or Inf")
    settings = {"wrt": wrt, "statistics": statistics, "attention": "math"}
    if wrt == "parameters":
        settings |= {"where": where, **_ways(grams)}
    coords = {
        "batch": list(range(len(grams))),
        "quantile": list(quantiles),
        "eigenvalue": list(range(longest)),
        "sample": list(range(longest)),
    }
    values = {name: torch.stack(each) for name, each in rows.items()}
    return Findings(_PAIRS, values, coords, settings, tuple(notes))


_PER_SAMPLE = ("gradient_norm", "gradient_correlation_eigenvalue")


def _summary(gram: Tensor, quantiles: Sequence[float]) -> dict[str, Tensor]:
    norms = gram.diagonal().sqrt()
    there = norms != 0  # NaN stays, and makes everything NaN
    absent = len(norms) - int(there.sum())
    if absent:
        gram = gram[there][:, there]
    units = norms[there] if absent else norms
    cosines = gram / torch.outer(units, units)
    first, second = torch.triu_indices(len(cosines), len(cosines), 1)
    pairs = cosines[first, second]
    nothing = gram.new_full((), torch.nan)
    known = len(pairs) > 0 and bool(cosines.isfinite().all())
    eigenvalues = torch.linalg.eigvalsh(cosines).flip(0) if known else nothing.expand(0)
    return {
        "gradient_correlation": pairs.mean() if known else nothing,
        "gradient_correlation_quantile": _levels(pairs, quantiles)
        if known
        else nothing.expand(len(quantiles)),
        "gradient_correlation_eigenvalue": torch.cat(
            [eigenvalues, gram.new_full((len(norms) - len(eigenvalues),), torch.nan)]
        ),
        "gradient_effective_rank": _spread(eigenvalues) if known else nothing,
        "gradient_norm": norms,
        "gradient_absent": gram.new_full((), absent),
    }


def _levels(pairs: Tensor, quantiles: Sequence[float]) -> Tensor:
    """Quantiles over ordered pairs, of which there are twice as many: each value stands there two times."""
    values = pairs.sort().values
    ranks = torch.tensor(list(quantiles), dtype=torch.float64) * (2 * len(pairs) - 1)
    below, above = ranks.floor().long(), ranks.ceil().long()
    return torch.lerp(values[below // 2], values[above // 2], ranks - below)


def _spread(eigenvalues: Tensor) -> Tensor:
    shares = eigenvalues.clamp(min=0) / eigenvalues.clamp(min=0).sum()
    return torch.xlogy(shares, shares).sum().neg().exp()


def _ways(grams: Sequence[Gram]) -> dict[str, str]:
    first = grams[0]
    ways = {"layerwise": f"{len(first.layerwise)} parameters"}
    if first.others:
        ways["one by one"] = f"{', '.join(first.others)} by {first.how}"
    return ways


def _settings(
    network: nn.Module, wrt: str, where: str, method: str, quantiles: Sequence[float]
) -> dict[str, Tensor]:
    if not isinstance(network, nn.Module):
        raise ProbeError(f"expected a torch.nn.Module, found {type(network).__name__}.")
    if wrt not in ("parameters", "input"):
        raise ProbeError(f"wrt: {nearest(wrt, ('parameters', 'input'))}")
    if method not in _METHODS:
        raise ProbeError(f"method: {nearest(method, _METHODS)}")
    if not all(0 <= level <= 1 for level in quantiles) or not len(quantiles):
        raise ProbeError(f"expected quantiles between 0 and 1, found {list(quantiles)}.")
    named = {name: value for name, value in network.named_parameters() if value.is_floating_point()}
    chosen: dict[str, Tensor] = {
        name: value for name, value in named.items() if fnmatchcase(name, where)
    }
    if not chosen and wrt == "parameters":
        raise ProbeError(f"no parameter is called like {where!r}: {nearest(where, named)}")
    return chosen
