"""Every picture of the inquiry with its caption, and the forest of all laws at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import intervals
from skipnorm.inquiries.stability import (
    backward,
    closed,
    criticality,
    depth,
    forward,
    singular,
    steadiness,
)
from skipnorm.inquiries.stability.claims import CLAIMS
from skipnorm.verdicts import Verdict, judge

__all__ = ["CAPTIONS", "FIGURES"]


#: The laws as a narrow page can name them.
_SHORT = {
    "bn-relu-rate": "BN-ReLU rate",
    "bn-linear-rate": "BN-linear rate",
    "bare-rates": "rates, no norm",
    "residual-bn-polynomial": "residual + BN",
    "log-gain-mean": "log gain, mean",
    "log-gain-variance": "log gain, var.",
    "channel-variance-decays": "variance decay",
    "bn-keeps-samples-apart": "kept apart",
    "variance-slopes": "variance slopes",
    "squared-mean-slopes": "mean slopes",
    "branch-variances": "branch variance",
    "nf-variance": "normaliser-free",
    "shortcut-share": "shortcut share",
    "tanh-mean-field": "tanh, chi_1",
    "derivative-of-a-gaussian": "sigma' behind BN",
    "fuss-catalan-edge": "Fuss-Catalan edge",
}


def forest(evidence: xr.Dataset) -> go.Figure:
    """Every law at once: measured over predicted in its closest case, on its tolerance."""
    rows = [_relative(judge(claim, evidence)) for claim in CLAIMS if claim.name in _SHORT]
    return intervals(xr.concat(rows, "case"), x_title="measured / predicted")


def _relative(verdict: Verdict) -> xr.Dataset:
    table = verdict.to_dataset()
    row = table.sel(case=[verdict.case or verdict.claim.name])
    middle = (row["predicted_low"] + row["predicted_high"]) / 2
    ends = {"low": "high", "high": "low", "predicted_low": "predicted_high"}
    ends["predicted_high"] = "predicted_low"
    turned = row.rename(ends) if bool((middle < 0).all()) else row
    kept = {name: turned[name] / middle for name in ("effect", *ends)}
    return xr.Dataset({**kept, "ruling": row["ruling"]}).assign_coords(
        case=[_SHORT[verdict.claim.name]]
    )


FIGURES: Mapping[str, Callable[[xr.Dataset], go.Figure]] = {
    "forest": forest,
    "growth": backward.growth,
    "explosion": backward.explosion,
    "rates": backward.rates,
    "residual": backward.residual,
    "gains": forward.gains,
    "signal": forward.signal,
    "variance": forward.variance,
    "variances": forward.variances,
    "means": forward.means,
    "shares": backward.shares,
    "formulas": closed.formulas,
    "criticality": criticality.criticality,
    "derivatives": steadiness.derivatives,
    "learnt": steadiness.learnt_derivatives,
    "depths": depth.trainability,
    "stretch": singular.stretch,
}

CAPTIONS: Mapping[str, str] = {
    "forest": "Every law with a relative tolerance: measured over predicted in its closest case, with its "
    "interval. Shaded is what the claim allows.",
    "growth": "Batch norm makes the gradient of a plain network explode; skips without norm double it per block; the "
    "two together grow slowly. The plain network with He weights keeps its gradient. Dashed: theory.",
    "explosion": "Smaller batches explode faster. ReLU falls to its limit 1.467, the linear network to 1; tanh lies "
    "between. Points are means over draws; dashed lines are Yang's formulas, with no free parameter.",
    "rates": "Above 1 gradients explode towards the input, below 1 they vanish; ½ and ×2 scale the weight variance. "
    "Batch norm gives one rate whatever that scale: nearer to 1 than ReLU ½, farther than ReLU and tanh ×2.",
    "residual": "With skips and batch norm the gradient grows as a power of depth (a straight line here, at last); the "
    "same blocks without skips would leave the picture within twenty layers.",
    "gains": "The mean gain over draws stays at 1 while the typical network shrinks its signal: the gain is "
    "log-normal. Dashed: −5l/(2N) and its standard deviation √(5l/N); N = 100.",
    "signal": "With half the critical weight variance the signal of a plain network halves per layer, and skips double "
    "it per block. Batch norm holds the first constant and makes the second linear in depth.",
    "variance": "Without norm the samples of a batch become alike, layer by layer; behind batch norm and ReLU the "
    "share stays at 1 − 1/π = 0.68.",
    "variances": "The order of norm, activation and weights sets how fast the stream's variance rises per block: 0.68, "
    "1 or 0.34; without a norm 0.04 by construction.",
    "means": "What all samples share rises by 1/π per block with the weights last, quadratically with the activation "
    "last, and not at all where the norm feeds the weights.",
    "formulas": "Each formula for the gradient of the first layer beside autograd's, draw by draw; the dash is what "
    "rounding allows. The first version's formula for one layer and the chain over outputs are right; the second "
    "version's, and the product over weights as printed, are other numbers.",
    "criticality": "The squared gradient from the last layer back to the first. Half or twice the critical weight "
    "variance makes it vanish or explode; at criticality it stays. Dashed: 1/2, 1 and 2 per layer for ReLU, chi_1 for "
    "tanh with biases of variance 0.05, labelled by the weight variance.",
    "derivatives": "Without batch norm pre-activations shrink from layer to layer and the mean derivative rises; with "
    "it they are standard Gaussian at every layer. Dashed: the mean derivative of a standard Gaussian.",
    "learnt": "The mean derivative of six tanh blocks on digits, before training and after it, each network at its own "
    "best rate. Dashed: what batch norm without scale and shift would hold it to.",
    "depths": "Each network at its own best learning rate; guessing costs ln 10. The vertical dash is 16 xi, the depth "
    "beyond which Yang et al. find batch-normed networks untrainable, for batches of 128.",
    "stretch": "Which share of the singular values of the Jacobian from the input to this depth lies between 1/2 and "
    "2. Linear orthogonal networks keep all of them at 1. With batch norm: of the whole batch.",
    "shares": "Without norm half of the gradient takes the shortcut at every block. With batch norm the branch is "
    "divided by a growing stream, so deep blocks come near to the identity.",
}
