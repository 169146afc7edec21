"""What is claimed of scale, shift and the non-linearity: the essay, the papers, and what can be derived.

Predictions were written before the judged run.
"""

from __future__ import annotations

from skipnorm.inquiries.nonlinearity import effects, gradients
from skipnorm.inquiries.nonlinearity.unit_claims import UNITS
from skipnorm.verdicts import AtLeast, AtMost, Claim, Equivalent, Identity, Near

__all__ = ["CLAIMS"]

_ESSAY = "The essay, Better Use of Non-linearity"
_IOFFE = "Ioffe & Szegedy 2015, section 3"
_YANG = "Yang et al. 2019, section 5"
_NEAR_ZERO = "The sigmoid between -1 and 1"
_WEAK = "How weak is the non-linearity without scale and shift?"
_HARD = "Is a weak non-linearity bad?"
_BUY = "What scale and shift add to accuracy"
_STUCK = "Sigmoid networks"
_ONLY = "Training scale and shift alone"
_RATE = "Each network at the learning rate that is best on validation data."
_DIGITS = "Perceptrons of width 64 on digits: small beside the networks that the claim is about."

SIGMOID = (
    Claim(
        name="sigmoid-is-identity",
        sentence="Between -1 and 1 the sigmoid is the identity, to within 0.1.",
        source=f"{_ESSAY}: sigma(x) ~ x",
        side="essay",
        effect=effects.sigmoid_gap(0.0, 1.0),
        prediction=Identity(0.1),
        figure="sigmoid",
        topic=_NEAR_ZERO,
    ),
    Claim(
        name="sigmoid-is-affine",
        sentence="Between -1 and 1 the sigmoid is 1/2 + x/4, to within 0.019.",
        source="Derived: the tangent at 0",
        side="derived",
        effect=effects.sigmoid_gap(0.5, 0.25),
        prediction=Identity(0.019),
        figure="sigmoid",
        topic=_NEAR_ZERO,
    ),
    Claim(
        name="normalised-sigmoid-is-linear",
        sentence="Without scale and shift behind the norm a sigmoid network's units are all but linear: lines leave "
        "at most 5 % of their variance, before training and after.",
        source=_ESSAY,
        side="essay",
        effect=effects.unit_share("sigmoid"),
        prediction=AtMost(0.05),
        figure="use",
        caveats=("A normalised Gaussian gives 1.6 %; the input of a trained unit is none.",),
        topic=_WEAK,
    ),
    Claim(
        name="normalised-relu-is-not",
        sentence="A ReLU behind a norm without scale and shift is far from linear: lines leave at least 20 % of its "
        "units' variance, before training and after.",
        source="Derived: 1 - (1/4) / ((1 - 1/pi)/2) = 26.7 % on a normalised Gaussian",
        side="derived",
        effect=effects.unit_share("ReLU"),
        prediction=AtLeast(0.2),
        figure="use",
        topic=_WEAK,
    ),
    Claim(
        name="index-law",
        sentence="On Gaussian input the share of variance that a line leaves is the integral, for every gain and "
        "shift: to within 0.01.",
        source="Derived from Stein 1981",
        side="derived",
        effect=effects.index,
        prediction=Near(effects.index_law, 0.01),
        figure="index",
        topic=_WEAK,
    ),
    Claim(
        name="scale-and-shift-use-more",
        sentence="Given scale and shift, a trained sigmoid network uses more of its non-linearity: the share of "
        "variance that lines leave is at least half as large again.",
        source=f"{_ESSAY}; {_IOFFE}",
        side="essay",
        effect=effects.use_ratio,
        prediction=AtLeast(1.5),
        scale="log",
        figure="use",
        caveats=(_RATE, _DIGITS),
        topic=_WEAK,
    ),
)

TRAINING = (
    Claim(
        name="fitting-is-difficult",
        sentence="Without scale and shift a sigmoid network is harder to fit: its training loss ends at least half "
        "as high again.",
        source=_ESSAY,
        side="essay",
        effect=effects.fit_ratio,
        prediction=AtLeast(1.5),
        scale="log",
        figure="losses",
        caveats=(_RATE, _DIGITS),
        topic=_HARD,
    ),
    Claim(
        name="fitted-all-the-same",
        sentence="Without scale and shift a network fits its training data all the same: it loses at most 2 points "
        "of training accuracy.",
        source="Derived from Frankle et al. 2021, who lose 0.5 to 2 % of test accuracy",
        side="counter",
        effect=effects.accuracy_gain("training_accuracy"),
        prediction=AtMost(0.02),
        figure="accuracies",
        caveats=(_RATE, _DIGITS),
        topic=_HARD,
    ),
    Claim(
        name="more-gain-explodes-sooner",
        sentence="A weaker non-linearity helps depth: with tanh behind the norm the squared gradient grows per layer "
        "by at least 2 % more at gain 1 than at 0.1, and at gain 4 than at 1.",
        source=_YANG,
        side="counter",
        effect=gradients.tanh_growth_ratios,
        prediction=AtLeast(1.02),
        scale="log",
        figure="growth",
        caveats=("At initialisation; gains that learn do not stay small.",),
        topic=_HARD,
    ),
    Claim(
        name="small-gain-is-linear",
        sentence="At a gain of 0.1 it grows as in a network without activations, by (B - 2) / (B - 3).",
        source="Yang et al. 2019, theorem 8",
        side="paper",
        effect=gradients.small_gain_growth,
        prediction=Near(gradients.linear_growth(), 0.025, relative=True),
        scale="log",
        figure="growth",
        topic=_HARD,
    ),
    Claim(
        name="shift-tames-relu",
        sentence="A shift of 2, which makes most ReLUs linear, slows the growth per layer by at least 10 %.",
        source=_YANG,
        side="counter",
        effect=gradients.growth_ratio("ReLU, shift 0", "ReLU, shift 2"),
        prediction=AtLeast(1.1),
        scale="log",
        figure="growth",
        topic=_HARD,
    ),
    Claim(
        name="affine-adds-accuracy",
        sentence="Scale and shift add half a point to two points of test accuracy (ReLU).",
        source="Frankle et al. 2021, on CIFAR-10",
        side="paper",
        effect=effects.relu_accuracy_gain,
        prediction=Near(0.0125, 0.0075),
        figure="accuracies",
        caveats=(_RATE, "Four layers on digits, where little is left to gain; theirs are ResNets."),
        topic=_BUY,
    ),
    Claim(
        name="affine-is-dispensable",
        sentence="With or without scale and shift, test accuracy is the same to within 2 points.",
        source="Derived; a calibration with six-layer perceptrons found no difference",
        side="derived",
        effect=effects.accuracy_gain("test_accuracy"),
        prediction=Equivalent(0.02),
        figure="accuracies",
        caveats=(_RATE, _DIGITS),
        topic=_BUY,
    ),
    Claim(
        name="sigmoid-stays-at-chance",
        sentence="Without norm a six-layer sigmoid network stays at chance at every rate: at most 20 % of training "
        "samples right.",
        source="Ioffe & Szegedy 2015, section 4.2.2",
        side="paper",
        effect=effects.always_stuck,
        prediction=AtMost(0.2),
        figure="accuracies",
        caveats=("Rates of 0.03, 0.3 and 3; 150 updates, 300 at the full scale.",),
        topic=_STUCK,
    ),
    Claim(
        name="norm-frees-the-sigmoid",
        sentence="With batch norm the same network has at least 90 % of test samples right.",
        source="Ioffe & Szegedy 2015, section 4.2.2",
        side="paper",
        effect=effects.lifted,
        prediction=AtLeast(0.9),
        figure="accuracies",
        caveats=(_RATE,),
        topic=_STUCK,
    ),
    Claim(
        name="norms-alone-learn",
        sentence="Training scale and shift alone, in a network of random weights, gives a test accuracy of 80 % or "
        "more.",
        source="Frankle et al. 2021, on CIFAR-10",
        side="paper",
        effect=effects.norms_only,
        prediction=AtLeast(0.8),
        figure="alone",
        caveats=("Sixteen residual blocks; stem and head stay random too.", _RATE),
        topic=_ONLY,
    ),
    Claim(
        name="deeper-norms-learn-more",
        sentence="They do so the better the deeper the network is: sixteen blocks by at least 2 points above four.",
        source="Frankle et al. 2021, section 3",
        side="paper",
        effect=effects.deeper_norms,
        prediction=AtLeast(0.02),
        figure="alone",
        caveats=(_RATE,),
        topic=_ONLY,
    ),
)

CLAIMS = (*SIGMOID, *TRAINING, *UNITS)
