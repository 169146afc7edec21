"""What is claimed of where the norm belongs: the essay, the papers, and what can be derived.

Predictions were written before the judged run.
"""

from __future__ import annotations

from skipnorm.inquiries.placement import effects
from skipnorm.verdicts import AtLeast, Claim, Equivalent, Near

__all__ = ["CLAIMS"]

_HE = "He et al. 2016 (identity mappings), table 2"
_PAGE = "Page 2019"
_ORDER = "Before the activation or after it?"
_FROZEN = "Frozen statistics"
_FIVE = "The five placements in a residual block"
_SIGNAL = "Signal and gradient by placement"
_RATE = "Each network at the learning rate that is best on validation data."
_SHALLOW = (
    "Four blocks, eight layers, on digits; the published order is of 110 layers on CIFAR-10, and replications with "
    "20 layers found none of its kind."
)
_DRAWN = "At initialisation, wide networks."

PLAIN = (
    Claim(
        name="after-can-improve",
        sentence="Batch norm after the activation can improve a network: in a small convnet test accuracy is better "
        "by half a point or more.",
        source="The essay, Better Use of Non-linearity; caffenet-benchmark (Mishkin): 49.3 to 49.9 % against 47.4 to "
        "47.8 % on ImageNet",
        side="essay",
        effect=effects.accuracy_lead("convnet", of_after=True),
        prediction=AtLeast(0.005),
        figure="order",
        caveats=(
            "Three layers on MNIST-1D, 150 updates, 300 at the full scale: what trains faster leads.",
            _RATE,
        ),
        topic=_ORDER,
    ),
    Claim(
        name="before-is-better",
        sentence="Batch norm belongs right before the activation: test accuracy is better by half a point or more, in "
        "perceptrons and in a convnet.",
        source="Ioffe & Szegedy 2015, section 3.2; caffenet-benchmark (Mishkin): GoogLeNet 60.3 against 59.6 %",
        side="paper",
        effect=effects.accuracy_lead("4 layers", "convnet", of_after=False),
        prediction=AtLeast(0.005),
        figure="order",
        caveats=(_RATE,),
        topic=_ORDER,
    ),
    Claim(
        name="placement-is-equal",
        sentence="In a perceptron of four layers it makes no difference: test accuracies are equal to within 2 "
        "points, with scale and shift and without.",
        source="Derived; a calibration with six layers found no difference",
        side="derived",
        effect=effects.accuracy_lead("4 layers", "4 layers, no scale and shift", of_after=True),
        prediction=Equivalent(0.02),
        figure="order",
        caveats=(_RATE,),
        topic=_ORDER,
    ),
    Claim(
        name="deep-plain-before",
        sentence="In a plain perceptron of sixteen layers before is better, by half a point or more.",
        source="Seen while trying out this inquiry, with other seeds",
        side="derived",
        effect=effects.accuracy_lead("16 layers", of_after=False),
        prediction=AtLeast(0.005),
        figure="order",
        caveats=(_RATE,),
        topic=_ORDER,
    ),
    Claim(
        name="affine-by-placement",
        sentence="Scale and shift make no difference of 2 points to test accuracy, wherever the norm stands.",
        source="caffenet-benchmark (Mishkin): 0.4 points for, 0.6 points against",
        side="derived",
        effect=effects.accuracy_by_affine,
        prediction=Equivalent(0.02),
        figure="affine",
        caveats=(_RATE,),
        topic=_ORDER,
    ),
    Claim(
        name="same-explosion",
        sentence="For the gradient of a plain network the place of the norm does not matter: it grows by the same "
        "rate per layer, that of theory, to within 3 %.",
        source="Derived from Yang et al. 2019, eq. 25",
        side="derived",
        effect=effects.plain_growths,
        prediction=Near(effects.relu_growth, 0.03, relative=True),
        scale="log",
        figure="growth",
        caveats=(_DRAWN,),
        topic=_SIGNAL,
    ),
    Claim(
        name="after-centres",
        sentence="What enters a matrix has mean 0 where the norm stands after the ReLU; where it stands before, 1/pi "
        "of it is common to all samples: both to within 0.02.",
        source=f"{_PAGE}; the share derived",
        side="paper",
        effect=effects.centred,
        prediction=Near(effects.centred_law, 0.02),
        figure="shared",
        caveats=(_DRAWN,),
        topic=_SIGNAL,
    ),
    Claim(
        name="frozen-after-is-stabler",
        sentence="Frozen batch norms are more stable after the activation than before: they bear rates at least "
        "half as large again.",
        source=_PAGE,
        side="paper",
        effect=effects.stable_ratio,
        prediction=AtLeast(1.5),
        scale="log",
        figure="stable",
        caveats=(
            "Frozen from the start on one batch, four layers, rates of 0.03 to 0.24 by factors of two; Page froze a "
            "ResNet.",
        ),
        topic=_FROZEN,
    ),
    Claim(
        name="moving-statistics-stabilise",
        sentence="It is statistics of the batch that allow large rates: with them training bears rates at least half "
        "as large again as with frozen ones, wherever the norm stands.",
        source=f"Derived from {_PAGE}",
        side="derived",
        effect=effects.moving_lead,
        prediction=AtLeast(1.5),
        scale="log",
        figure="stable",
        caveats=(
            "Rates of 0.03 to 0.3 where statistics move: a lower bound, which can support the claim. Where frozen "
            "norms bear 0.24 as well, the two grids cannot tell.",
        ),
        topic=_FROZEN,
    ),
)

RESIDUAL = (
    Claim(
        name="full-preactivation-is-best",
        sentence="Full pre-activation is the best of the five: test accuracy is better than with every other, by 0.2 "
        "points or more.",
        source=f"{_HE}: 6.37 % error against 6.61 to 8.17 %",
        side="paper",
        effect=effects.preactivation_lead,
        prediction=AtLeast(0.002),
        figure="five",
        caveats=(_SHALLOW, _RATE),
        topic=_FIVE,
    ),
    Claim(
        name="norm-after-addition-is-worse",
        sentence="With the norm after the addition test accuracy is worse than with the original block, by half a "
        "point or more.",
        source=f"{_HE}: 8.17 % error against 6.61 %",
        side="paper",
        effect=effects.loss_of_accuracy("norm-after-addition", "original"),
        prediction=AtLeast(0.005),
        figure="five",
        caveats=(_SHALLOW, _RATE),
        topic=_FIVE,
    ),
    Claim(
        name="act-before-addition-is-worse",
        sentence="With the ReLU before the addition test accuracy is worse than with the original block, by half a "
        "point or more.",
        source=f"{_HE}: 7.84 % error against 6.61 %",
        side="paper",
        effect=effects.loss_of_accuracy("act-before-addition", "original"),
        prediction=AtLeast(0.005),
        figure="five",
        caveats=(_SHALLOW, _RATE),
        topic=_FIVE,
    ),
    Claim(
        name="norm-after-addition-fits-worse",
        sentence="With the norm after the addition training data are harder to fit: the training loss ends at least "
        "half as high again as with the original block.",
        source="He et al. 2016 (identity mappings), section 4.1 and figure 6",
        side="paper",
        effect=effects.fit_ratio,
        prediction=AtLeast(1.5),
        scale="log",
        figure="fits",
        caveats=(_SHALLOW, _RATE),
        topic=_FIVE,
    ),
    Claim(
        name="no-order-when-shallow",
        sentence="In shallow networks there is no order: test accuracies are those of the original block to within 2 "
        "points.",
        source="Replications with ResNet-20, second-hand",
        side="counter",
        effect=effects.accuracy_by_placement,
        prediction=Equivalent(0.02),
        figure="five",
        caveats=(_RATE,),
        topic=_FIVE,
    ),
    Claim(
        name="gradient-laws",
        sentence="Where nothing stands on the shortcut the squared gradient grows over ten blocks as a product "
        "foretells: 49 times with full pre-activation, 84 with ReLU-only pre-activation, 19 with the ReLU before "
        "the addition; to within 10 %.",
        source="Derived, see the module laws",
        side="derived",
        effect=effects.gradient_ratios,
        prediction=Near(effects.gradient_law, 0.1, relative=True),
        scale="log",
        figure="gradients",
        caveats=(_DRAWN,),
        topic=_SIGNAL,
    ),
    Claim(
        name="norm-after-addition-impedes",
        sentence="A norm after the addition stands on the shortcut and impedes propagation: in the second half of the "
        "network the squared gradient grows per block by at least 10 % more than with full pre-activation.",
        source="He et al. 2016 (identity mappings), section 4.1",
        side="paper",
        effect=effects.late_growth_ratio,
        prediction=AtLeast(1.1),
        scale="log",
        figure="gradients",
        caveats=(_DRAWN,),
        topic=_SIGNAL,
    ),
    Claim(
        name="signal-only-rises",
        sentence="With the ReLU before the addition branches are never negative and the signal only rises: its squared "
        "channel mean is L^2 / (2 pi) behind L blocks, to within 10 %.",
        source="He et al. 2016 (identity mappings), section 4.1; the law derived",
        side="paper",
        effect=effects.risen_mean,
        prediction=Near(effects.risen_mean_law, 0.1, relative=True),
        scale="log",
        figure="means",
        caveats=(_DRAWN,),
        topic=_SIGNAL,
    ),
)

CLAIMS = (*PLAIN, *RESIDUAL)
