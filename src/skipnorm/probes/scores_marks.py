"""What a network answered to its batches, marked sample by sample, so that a score has a standard error."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from skipnorm.errors import ProbeError
from skipnorm.formulas.calibration import brier_scores, log_likelihoods
from skipnorm.probes.objective import Loss, inputs_of, loss_of
from skipnorm.probes.problem import Problem

__all__ = ["IGNORED", "Form", "Marks", "estimated", "form_of", "marked", "targets_of"]

IGNORED = -100
"""The label of a position that is not asked about."""

ROWS = 4096  # positions that are turned into probabilities at a time

Kind = Literal["labels", "next", "binary", "values", "product", "other"]
Part = tuple[Tensor, Tensor]
"""For each sample, the sum of a mark over its positions, and the number of them."""


@dataclass(frozen=True)
class Form:
    """How answers and targets face each other; settled once, on what the network itself answers.

    Attributes:
        kind: `labels` classes per position, `next` likewise with every label asked of the position before it, `binary`
            logits of truths, `values` real numbers, `product` the inner product, `other` nothing that is known.
        splits: whether the loss is a mean over samples of what the kind says, which was found by computing both.
        note: what is doubtful about it.
    """

    kind: Kind
    splits: bool
    note: str = ""


@dataclass(frozen=True)
class Marks:
    """The marks of one batch.

    Attributes:
        loss: of the batch.
        samples: how many.
        parts: by mark (`loss`, `accuracy`, ...), sums and numbers of positions, sample by sample.
        confidence: of every position that is asked about, the probability of the class chosen.
        correct: of every such position, whether that class was right.
        predicted: of real targets, all answers.
        wanted: of real targets, all targets.
    """

    loss: float
    samples: int
    parts: Mapping[str, Part]
    confidence: Tensor | None = None
    correct: Tensor | None = None
    predicted: Tensor | None = None
    wanted: Tensor | None = None


def targets_of(batch: Any) -> Any:
    """What was to be answered: the targets of a pair, the labels of a dict."""
    _, named, targets = inputs_of(batch)
    return named.get("labels") if targets is None else targets


def form_of(problem: Problem, loss: Loss, shift: bool | None = None) -> Form:
    """How answers and targets face each other, found by which reading gives the loss back.

    Args:
        problem: the network and its batches.
        loss: as `measure` takes it.
        shift: whether a label belongs to the position before it, as causal language models have it; None to find out.
    """
    with torch.no_grad():
        outputs = problem.outputs()
        value = loss_of(outputs, inputs_of(problem.batches[0])[2], loss, differentiable=False)
    answer, targets = _answer(outputs), targets_of(problem.batches[0])
    kinds = _plausible(answer, targets, loss, shift)
    fitting = [kind for kind in kinds if _gives(kind, answer, targets, float(value))]
    if fitting:
        both = {"labels", "next"} <= set(fitting)
        doubt = "the loss fits labels of their own and of the next position; taken as their own"
        return Form(fitting[0], True, f"{doubt}: say shift=" if both else "")
    if kinds and not {"labels", "next"} <= set(kinds):
        doubt = f"the loss is not the mean over samples of what is read as {kinds[0]!r}"
        return Form(kinds[0], False, f"{doubt}: its errors are those over batches")
    doubt = "say shift= (does a label belong to the position before it?)" if kinds else ""
    return Form("other", False, f"no labels or real targets that face the outputs; {doubt}".strip())


def marked(problem: Problem, form: Form, loss: Loss) -> list[Marks]:
    """The marks of every batch; the same dropout each time it is asked for."""
    if problem.statistics == "recalibrated":
        problem.recalibrate()
    found = []
    with torch.no_grad():
        for number, batch in enumerate(problem.batches):
            outputs = problem.outputs(batch=number)
            value = loss_of(outputs, inputs_of(batch)[2], loss, differentiable=False)
            samples = problem.weights[number]
            found.append(
                _marks(form, _answer(outputs), targets_of(batch), float(value), int(samples))
            )
    return found


def estimated(parts: Sequence[Part], shares: Sequence[float] | None = None) -> tuple[float, float]:
    """A mean over positions and its standard error over samples: a ratio estimate, by its linear part.

    With `s_i` the sum and `c_i` the number of positions of sample `i`, in batch `b` of share `w_b`: the estimate is
    `R = sum_b w_b sum_i s_i / C_b`, its variance `N / (N - 1) sum_i (w_b (s_i - R c_i) / C_b)^2`; with one position a
    sample the usual `s / sqrt(N)`. Shares are those of the positions unless given. NaN error for one sample.
    Cochran 1977, eq. 6.13.

    >>> mean, error = estimated([(torch.tensor([0.0, 2.0]), torch.ones(2))])
    >>> mean, round(error, 6)
    (1.0, 1.0)
    """
    counts = [float(count.sum()) for _, count in parts]
    weights = (
        [count / max(sum(counts), 1.0) for count in counts]
        if shares is None
        else [share / sum(shares) for share in shares]
    )
    sums = [float(total.double().sum()) for total, _ in parts]
    used = [(w, s, c) for w, s, c in zip(weights, sums, counts, strict=True) if c]
    if not used:
        return math.nan, math.nan
    mean = sum(w * s / c for w, s, c in used) / sum(w for w, _, _ in used)
    spread = 0.0
    for (total, number), weight, count in zip(parts, weights, counts, strict=True):
        if count:
            off = (total.double() - mean * number.double()) * (weight / count)
            spread += float(off.square().sum())
    samples = sum(len(total) for total, _ in parts)
    return mean, math.sqrt(samples / (samples - 1) * spread) if samples > 1 else math.nan


def _answer(outputs: Any) -> Tensor | None:
    if isinstance(outputs, Mapping):
        outputs = outputs.get("logits", next(iter(outputs.values()), None))
    elif hasattr(outputs, "logits"):
        outputs = outputs.logits
    elif isinstance(outputs, tuple | list) and outputs:
        outputs = outputs[0]
    floats = isinstance(outputs, Tensor) and outputs.is_floating_point() and outputs.dim() > 0
    return outputs if floats else None


def _plausible(
    answer: Tensor | None, targets: Any, loss: Loss, shift: bool | None
) -> tuple[Kind, ...]:
    if answer is None or not isinstance(targets, Tensor) or not targets.dim():
        return ()
    if loss == "inner_product":
        return ("product",) if answer.shape == targets.shape else ()
    if targets.is_floating_point() or targets.dtype is torch.bool:
        if answer.numel() != targets.numel() or len(answer) != len(targets):
            return ()
        truths = bool(((targets == 0) | (targets == 1)).all())
        return ("values", "binary") if truths and loss != "mse" else ("values",)
    if _by_position(answer, targets) is None:
        return ()
    tokens = targets.dim() > 1 and answer.shape[:-1] == targets.shape
    if shift is not None:
        return ("next",) if shift and tokens else ("labels",)
    return ("labels", "next") if tokens and loss != "cross_entropy" else ("labels",)


def _gives(kind: Kind, answer: Tensor | None, targets: Any, value: float) -> bool:
    assert answer is not None
    total, number = _parts(kind, answer, targets)[0]["loss"]
    found = float(total.sum() / number.sum())
    return math.isclose(found, value, rel_tol=1e-4, abs_tol=1e-6) or (
        math.isnan(found) and math.isnan(value)
    )


def _by_position(answer: Tensor, labels: Tensor) -> Tensor | None:
    """Logits with the classes last, as language models put them; torch puts them second, which is tried first."""
    rest = labels.shape[1:]
    if answer.dim() == labels.dim() + 1 and len(answer) == len(labels):
        if answer.shape[2:] == rest:
            return answer.movedim(1, -1)
        if answer.shape[1:-1] == rest:
            return answer
    return None


def _marks(form: Form, answer: Tensor | None, targets: Any, value: float, samples: int) -> Marks:
    if form.kind == "other" or answer is None:
        return Marks(value, samples, {})
    parts, more = _parts(form.kind, answer, targets)
    if not form.splits:
        parts.pop("loss")
    return Marks(value, samples, parts, **more)


def _parts(
    kind: Kind, answer: Tensor, targets: Tensor
) -> tuple[dict[str, Part], dict[str, Tensor]]:
    if kind in ("values", "product"):
        said, wanted = (each.double().reshape(len(each), -1) for each in (answer, targets))
        if kind == "product":
            whole = (said * wanted).sum(1) * len(said)
            return {"loss": (whole, torch.ones_like(whole))}, {}
        errors = (said - wanted).square().sum(1)
        part = errors, torch.full_like(errors, wanted.shape[1])
        return {"loss": part, "squared_error": part}, {"predicted": said, "wanted": wanted}
    if kind == "binary":
        score = answer.reshape(len(answer), -1)
        logits = torch.stack([torch.zeros_like(score), score], dim=-1)
        return _class_parts(logits, targets.reshape(len(targets), -1).long())
    logits_by_position = _by_position(answer, targets)
    assert logits_by_position is not None
    logits, labels = logits_by_position, targets
    if kind == "next":
        logits, labels = logits[:, :-1], labels[:, 1:]
    return _class_parts(
        logits.reshape(len(labels), -1, logits.shape[-1]), labels.reshape(len(labels), -1)
    )


def _class_parts(logits: Tensor, labels: Tensor) -> tuple[dict[str, Part], dict[str, Tensor]]:
    asked, classes = labels != IGNORED, logits.shape[-1]
    kept = labels[asked].long()
    if len(kept) and not 0 <= int(kept.min()) <= int(kept.max()) < classes:
        raise ProbeError(
            f"expected labels from 0 to {classes - 1} (or {IGNORED} where nothing is asked), found "
            f"{int(kept.min())} to {int(kept.max())}. Check what the labels stand for."
        )
    columns: dict[str, list[Tensor]] = {}
    for rows, wanted in zip(torch.split(logits[asked], ROWS), torch.split(kept, ROWS), strict=True):
        for name, column in _columns(rows, wanted).items():
            columns.setdefault(name, []).append(column)
    flat = {name: torch.cat(each) for name, each in columns.items()}
    number = asked.double().sum(1)
    parts = {}
    for name in ("nll", "accuracy", "brier", *(("top5",) if classes > 5 else ())):
        marks = torch.zeros(labels.shape, dtype=torch.float64, device=labels.device)
        marks[asked] = flat[name]
        parts[name] = marks.sum(1), number
    parts["loss"] = parts["nll"]
    return parts, {"confidence": flat["confidence"], "correct": flat["accuracy"]}


def _columns(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The marks of each position; one with NaN among its logits has no class that it chose."""
    broken = logits.isnan().any(-1)
    chosen = logits.argmax(-1)
    five = logits.topk(min(5, logits.shape[-1]), dim=-1).indices
    columns = {
        "accuracy": (chosen == labels).double(),
        "top5": (five == labels.unsqueeze(-1)).any(-1).double(),
        "confidence": log_likelihoods(logits, chosen).exp(),
    }
    columns = {name: column.masked_fill(broken, math.nan) for name, column in columns.items()}
    proper = {"nll": -log_likelihoods(logits, labels), "brier": brier_scores(logits, labels)}
    return columns | proper
