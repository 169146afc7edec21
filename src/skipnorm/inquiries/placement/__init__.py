"""Where does the norm belong? Before or after the activation, inside the branch or outside."""

from skipnorm.inquiries.inquiry import Inquiry
from skipnorm.inquiries.placement.claims import CLAIMS
from skipnorm.inquiries.placement.figures import CAPTIONS, FIGURES
from skipnorm.inquiries.placement.study import study

__all__ = ["PLACEMENT"]

PLACEMENT = Inquiry(
    name="placement",
    question="Where does the norm belong: before the activation or after, inside the branch or outside?",
    method="Perceptrons of four and sixteen layers on digits and a small convnet on MNIST-1D, with batch norm before "
    "the activation or after it, with scale and shift and without; and residual perceptrons with the five placements "
    "of He et al. 2016. Each is compared at the learning rate that is best for it on validation data.\n\n"
    "Frozen norms keep the mean and variance of one batch of the network as it is drawn; scale and shift go on "
    "learning. Their stability is the largest rate of a grid by factors of two up to which training does not "
    "diverge.\n\n"
    "Signal and gradient are read of bare blocks as they are drawn, 24 draws or more, the loss an inner product with "
    "random covectors; growth is that of the squared norm, towards the input.",
    claims=CLAIMS,
    figures=FIGURES,
    study=study,
    captions=CAPTIONS,
    essay="Batch norm after the activation can sometimes improve a network, so that better use of the non-linearity "
    "might not be its most important contribution.",
    headline="after-can-improve",
    answers={
        "supported": "After the activation it improves a small convnet by half a point of test accuracy or more.",
        "refuted": "After the activation it does not improve a small convnet by half a point of test accuracy.",
        "undecided": "Whether it improves a small convnet after the activation, by half a point of test accuracy, was "
        "not settled with these seeds.",
    },
)
