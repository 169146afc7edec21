"""What the essay and the papers say that rescaling brings: which technique, and against which other."""

from __future__ import annotations

from skipnorm.inquiries.rescaling import comparisons
from skipnorm.inquiries.rescaling.census_claims import CENSUS
from skipnorm.inquiries.rescaling.effects import gains, loss_ratio, losses
from skipnorm.verdicts import AtLeast, AtMost, Claim, Equivalent

__all__ = ["CLAIMS"]

_RAO = "Rao & Sohl-Dickstein 2020"
_SANTURKAR = "Santurkar et al. 2018"
_START = "At initialisation; mean over four draws a seed."
_SMALL = (
    "Eight layers of 32 channels on digits of 8 x 8 pixels, taught for a few passes over the data."
)
_FITTED = (
    "Steps are multiples of the gradient: where the loss is nearly 0 its range is small for that alone, so that this "
    "is also a matter of who has learned most."
)
_COARSE = "A grid of few rates, by factors of about 3."


def _claim(name: str, topic: str, sentence: str, source: str, side: str, **rest: object) -> Claim:
    return Claim(name=name, topic=topic, sentence=sentence, source=source, side=side, **rest)  # type: ignore[arg-type]


_ALL = "what batch norm brings"
_SMOOTH, _SHARP = "which norms smooth the loss", "sharpness at the start"
_RATES, _REPLACE = "larger learning rates", "can batch norm be replaced?"
_PARTS, _APART = "which part of a norm matters", "what keeps samples apart"

CLAIMS = (
    _claim(
        "batch-brings-all",
        _ALL,
        "In a plain network batch norm brings every benefit of the essay's that is read here: gradients keep their "
        "scale, units see both sides of their kink, the loss is smoother, more rates are usable, and the loss ends "
        "lower.",
        "The essay, Possible Advantages of Batch Normalization",
        "essay",
        effect=comparisons.all_listed,
        prediction=AtLeast(comparisons.margins),
        figure="plain",
        caveats=("A case for each benefit, all of which must hold.", _SMALL),
    ),
    _claim(
        "batch-explodes-most",
        _ALL,
        "Without skips batch norm costs what it should bring: the gradient drifts farther than with layer, group or "
        "RMS norm or with none, by 0.15 decades or more over eight layers.",
        _RAO,
        "counter",
        effect=comparisons.explosion,
        prediction=AtLeast(0.15),
        figure="gradients",
        unit="decades",
        caveats=(_START, "They found it in 26 layers; the drift adds up with depth."),
    ),
    _claim(
        "skips-level-the-norms",
        _ALL,
        "With skips gradients drift with batch norm as they do with layer norm, within 0.3 decades.",
        _RAO,
        "paper",
        effect=comparisons.explosion_behind_skips,
        prediction=Equivalent(0.3),
        figure="gradients",
        unit="decades",
        caveats=(_START,),
    ),
    _claim(
        "batch-smooths",
        _SMOOTH,
        "Batch norm smooths the loss: along the gradient it ranges over a third or less of what it does without.",
        f"The essay, Smoother Loss Landscape; {_SANTURKAR}, figure 4a",
        "essay",
        effect=comparisons.batch_range,
        prediction=AtLeast(3.0),
        scale="log",
        figure="ranges",
        caveats=("When training ends, each network at its best rate.", _FITTED, _SMALL),
    ),
    _claim(
        "others-smooth-too",
        _SMOOTH,
        "That is nothing that batch norm alone does: layer, group and RMS norm halve the range of the loss as well.",
        f"{_SANTURKAR}, section 3.3 (norms of other powers smooth too); Rao & Sohl-Dickstein 2020",
        "counter",
        effect=comparisons.other_ranges,
        prediction=AtLeast(2.0),
        scale="log",
        figure="ranges",
        caveats=("They replaced the variance by other powers, the batch stayed.", _FITTED, _SMALL),
    ),
    _claim(
        "batch-is-sharpest",
        _SHARP,
        "At initialisation and without skips batch norm has the largest top eigenvalue of all: by a quarter or more "
        "above layer, group and RMS norm and none.",
        _RAO,
        "paper",
        effect=comparisons.sharpness_over_others,
        prediction=AtLeast(1.25),
        scale="log",
        figure="sharpness",
        caveats=("Theirs has 26 layers: what is found in eight need not hold there.",),
    ),
    _claim(
        "batch-flattens",
        _SHARP,
        "Batch norm at least halves the top eigenvalue at initialisation.",
        "The essay, Smoother Loss Landscape; Page 2019; a calibration of ours on perceptrons of eight layers",
        "essay",
        effect=comparisons.sharpness_removed,
        prediction=AtLeast(2.0),
        scale="log",
        figure="sharpness",
        caveats=("The statistics of the batch are active.",),
    ),
    _claim(
        "batch-learns-at-more-rates",
        _RATES,
        "With batch norm a network learns at more learning rates: at one taken from the grid at random the test loss "
        "is lower by 0.2 nats or more.",
        "The essay, Smoother Loss Landscape; Bjorck et al. 2018",
        "essay",
        effect=comparisons.batch_at_any_rate,
        prediction=AtLeast(0.2),
        figure="rates",
        unit="nats",
        caveats=(
            _SMALL,
            _COARSE,
            "A loss counts at most as much as a guess, so that divergence has a number.",
        ),
    ),
    _claim(
        "others-learn-at-more-rates",
        _RATES,
        "So it does with techniques that know no batch: layer norm, group norm, standardised weights, SkipInit.",
        f"{_RAO}; De & Smith 2020; Brock et al. 2021",
        "counter",
        effect=comparisons.others_at_any_rate,
        prediction=AtLeast(0.2),
        figure="rates",
        unit="nats",
        caveats=(
            _SMALL,
            _COARSE,
            "A loss counts at most as much as a guess, so that divergence has a number.",
        ),
    ),
    _claim(
        "residual-needs-batch-norm",
        _REPLACE,
        "A residual network learns better with batch norm than without any rescaling: test loss is lower by a fifth.",
        "He et al. 2015, section 3.4 (batch norm after each convolution); Ioffe & Szegedy 2015",
        "paper",
        effect=lambda evidence: loss_ratio(evidence, "residual", "none", "batch"),
        prediction=AtLeast(1.25),
        scale="log",
        figure="losses",
        caveats=(_SMALL,),
    ),
    _claim(
        "skipinit-replaces-it",
        _REPLACE,
        "Batch norm can be left out: one learned number per branch, near 0 at the start, does as well in a residual "
        "network (test loss at most a quarter higher).",
        "De & Smith 2020",
        "counter",
        effect=lambda evidence: loss_ratio(evidence, "residual", "SkipInit", "batch"),
        prediction=AtMost(1.25),
        scale="log",
        figure="losses",
        caveats=(_SMALL,),
    ),
    _claim(
        "standardised-weights-replace-it",
        _REPLACE,
        "Standardised weights with scaled branches do as well as batch norm in a residual network.",
        "Brock et al. 2021 (normaliser-free networks)",
        "counter",
        effect=lambda evidence: loss_ratio(evidence, "residual", "weights", "batch"),
        prediction=AtMost(1.25),
        scale="log",
        figure="losses",
        caveats=(_SMALL, "A norm of weights is still a norm: no evidence that none is needed."),
    ),
    _claim(
        "layer-norm-replaces-it",
        _REPLACE,
        "Layer norm, which knows no batch, does as well as batch norm in a residual network.",
        f"{_RAO} (PreLayerNorm)",
        "counter",
        effect=lambda evidence: loss_ratio(evidence, "residual", "layer", "batch"),
        prediction=AtMost(1.25),
        scale="log",
        figure="losses",
        caveats=(_SMALL,),
    ),
    _claim(
        "group-norm-is-near",
        _PARTS,
        "Group norm does as well as batch norm, within a quarter of the test loss, in a plain network.",
        "Wu & He 2018 (ResNet-50: 24.1 against 23.6 % error at batches of 32)",
        "paper",
        effect=lambda evidence: loss_ratio(evidence, "plain", "group", "batch"),
        prediction=AtMost(1.25),
        scale="log",
        figure="losses",
        caveats=(_SMALL, "Groups of four channels; theirs is a residual network."),
    ),
    _claim(
        "instance-norm-is-worse",
        _PARTS,
        "Instance norm, which forgets a channel's mean and size in each sample, ends with a higher test loss than "
        "group norm, by a tenth or more.",
        "Wu & He 2018, table 1 (28.4 against 24.1 % error)",
        "paper",
        effect=lambda evidence: loss_ratio(evidence, "plain", "instance", "group"),
        prediction=AtLeast(1.1),
        scale="log",
        figure="losses",
        caveats=(_SMALL, "Series of eight positions: statistics of few numbers."),
    ),
    _claim(
        "centring-is-dispensable",
        _PARTS,
        "RMS norm, which does not centre, does as well as layer norm: test losses agree within a quarter.",
        "Zhang & Sennrich 2019",
        "paper",
        effect=lambda evidence: (
            losses(evidence, "plain", "RMS") / losses(evidence, "plain", "layer")
        ),
        prediction=Equivalent(factor=1.25),
        scale="log",
        figure="losses",
        caveats=(_SMALL, "They look at residual networks for language."),
    ),
    _claim(
        "batch-keeps-samples-apart",
        _APART,
        "Only what centres over the batch keeps samples apart: behind eight layers the mean cosine between two of them "
        "is lower by 0.1 or more with batch norm than with layer norm, RMS norm or none.",
        f"{_RAO} (the mean over the batch is what decorrelates)",
        "paper",
        effect=comparisons.batch_apart,
        prediction=AtLeast(0.1),
        figure="apart",
        caveats=(_START,),
    ),
    _claim(
        "centred-weights-keep-samples-apart",
        _APART,
        "It needs no batch: weights with mean 0 keep samples apart as well, by 0.1 or more against none.",
        "Brock et al. 2021, section 4 (the mean shift of ReLU networks)",
        "counter",
        effect=lambda evidence: gains(evidence, "plain", "apart", ["weights"]).isel(
            case=0, drop=True
        ),
        prediction=AtLeast(0.1),
        figure="apart",
        caveats=(_START,),
    ),
    _claim(
        "batch-steadies-inputs",
        "what a layer receives",
        "With batch norm the inputs of a layer move less in training, by a fifth or more of their first spread.",
        "The essay, Alleviating Internal Covariate Shift; Ioffe & Szegedy 2015, section 2",
        "essay",
        effect=comparisons.batch_steadies,
        prediction=AtLeast(1.25),
        scale="log",
        figure="shifts",
        caveats=("Each network at its own best rate: with larger rates more moves.", _SMALL),
    ),
    *CENSUS,
)
"""In the order of the matrix; rivals of a topic side by side."""
