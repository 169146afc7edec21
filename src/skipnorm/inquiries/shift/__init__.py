"""Does batch norm reduce internal covariate shift, and does that matter?

Shift in the sense of distributions (Ioffe & Szegedy 2015), of gradients (Santurkar et al. 2018) and of what reaches
the output (Page 2019), in networks that learn.
"""

from skipnorm.inquiries.inquiry import Inquiry
from skipnorm.inquiries.shift.figures import CAPTIONS, FIGURES
from skipnorm.inquiries.shift.matters import CLAIMS as MATTERS
from skipnorm.inquiries.shift.reduces import CLAIMS as REDUCES
from skipnorm.inquiries.shift.study import study

__all__ = ["SHIFT"]

SHIFT = Inquiry(
    name="shift",
    question="Does batch norm reduce internal covariate shift, and does that matter?",
    method="Three kinds of networks in training, read at five moments on one batch that stays the same. Three "
    "layers of sigmoids in batches of 60, whose inputs are followed (as in Ioffe & Szegedy). Ten layers of ReLU by "
    "plain gradient descent, with and without batch norm, and with noise behind it or in its place. 25 linear layers "
    "of 10 x 10 that fit a random map, as published by Santurkar et al.: full batch, summed squares, rate 1e-7.\n\n"
    "G is a layer's gradient, G' the same once the layers below have taken the step of the training's own rate. "
    "Networks that are compared have the same weights to begin with, the same samples in the same order, and the same "
    "rate; in the comparison of losses, which are those of the last batches in training, each has the one of three "
    "rates at which its loss is lowest.",
    claims=(*REDUCES, *MATTERS),
    figures=FIGURES,
    study=study,
    captions=CAPTIONS,
    essay="Internal covariate shift is believed to harm training, but others have shown that it does not affect "
    "performance and that batch norm does not reduce it.",
    headline="gradients-shift-no-less",
    answers={
        "supported": "In the sense of gradients batch norm does not reduce shift by a fifth: at two rates a layer's "
        "gradient depends on the step of the layers below at least 0.8 times as much as without it.",
        "refuted": "In the sense of gradients batch norm does reduce shift in these networks: at one of two rates, or "
        "both, a layer's gradient depends on the step of the layers below by a fifth less or better.",
        "undecided": "Whether batch norm reduces the shift of gradients is left open by these networks: it depends on "
        "the rate, or on the seed.",
    },
)
