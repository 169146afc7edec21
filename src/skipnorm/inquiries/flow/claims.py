"""What is claimed of the gradient's way through skips. Predictions were written before the draws that are judged."""

from __future__ import annotations

import numpy as np
import xarray as xr

from skipnorm.inquiries.effects import at_best_rate, cases
from skipnorm.inquiries.flow import effects
from skipnorm.inquiries.flow.effects import behind, half_rate, ratio, start
from skipnorm.verdicts import AtLeast, AtMost, Claim, Equivalent, Identity, Near

__all__ = ["CLAIMS"]

_VANISHES, _SCALED = "does the gradient vanish", "scaled shortcuts"
_TABLE, _IDENTITY = "which shortcut trains best", "what an identity shortcut brings back"
_WAY = "which way the gradient takes"
_EQ5 = "He et al. 2016 (identity mappings), eq. 5"
_RATES = "Each shortcut at its own best rate of 0.03, 0.1, 0.3: chosen by each seed (full), or on other seeds (quick)."
_HE = "He et al. train ResNet-110 with the activation after the addition, for 64,000 updates; here it stands before."


def _cancelling(evidence: xr.Dataset) -> xr.DataArray:
    return ratio(start(evidence, "branch = -identity", "gradient_size"))


def _cancelled(evidence: xr.Dataset) -> xr.DataArray:
    sites = {
        "at the start": start(evidence, "identity", "cancelled"),
        "after training": at_best_rate(evidence, "identity", "cancelled"),
    }
    return cases({name: share.max("layer") for name, share in sites.items()})


def _half_vanishes(evidence: xr.Dataset) -> xr.DataArray:
    return ratio(start(evidence, "at start: half, SkipInit", "gradient_size"))


def _half_grows(evidence: xr.Dataset) -> xr.DataArray:
    return effects.rate_per_block(start(evidence, "at start: half, BN", "gradient_size"))


def _direct(evidence: xr.Dataset) -> xr.DataArray:
    return cases(
        {
            "at the start": start(evidence, "identity", "direct_error"),
            "after training": at_best_rate(evidence, "identity", "direct_error"),
        }
    )


def _share_kept(evidence: xr.Dataset) -> xr.DataArray:
    share = at_best_rate(evidence, "identity", "shortcut_share")
    law = effects.share_law(share.sizes["block"])
    return share.mean("block") - float(np.mean(law))


def _failures(evidence: xr.Dataset) -> xr.DataArray:
    return cases({name: effects.accuracy(evidence, name) for name in ("no shortcut", "dropout")})


VANISHING = (
    Claim(
        name="prevents-vanishing",
        sentence="The sum over skips prevents the gradient from vanishing: through 32 residual blocks a tenth of it or "
        "more arrives at the first block, before training and after.",
        source="The essay, first version, on gradient flow",
        side="essay",
        effect=lambda evidence: effects.vanishing(evidence, "identity"),
        prediction=AtLeast(0.1),
        scale="log",
        figure="trained",
        topic=_VANISHES,
        caveats=("Batch norm in the branch, the activation before the weights.",),
    ),
    Claim(
        name="never-vanishes",
        sentence="With identity skips the gradient will never vanish: in no network is the gradient at the input less "
        "than a millionth of that at the output.",
        source="The essay, second version, on gradient flow",
        side="essay",
        effect=_cancelling,
        prediction=AtLeast(1e-6),
        figure="cancelling",
        topic=_VANISHES,
        caveats=(
            "Shown on a network that is built for it: one of its branches is minus the identity.",
        ),
    ),
    Claim(
        name="can-be-cancelled",
        sentence="The sum can cancel: behind random blocks, with rectifiers, where one branch is minus the identity "
        "the gradient in front of it is exactly zero.",
        source="Counter-example; the essay's 1 is the identity matrix, and a matrix can be minus it",
        side="counter",
        effect=_cancelling,
        prediction=Identity(1e-12),
        figure="cancelling",
        topic=_VANISHES,
    ),
    Claim(
        name="not-for-all-samples",
        sentence="The branches' term is unlikely to be -1 for all samples of a mini-batch: at every block it cancels "
        "more than half of the direct term for at most half of the samples.",
        source=f"{_EQ5}, the argument below it",
        side="paper",
        effect=_cancelled,
        prediction=AtMost(0.5),
        figure="cancelled",
        topic=_VANISHES,
        caveats=("He et al. argue and do not prove; what counts as -1 is our reading.",),
    ),
    Claim(
        name="nor-without-skips",
        sentence="Vanishing is no privilege of networks without skips: with batch norm a tenth of the gradient or more "
        "reaches the first of 32 plain layers too, before training and after.",
        source="He et al. 2015, section 4.1: backward norms with batch norm are healthy",
        side="counter",
        effect=lambda evidence: effects.vanishing(evidence, "no shortcut"),
        prediction=AtLeast(0.1),
        scale="log",
        figure="trained",
        topic=_VANISHES,
    ),
)

SCALED = (
    Claim(
        name="half-shortcuts-vanish",
        sentence="Where shortcuts are halved the gradient vanishes exponentially: without norm, over 32 blocks, to a "
        "millionth or less.",
        source=f"{_EQ5} with h(x) = lambda x",
        side="paper",
        effect=_half_vanishes,
        prediction=AtMost(1e-6),
        scale="log",
        figure="start",
        topic=_SCALED,
    ),
    Claim(
        name="half-shortcuts-explode-with-bn",
        sentence="With batch norm in the branch it does not vanish there: it grows, its square by "
        "lambda^2 + (1 - lambda^2) / (1 - 1/pi) = 1.35 per block at lambda = 1/2.",
        source="Derived: between the plain network's 1.467 and no growth at lambda = 1",
        side="derived",
        effect=_half_grows,
        prediction=Near(half_rate(), 0.05, relative=True),
        scale="log",
        figure="start",
        topic=_SCALED,
        caveats=("A law of large widths and batches.",),
    ),
)

IDENTITY = (
    Claim(
        name="direct-term-is-the-gradient",
        sentence="Through identity shortcuts alone the gradient at the output comes back unchanged to the first block, "
        "before training and after.",
        source=_EQ5,
        side="paper",
        effect=_direct,
        prediction=Identity(1e-9),
        figure="direct",
        topic=_IDENTITY,
    ),
    Claim(
        name="relu-and-projection-break-it",
        sentence="A ReLU behind the addition or a linear map on the shortcut breaks this: what comes back through 32 "
        "such shortcuts has a cosine of at most 1/2 with the gradient at the output.",
        source="Derived; He et al. 2016, sections 2 and 3.1",
        side="counter",
        effect=effects.broken,
        prediction=AtMost(0.5),
        figure="direct",
        topic=_IDENTITY,
        caveats=("At initialisation.",),
    ),
)

WAY = (
    Claim(
        name="paths-are-a-geometric-series",
        sentence="The gradient is a sum of geometric terms: from length to length its share along the paths changes by "
        "one factor, the same from 0 to 1 branches as from 1 to 2, to within a factor of 1.5.",
        source="The essay, on gradient flow: a sum of geometric equations",
        side="essay",
        effect=effects.bend_of_shares,
        prediction=Equivalent(factor=1.5),
        scale="log",
        figure="paths",
        topic=_WAY,
        caveats=(
            "Our reading of the phrase; the law of independent branches, written before, says otherwise.",
            "At initialisation.",
        ),
    ),
    Claim(
        name="path-lengths",
        sentence="The gradient's paths are as long as independent branches make them: half of the blocks without norm, "
        "a handful with batch norm in the branch, about one with SkipInit.",
        source="Derived, Poisson-binomial; after Veit et al. 2016",
        side="derived",
        effect=effects.measured_lengths,
        prediction=Near(effects.path_lengths, 0.1, relative=True),
        figure="paths",
        unit="blocks",
        topic=_WAY,
        caveats=("At initialisation. Weighted by the squared gradient along each path.",),
    ),
    Claim(
        name="training-keeps-the-shortcut-share",
        sentence="Batch norm biases blocks to the identity and training leaves it so: the shortcut's mean share of the "
        "gradient stays within 0.1 of what it is at the start by theory.",
        source="De & Smith 2020 for the start; that it stays is the claim",
        side="derived",
        effect=_share_kept,
        prediction=Equivalent(0.1),
        figure="shares",
        topic=_WAY,
    ),
)

TABLE = (
    Claim(
        name="other-shortcuts-train-worse",
        sentence="No shortcut, a halved one, a projection and one with dropout all train worse than the identity at 32 "
        "blocks: at least half as much training loss again.",
        source="He et al. 2016, table 1",
        side="paper",
        effect=lambda e: effects.worse(e, ("no shortcut", "half", "projection", "dropout")),
        prediction=AtLeast(1.5),
        scale="log",
        figure="table",
        topic=_TABLE,
        caveats=(_RATES, _HE),
    ),
    Claim(
        name="gates-train-worse",
        sentence="Gated shortcuts, too, train worse than the identity even if they start almost open (bias -6): at "
        "least 10 % more training loss.",
        source="He et al. 2016, table 1: 8.70 % (exclusive) and 6.91 % (shortcut only) against 6.61 %",
        side="paper",
        effect=lambda e: effects.worse(e, ("shortcut gate", "exclusive gate")),
        prediction=AtLeast(1.1),
        scale="log",
        figure="table",
        topic=_TABLE,
        caveats=(_RATES, _HE),
    ),
    Claim(
        name="dropout-and-no-shortcut-fail",
        sentence="Without a shortcut, or with dropout on it, training fails: more than 20 % test error at 32 blocks.",
        source="He et al. 2016, table 1",
        side="paper",
        effect=_failures,
        prediction=AtMost(0.8),
        figure="accuracy",
        topic=_TABLE,
        caveats=(
            _RATES,
            _HE,
            "Short trainings; halved shortcuts, which fail too in the paper, are left out here.",
        ),
    ),
    Claim(
        name="an-open-gate-hardly-matters",
        sentence="A gate on the shortcut alone that starts almost open is nearly as good as the identity: within 5 "
        "points of test accuracy.",
        source="He et al. 2016, table 1: 6.91 % against 6.61 %",
        side="paper",
        effect=lambda e: behind(e, ("shortcut gate",), "identity"),
        prediction=Equivalent(0.05),
        figure="accuracy",
        topic=_TABLE,
        caveats=(_RATES, _HE),
    ),
    Claim(
        name="no-order-in-shallow-networks",
        sentence="In shallow networks there is no such order: at 4 blocks halved and projected shortcuts come within 3 "
        "points of the identity's test accuracy.",
        source="A replication with ResNet-20: 8.50 % and 8.43 % against 8.56 %",
        side="counter",
        effect=lambda e: behind(e, ("shallow half", "shallow projection"), "shallow identity"),
        prediction=Equivalent(0.03),
        figure="accuracy",
        topic=_TABLE,
        caveats=(_RATES,),
    ),
)

CLAIMS = (*VANISHING, *SCALED, *IDENTITY, *TABLE, *WAY)
