"""How good a network's answers are: loss, accuracy, calibration, and what is lost from training to test data."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from skipnorm.errors import ProbeError
from skipnorm.evidence.schema import Quantity
from skipnorm.formulas.calibration import adaptive_calibration_error, calibration_error
from skipnorm.probes.findings import Findings
from skipnorm.probes.objective import Loss
from skipnorm.probes.problem import Statistics, batches_of, posed
from skipnorm.probes.scores_marks import Form, Marks, estimated, form_of, marked

__all__ = ["mark_of", "scores"]

_ERROR = "standard error over samples of "

_SCORES = (
    ("loss", "loss", "the loss, averaged over batches by their number of samples", "definition"),
    ("accuracy", "1", "share of the positions whose most likely class is right", "definition"),
    ("accuracy_top5", "1", "share with the right class among the five most likely", "definition"),
    ("negative_log_likelihood", "nats", "mean of -log softmax(outputs)[label]", "definition"),
    ("perplexity", "1", "exponential of the mean negative log-likelihood", "definition"),
    ("brier_score", "1", "mean of sum_c (p_c - [c = label])^2, from 0 to 2", "Brier 1950"),
    ("mean_squared_error", "1", "mean squared difference to real targets", "definition"),
    ("generalisation_gap_loss", "loss", "loss here less that on the reference", "definition"),
    ("generalisation_gap_accuracy", "1", "accuracy on the reference less that here", "definition"),
)
_PLAIN = (
    (
        "calibration_error",
        "1",
        "sum over bins of equal width of n_b / N |accuracy_b - confidence_b|",
        "Guo et al. 2017, eq. 3",
    ),
    (
        "calibration_error_adaptive",
        "1",
        "the same over bins that hold equally many positions",
        "Nixon et al. 2019",
    ),
    (
        "r_squared",
        "1",
        "1 - squared errors over squared deviations of the targets from their mean",
        "definition, pooled over outputs",
    ),
)
QUANTITIES = (
    *(Quantity(name, (), *text) for name, *text in (*_SCORES, *_PLAIN)),
    *(
        Quantity(f"{name}_error", (), unit, _ERROR + meaning, "Cochran 1977, eq. 6.13")
        for name, unit, meaning, _ in _SCORES
    ),
)
"""Every score, of classes and of real numbers alike; those that do not apply are NaN."""

_MARKS = {
    "accuracy": "accuracy",
    "accuracy_top5": "top5",
    "negative_log_likelihood": "nll",
    "brier_score": "brier",
    "mean_squared_error": "squared_error",
}


def scores(
    network: nn.Module,
    batch: Any,
    *,
    loss: Loss = None,
    reference: Any = None,
    statistics: Statistics = "as_is",
    bins: int = 15,
    shift: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Findings:
    """How good a network's answers are on these batches, with standard errors over samples.

    Classes, per sample or per position (images of labels; tokens, where a label of -100 is not asked about): loss,
    accuracy, top-5 accuracy from six classes on, negative log-likelihood, perplexity, Brier score, expected calibration
    error over bins of equal width and of equal mass. Real targets: mean squared error and R squared. What does not
    apply is NaN. Outputs are read as logits; how labels face them is found by which reading gives the
    network's loss back (causal language models ask each label of the position before it), and `notes` says where no
    reading does.

    Args:
        network: any module, in the mode in which it is to be scored.
        batch: as `measure` takes it, or a list of such.
        loss: as `measure` takes it.
        reference: batches that the network was trained on; the gap is what is lost from there to `batch`.
        statistics: what BatchNorm normalises by, see `STATISTICS`.
        bins: of the calibration errors.
        shift: whether a label belongs to the position before it; found out unless said.
        progress: called with (done, total), in sets of batches.

    Raises:
        ProbeError: no bins, labels that are no classes, or no loss.

    >>> sure = nn.Linear(1, 2)
    >>> _ = nn.init.zeros_(sure.weight), nn.init.zeros_(sure.bias)  # says one half, always the first class
    >>> found = scores(sure, (torch.ones(4, 1), torch.tensor([0, 0, 0, 1])))
    >>> found.values["accuracy"], found.values["perplexity"], found.values["calibration_error"]
    (0.75, 2.0, 0.25)
    """
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise ProbeError(f"expected a number of bins from 1 up, found {bins!r}. Usual is 15.")
    sets = [batch] if reference is None else [batch, reference]
    form, found, notes = None, [], []
    for number, each in enumerate(sets):
        with posed(network, each, loss=loss, statistics=statistics, where=None) as problem:
            form = form or form_of(problem, loss, shift)
            found.append(_scored(marked(problem, form, loss), form, bins))
        if progress is not None:
            progress(number + 1, len(sets))
    assert form is not None
    values = found[0] | _gap(found[0], found[-1] if reference is not None else {})
    notes = [form.note] if form.note else []
    return Findings(
        QUANTITIES,
        {quantity.name: values.get(quantity.name, math.nan) for quantity in QUANTITIES},
        settings={
            "probe": "scores",
            "statistics": statistics,
            "bins": str(bins),
            "read_as": form.kind,
            "batches": str(len(batches_of(batch))),
        },
        notes=tuple(notes),
    )


def mark_of(marks: Sequence[Marks], name: str) -> tuple[float, float]:
    """A mark over all batches and its standard error over samples; the loss also where only batches have one."""
    if name == "loss":
        shares = [float(each.samples) for each in marks]
        if all("loss" in each.parts for each in marks):
            return estimated([each.parts["loss"] for each in marks], shares)
        whole = torch.tensor([[each.loss] for each in marks], dtype=torch.float64)
        return estimated([(one, torch.ones_like(one)) for one in whole], shares)
    if not all(name in each.parts for each in marks):
        return math.nan, math.nan
    return estimated([each.parts[name] for each in marks])


def _scored(marks: Sequence[Marks], form: Form, bins: int) -> dict[str, float]:
    values: dict[str, float] = {}
    _, values["loss_error"] = mark_of(marks, "loss")
    total = sum(each.samples for each in marks)
    values["loss"] = sum(each.loss * each.samples for each in marks) / total
    for name, mark in _MARKS.items():
        values[name], values[f"{name}_error"] = mark_of(marks, mark)
    nll, error = values["negative_log_likelihood"], values["negative_log_likelihood_error"]
    values["perplexity"] = float(torch.tensor(nll, dtype=torch.float64).exp())
    values["perplexity_error"] = values["perplexity"] * error  # by its slope
    if all(each.confidence is not None for each in marks):
        sure, right = (
            torch.cat([getattr(each, name) for each in marks]) for name in ("confidence", "correct")
        )
        values["calibration_error"] = float(calibration_error(sure, right, bins))
        values["calibration_error_adaptive"] = float(adaptive_calibration_error(sure, right, bins))
    if all(each.predicted is not None for each in marks) and form.kind == "values":
        said, wanted = (
            torch.cat([getattr(each, name) for each in marks]) for name in ("predicted", "wanted")
        )
        spread = (wanted - wanted.mean(0)).square().sum()
        values["r_squared"] = float(1 - (said - wanted).square().sum() / spread)
    return values


def _gap(here: dict[str, float], there: dict[str, float]) -> dict[str, float]:
    if not there:
        return {}
    gaps = {}
    for name, sign in (("loss", 1), ("accuracy", -1)):
        gaps[f"generalisation_gap_{name}"] = sign * (here[name] - there[name])
        gaps[f"generalisation_gap_{name}_error"] = math.hypot(
            here[f"{name}_error"], there[f"{name}_error"]
        )
    return gaps
