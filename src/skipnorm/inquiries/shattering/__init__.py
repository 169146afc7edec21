"""Are gradients shattered: by depth, by norms, what do skips do about it, and does it matter for learning?"""

from skipnorm.inquiries.inquiry import Inquiry
from skipnorm.inquiries.shattering.claims import CLAIMS
from skipnorm.inquiries.shattering.figures import CAPTIONS, FIGURES
from skipnorm.inquiries.shattering.study import study

__all__ = ["SHATTERING"]

SHATTERING = Inquiry(
    name="shattering",
    question="Are gradients shattered with depth, and do skips mend them?",
    method="Networks at initialisation, with He weights, no biases in the blocks and no epsilon. On a line: one input, "
    "a first layer with random biases, 256 points from -2 to 2, 200 units; the autocorrelation of df/dx over the "
    "points, as Balduzzi et al. 2017 take it. Between samples: Gaussian inputs, one random covector for all; the mean "
    "cosine between the input gradients of two samples. Statistics of batch norm are constants of the backward pass, "
    "without which a sample's gradient is not defined.\n\n"
    "One draw of weights is read at all its depths. Predictions and tolerances were written after a calibration on "
    "other draws and before the draws that are judged.\n\n"
    "Learners: perceptrons of 16 blocks on digits, taught with and without momentum, each at the best of three "
    "learning rates; their gradients are read before, along segments between samples and between parts of a batch.",
    claims=CLAIMS,
    figures=FIGURES,
    study=study,
    captions=CAPTIONS,
    essay="ResNets relieve the shattered gradient problem: skips raise the autocorrelation of gradients, and a higher "
    "one leads to higher performance; the proof rests on very strong assumptions.",
    headline="skips-raise-acf",
    answers={
        "supported": "With batch norm, yes: over 10 and 24 layers skips raise the autocorrelation of gradients by 0.1 "
        "or more. Without a norm, and whether it matters for learning, are questions of their own, asked below.",
        "refuted": "Even with batch norm, skips do not raise the autocorrelation of deep gradients by 0.1.",
        "undecided": "Whether skips raise the autocorrelation of deep networks' gradients is left open by these draws.",
    },
)
