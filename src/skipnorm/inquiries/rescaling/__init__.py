"""Which technique brings which benefit, and how common are norms and skips?

The summary of the page: every technique in the same small network, plain and residual, and all the mechanisms that the
essay and its critics name, each by one number.
"""

from skipnorm.inquiries.inquiry import Inquiry
from skipnorm.inquiries.rescaling.claims import CLAIMS
from skipnorm.inquiries.rescaling.figures import CAPTIONS, FIGURES
from skipnorm.inquiries.rescaling.study import study

__all__ = ["RESCALING"]

RESCALING = Inquiry(
    name="rescaling",
    question="Which technique brings which benefit, and how common are norms and skips?",
    method="One convolutional network of eight blocks and 32 channels, plain and residual, on scikit-learn's digits "
    "read from left to right (eight columns, a channel for each row), with each technique in turn: batch, layer, "
    "group, instance and RMS norm, standardised weights, SkipInit, none.\n\n"
    "At initialisation six mechanisms are read of four draws a seed, on a batch of 64: drift of signal and gradient, "
    "likeness of samples, agreement of gradients, how one-sided units are, top eigenvalue (of one draw). Taught by SGD "
    "with momentum at a grid of rates, each network is compared at its best, by test loss, loss range and gradient "
    "predictiveness, and how far the inputs of its last block moved; and by its loss over the whole grid. A cell of "
    "the matrix is ruled as a claim is: a gain or a loss of at least the smallest that matters, or equivalence within "
    "it.\n\nHow common norms and skips are was counted once, over small configurations of the families of the library "
    "transformers that our tests build; the table is part of the package, and a test counts again. What was changed "
    "after a first look, at other seeds than those judged, is in docs/inquiries.",
    claims=CLAIMS,
    figures=FIGURES,
    study=study,
    captions=CAPTIONS,
    essay="Batch norm helps in several ways, and skips and rescaling are in most networks, though not always for good "
    "reason.",
    headline="batch-brings-all",
    answers={
        "supported": "Batch norm brings every benefit of the essay's that is read here, in a plain network of eight "
        "layers; the matrix shows what other techniques bring.",
        "refuted": "No: in a plain network of eight layers batch norm lacks at least one of the five benefits of the "
        "essay's that are read here. The matrix shows which, and what other techniques bring.",
        "undecided": "For at least one of the five benefits the evidence does not suffice, and none is found missing; "
        "the matrix shows which technique brings what.",
    },
)
