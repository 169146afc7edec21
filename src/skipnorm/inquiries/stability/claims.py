"""Every claim of the inquiry: the laws with their tolerances, and the dispute about stability.

A tolerance is the one under which a law is known to hold at the widths and batches of the study; it
was written before the run.
"""

from __future__ import annotations

import math

import xarray as xr

from skipnorm.formulas import theory
from skipnorm.inquiries.effects import numbered
from skipnorm.inquiries.stability import (
    closed,
    criticality,
    depth,
    dispute,
    laws,
    singular,
    steadiness,
)
from skipnorm.inquiries.stability.laws import log_gain
from skipnorm.inquiries.stability.study import FULL, QUICK
from skipnorm.verdicts import AtMost, Claim, Identity, Near

__all__ = ["CLAIMS"]

_BULK = "Geometric mean over the bulk: without the first two and the last five layers."
_BROCK = "Derived; signal propagation plots as in Brock et al. 2021"
_WIDE = "A law of infinite width; at finite width the share is a little larger, in proportion to depth / width."


def _log_gain_law(moment: str) -> float:
    """The first-order law at the width and depth of the population, the same at both scales."""
    assert (QUICK.draws_depth, QUICK.draws_width) == (FULL.draws_depth, FULL.draws_width)
    law = {"mean": theory.log_gain_mean, "variance": theory.log_gain_variance}[moment]
    return law(QUICK.draws_depth, QUICK.draws_width)


def _kept(evidence: xr.Dataset) -> xr.DataArray:
    return numbered(
        dict.fromkeys(laws.kept_share(evidence)["case"].values, 2 * theory.RELU_VARIANCE)
    )


LAWS = (
    Claim(
        name="bn-relu-rate",
        sentence="In a plain ReLU network with batch norm the squared gradient grows per layer at the rate that "
        "theory gives for the batch size, 1.79 for 8 samples and 1.48 for 128.",
        source="Yang et al. 2019, eq. 25 at alpha = 1",
        side="paper",
        effect=dispute.relu_rates,
        prediction=Near(laws.relu_theory, 0.015, relative=True),
        scale="log",
        figure="explosion",
        topic="gradient at initialisation",
        caveats=(_BULK,),
    ),
    Claim(
        name="bn-linear-rate",
        sentence="Without activations it grows by (B - 2) / (B - 3) per layer for B samples.",
        source="Yang et al. 2019, theorem 8",
        side="paper",
        effect=laws.linear_rates,
        prediction=Near(laws.linear_theory, 0.025, relative=True),
        scale="log",
        figure="explosion",
        topic="batch norm and every activation",
        caveats=(_BULK,),
    ),
    Claim(
        name="bn-tanh-between",
        sentence="With tanh the rate lies strictly between those of the linear (0) and the ReLU network (1).",
        source="Yang et al. 2019, theorem 9",
        side="paper",
        effect=laws.tanh_position,
        prediction=Near(0.5, 0.5),
        figure="explosion",
        topic="batch norm and every activation",
        caveats=(
            "Theorem 9 says that the linear rate is the smallest; that ReLU's is larger is measured.",
        ),
    ),
    Claim(
        name="bare-rates",
        sentence="Without norm the weights decide: the squared gradient is multiplied per layer by 1 (ReLU, He), "
        "by 1/2 and 2 (ReLU, half and twice the variance) and by chi_1 = 1.106 (tanh, twice the critical variance).",
        source="Mean field: Schoenholz et al. 2017; He et al. 2015",
        side="paper",
        effect=laws.bare_rates,
        prediction=Near(laws.bare_theory, 0.03, relative=True),
        scale="log",
        figure="rates",
        topic="growth per layer without norm",
        caveats=(_BULK,),
    ),
    Claim(
        name="residual-bn-polynomial",
        sentence="With skips and batch norm the gradient grows as a polynomial of depth: its square over L blocks "
        "by the product of 1 + 1/(1 + (1 - 1/pi) l), about L^1.47.",
        source="Derived; refines Balduzzi et al. 2017, theorem 3",
        side="derived",
        effect=laws.residual_ratios,
        prediction=Near(laws.residual_theory, 0.05, relative=True),
        scale="log",
        figure="residual",
        topic="skips and the explosion",
        caveats=(
            "A law of large widths and batches: with 400 each the ratio over 50 blocks is still about 2 % high "
            "(at width 300 and 256 samples 4 %).",
        ),
    ),
    Claim(
        name="log-gain-mean",
        sentence="The typical He network shrinks its signal: the logarithm of the gain of L layers of width N is "
        "-5L/(2N) on average over draws.",
        source="Derived; Hanin 2018 for the sum of inverse widths",
        side="derived",
        effect=log_gain("mean"),
        prediction=Near(_log_gain_law("mean"), 0.1, relative=True),
        figure="gains",
        topic="typical and mean gain",
        unit="nats",
        caveats=("To first order in 1/N; the exact value at width 100 is 1.7 % larger.",),
    ),
    Claim(
        name="log-gain-variance",
        sentence="He networks differ in scale: the variance over draws of the logarithm of the gain is 5L/N.",
        source="Derived; Hanin 2018 for the sum of inverse widths",
        side="derived",
        effect=log_gain("variance"),
        prediction=Near(_log_gain_law("variance"), 0.1, relative=True),
        figure="gains",
        topic="typical and mean gain",
        caveats=("To first order in 1/N; the exact value at width 100 is 3.9 % larger.",),
    ),
    Claim(
        name="channel-variance-decays",
        sentence="In a plain He ReLU network samples become alike: the channel variance falls from layer to layer "
        "as 1 - c, with c the iterated arc-cosine kernel.",
        source="Derived from the kernel of Cho & Saul 2009; Luther & Seung 2019 describe the decay",
        side="derived",
        effect=laws.decay,
        prediction=Near(laws.decay_theory, 0.05, relative=True),
        figure="variance",
        topic="what tells samples apart",
        caveats=(_WIDE,),
    ),
    Claim(
        name="bn-keeps-samples-apart",
        sentence="Batch norm stops that decay: over the first ten layers the share of the channel variance behind "
        "a ReLU stays 1 - 1/pi.",
        source="Luther & Seung 2019; Page 2019",
        side="paper",
        effect=laws.kept_share,
        prediction=Near(_kept, 0.02, relative=True),
        figure="variance",
        topic="what tells samples apart",
        caveats=(
            "Deeper layers lie higher at finite width (2 % at layer 20, width 400): samples come to differ in norm.",
        ),
    ),
    Claim(
        name="variance-slopes",
        sentence="With batch norm in the branch the stream's channel variance rises linearly: by 1 - 1/pi, 1 and "
        "(1 - 1/pi)/2 per block for the three orders of norm, activation and weights.",
        source=_BROCK,
        side="derived",
        effect=laws.variance_slopes,
        prediction=Near(laws.variance_theory, 0.02, relative=True),
        figure="variances",
        topic="order of norm, activation and weights",
        caveats=(
            "weight-norm-act over its first ten blocks: later its samples' norms spread at finite width.",
        ),
    ),
    Claim(
        name="squared-mean-slopes",
        sentence="The squared channel mean rises by 1/pi per block where weights come last, and as l^2/(2 pi) "
        "where the activation does.",
        source=_BROCK,
        side="derived",
        effect=laws.mean_rises,
        prediction=Near(laws.mean_theory, 0.02, relative=True),
        figure="means",
        topic="order of norm, activation and weights",
        caveats=(
            "1/pi is read at the end of every branch: the sum on the stream has the same expectation, but "
            "differs between draws by sqrt(2/N), 7 % at this width.",
        ),
    ),
    Claim(
        name="norm-before-weights-centres",
        sentence="Where the norm stands right before the weights, the squared channel mean does not rise: by at "
        "most 0.001 per block.",
        source=_BROCK,
        side="derived",
        effect=laws.centred_rise,
        prediction=AtMost(0.001),
        figure="means",
        topic="order of norm, activation and weights",
    ),
    Claim(
        name="branch-variances",
        sentence="Every branch ends with the same channel variance at any depth: 1 - 1/pi, 1 and (1 - 1/pi)/2 for "
        "the three orders.",
        source=_BROCK,
        side="derived",
        effect=laws.branch_variances,
        prediction=Near(laws.variance_theory, 0.02, relative=True),
        figure="variances",
        topic="order of norm, activation and weights",
    ),
    Claim(
        name="nf-variance",
        sentence="Without any norm, scaled weight standardisation keeps the books: the stream's variance is "
        "1 + alpha^2 l after l blocks.",
        source="Brock et al. 2021",
        side="paper",
        effect=laws.nf_variance,
        prediction=Near(laws.nf_theory, 0.01, relative=True),
        figure="variances",
        topic="size of the signal",
    ),
    Claim(
        name="doubling-without-norm",
        sentence="Without norm or scale a residual stream doubles its mean square with every block: ten times in "
        "ten blocks, to within a factor of 1.3.",
        source="De & Smith 2020",
        side="paper",
        effect=laws.doublings,
        prediction=Near(10.0, math.log2(1.3)),
        figure="signal",
        topic="size of the signal",
        unit="doublings",
    ),
    Claim(
        name="scaled-shortcuts",
        sentence="A shortcut scaled by lambda damps the direct path: over L blocks it carries lambda^L of the "
        "gradient, whatever the branches do.",
        source="He et al. 2016 (identity mappings), eq. 8",
        side="paper",
        effect=laws.shortcut_error,
        prediction=Identity(1e-6),
        figure="shares",
        topic="gradient through skips",
        caveats=("Relative deviation from lambda^L, in double precision.",),
    ),
    Claim(
        name="shortcut-plus-branch",
        sentence="The gradient in front of a residual block is what came through the shortcut plus what came "
        "through the branch, and nothing else.",
        source="He et al. 2016 (identity mappings), eq. 5",
        side="paper",
        effect=laws.unexplained,
        prediction=Identity(1e-9),
        figure="shares",
        topic="gradient through skips",
        caveats=(
            "Length of the rest over the length of the gradient, worst block, in double precision.",
        ),
    ),
    Claim(
        name="shortcut-share",
        sentence="Without norm half of the gradient comes through the shortcut; with batch norm ever more of it "
        "does, 1/(1 + g) with g = 1/(1 + (1 - 1/pi) l) in block l.",
        source="Derived; De & Smith 2020 for the down-scaled branch",
        side="derived",
        effect=laws.shortcut_shares,
        prediction=Near(laws.share_theory, 0.05, relative=True),
        figure="shares",
        topic="gradient through skips",
    ),
)

CLAIMS = (
    *dispute.CLAIMS,
    *closed.CLAIMS,
    *criticality.CLAIMS,
    *steadiness.CLAIMS,
    *depth.CLAIMS,
    *singular.CLAIMS,
    *LAWS,
)
