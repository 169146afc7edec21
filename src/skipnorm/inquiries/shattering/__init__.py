"""Are gradients shattered: by depth, by norms, and what do skips do about it?

So far the part that needs no training: networks at initialisation, where theory says what to expect.
"""

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
    "other draws and before the draws that are judged.",
    claims=CLAIMS,
    figures=FIGURES,
    study=study,
    captions=CAPTIONS,
)
