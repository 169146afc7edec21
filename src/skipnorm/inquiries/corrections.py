"""Where the essay is imprecise: what it says, what a reader should know beside it, and the claims that show it.

Politely: the essay is a diary of understanding, most of it stands, and where it doubts it is often right. Read without
torch; a test proves that every claim named here exists.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CORRECTIONS", "Correction"]


@dataclass(frozen=True)
class Correction:
    """One statement of the essay that is imprecise, or that asks for a word more.

    Args:
        statement: what the essay says, in our words; in quotation marks where its wording is the point.
        where: in which version of the essay, and in which section.
        problem: what is imprecise about it, and what holds instead.
        claims: pairs of an inquiry's name and a claim's name whose evidence shows it; none where it is a
            matter of citation or of algebra.
    """

    statement: str
    where: str
    problem: str
    claims: tuple[tuple[str, str], ...] = ()


def _shown(inquiry: str, *claims: str) -> tuple[tuple[str, str], ...]:
    return tuple((inquiry, claim) for claim in claims)


_BOTH, _FIRST, _SECOND = "Both versions", "First version", "Second version"

CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        "The better use of the non-linearity is cited as [3].",
        f"{_BOTH}, Better Use of Non-linearity",
        "[3] in the list is Balduzzi et al., on shattered gradients. The argument about scale, shift and the sigmoid "
        "is that of Ioffe & Szegedy 2015, [1] in the list.",
    ),
    Correction(
        "Gradient correlation, and Balduzzi et al., are cited as [2].",
        f"{_FIRST}, Gradient Correlation",
        "[2] in the list is Santurkar et al., on how batch norm helps; Balduzzi et al. are [3].",
    ),
    Correction(
        "The gradient of the first of N layers is a product of the derivatives of each output by its own weights.",
        f"{_BOTH}, Improving Numerical Stability",
        "Derivatives by weights do not chain. What is multiplied are the derivatives of each layer's output by its "
        "input; only the last factor is one by weights, those of the first layer. The conclusion, a long product, "
        "stands.",
        _shown("stability", "chain-as-printed", "chain-corrected"),
    ),
    Correction(
        "The gradient of one layer with a squared error is output times input times the slope of the activation, and "
        "the network is a linear one.",
        f"{_SECOND} (gradient), both versions (linear), Improving Numerical Stability",
        "The target has been lost, and with it the shape: it is the error, output minus target, times the slope, times "
        "the input transposed, as the first version has it. And a layer with an activation is not linear.",
        _shown("stability", "one-layer-without-target", "one-layer-gradient"),
    ),
    Correction(
        "The product over layers tends to 0 or to infinity.",
        f"{_BOTH}, Improving Numerical Stability",
        "So it does in the typical network, whose gain drifts even at the critical initialisation. Yet there the mean "
        "of the squared gain over draws is exactly 1: the gain is close to log-normal, and the mean is carried by few "
        "draws. Which of the two is meant has to be said.",
        _shown(
            "stability",
            "product-leaves-scale",
            "off-critical-products",
            "mean-gain-is-one",
            "critical-products-stay",
            "log-gain-variance",
        ),
    ),
    Correction(
        "Batch norm restricts the input to any Gaussian distribution, and so mends the instability of input and slope.",
        f"{_BOTH}, Improving Numerical Stability",
        "It sets two moments of every unit and no more: the shape of the distribution is left as it is. It steadies "
        "the signal; in a plain network it also makes the gradient explode, at a rate that theory predicts.",
        (
            _shown(
                "stability",
                "bn-keeps-the-signal",
                "bn-keeps-the-gradient",
                "bn-causes-explosion",
                "bn-relu-rate",
            )
            + _shown("identical", "gaussian-units", "shape-untouched")
        ),
    ),
    Correction(
        "Batch norm guarantees the second I of IID, which may make networks generalise better.",
        f"{_BOTH}, Alleviating Internal Covariate Shift",
        "For fixed weights, inputs that are independent and identically distributed give activations that are so too, "
        "without any norm. What batch norm equalises are two moments over time and over units, and it makes the "
        "samples of a batch depend on each other, which weakens the first I. No source is known for the step to "
        "generalisation.",
        _shown(
            "identical",
            "identical-without-norm",
            "bn-couples-samples",
            "less-identical-in-use",
            "identity-does-not-tell",
        ),
    ),
    Correction(
        "Others have shown that covariate shift does not affect performance, and that batch norm does not reduce it.",
        f"{_BOTH}, Alleviating Internal Covariate Shift",
        "Santurkar et al. are more careful: they call the link tenuous, and say that batch norm might not reduce the "
        "shift. Page 2019 reads the same facts the other way: shifts of the output's mean are the sharp directions "
        "that batch norm removes.",
        _shown(
            "shift",
            "gradients-shift-no-less",
            "gradients-shift-less",
            "shift-does-not-matter",
            "shift-is-harmful",
            "norm-holds-the-output",
        ),
    ),
    Correction(
        "By a smoother landscape batch norm avoids sharp minima, which generalise poorly.",
        f"{_FIRST}, Smoother Loss Landscape",
        "Sharp minima are not in the paper that is cited there. How sharp the end point is follows from the learning "
        "rate (the edge of stability, 2 over the rate, with batch norm and without), and sharpness of weights "
        "before a norm depends on their scale.",
        _shown(
            "rates",
            "bn-avoids-sharp-minima",
            "bn-is-as-sharp",
            "edge-with-bn",
            "the-rate-makes-it-flat",
            "raw-sharpness-tells-nothing",
        ),
    ),
    Correction(
        "On (-1, 1) the sigmoid is x: almost an identity.",
        f"{_BOTH}, Better Use of Non-linearity",
        "It is 1/2 + x/4 to first order: nearly affine, with a quarter of the slope and an offset. That it is nearly a "
        "straight line is right, and it is what the argument needs.",
        _shown("nonlinearity", "sigmoid-is-identity", "sigmoid-is-affine"),
    ),
    Correction(
        "Without scale and shift the non-linearity would be weak and fitting difficult.",
        f"{_BOTH}, Better Use of Non-linearity",
        "For the sigmoid it is weak indeed (1.6 % of the variance of its output on a standard Gaussian input is not "
        "affine), for ReLU it is not (27 %). Taking scale and shift away costs little, in the literature 0 to 2 % of "
        "accuracy: the next layer's weights can make up for them.",
        _shown(
            "nonlinearity",
            "normalised-sigmoid-is-linear",
            "normalised-relu-is-not",
            "fitting-is-difficult",
            "affine-is-dispensable",
        ),
    ),
    Correction(
        "With ReLU all neurons may be active, or all inactive.",
        f"{_BOTH}, Better Use of Non-linearity",
        "Units that are always on or always off are found in deep networks without batch norm, more of them with "
        "depth. With batch norm in front of the activation and no shift they cannot be: every unit has mean 0 over the "
        "batch.",
        _shown("nonlinearity", "all-or-nothing", "one-sided-by-depth", "never-with-norm"),
    ),
    Correction(
        "Experiments have shown that batch norm behind the activation can be better.",
        f"{_BOTH}, Better Use of Non-linearity",
        "They have, for one network (CaffeNet on small images: 49.9 % against 47.8 %); for another, by the same "
        "author, and for residual networks it is the other way round. It depends on the architecture, as the word "
        "sometimes allows.",
        _shown("placement", "after-can-improve", "before-is-better", "deep-plain-before"),
    ),
    Correction(
        "With skips the gradient is a sum of “geometric equations” and (second version) never vanishes.",
        f"{_BOTH}, Smoother Gradient Flow",
        "The 1 in the bracket is the identity matrix, and the sum runs over paths: it is additive, no geometric "
        "series. It needs shortcuts that are exact identities and nothing behind the addition; and a sum can cancel. "
        "That it does not vanish in practice is right, “never” is too strong.",
        _shown(
            "flow",
            "paths-are-a-geometric-series",
            "never-vanishes",
            "can-be-cancelled",
            "half-shortcuts-vanish",
            "relu-and-projection-break-it",
        ),
    ),
    Correction(
        "Degradation means that a deeper network does worse on the test set.",
        f"{_BOTH}, Solving the Network Degradation Problem",
        "He et al. speak of the training error, and that is the point: a deeper network could copy the shallower one "
        "and does not, so that over-fitting is ruled out.",
        _shown("degradation", "deeper-tests-worse", "deeper-trains-worse", "not-overfitting"),
    ),
    Correction(
        "He et al. claimed to have solved degradation, whose cause is that layers fail to become the identity.",
        f"{_BOTH}, Solving the Network Degradation Problem",
        "They offer it as a hypothesis, consider vanishing gradients unlikely to be the cause, and report that 1202 "
        "layers still test worse than 110. The essay's own question, whether that is the cause, is the right one: an "
        "initialisation near the identity suffices.",
        _shown(
            "degradation",
            "handed-identity-holds",
            "plain-learns-identity",
            "near-identity-suffices",
            "identity-start-does-not-degrade",
        ),
    ),
    Correction(
        "Shattered gradients are defined as what undermines momentum and acceleration.",
        f"{_FIRST}, Gradient Correlation",
        "That is a consequence which Balduzzi et al. name. What they define is a loss of structure: gradients at "
        "neighbouring points become as unlike as white noise.",
        _shown("shattering", "deep-gradients-are-white", "shattering-undermines-momentum"),
    ),
    Correction(
        "A higher autocorrelation leads to higher performance.",
        f"{_FIRST}, Gradient Correlation",
        "Balduzzi et al. state no such law, and there are counter-examples: a deep residual network with neither norm "
        "nor scale keeps a higher autocorrelation than one with batch norm, and diverges.",
        _shown(
            "shattering",
            "acf-predicts-performance",
            "acf-misleads",
            "acf-ranks-plain-above-residual",
        ),
    ),
    Correction(
        "Their proof rests on very strong assumptions and is not entirely convincing.",
        f"{_FIRST}, Gradient Correlation",
        "Here the essay is right, and it can be said by how much: the proof needs that two samples are both on at a "
        "unit a quarter of the time. With batch norm they nearly are, without it the share rises with depth towards a "
        "half.",
        _shown(
            "shattering", "assumption-is-strong", "assumption-holds-with-norm", "co-activation-law"
        ),
    ),
)
"""In the order in which they come up in the essay."""
