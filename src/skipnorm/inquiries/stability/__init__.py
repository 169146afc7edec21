"""How do signals and gradients scale with depth, and what do norms and skips change?

Everything here is about the moment of initialisation, where theory says what to expect: wide
networks on Gaussian inputs, with a random covector per sample in place of a loss.
"""

from skipnorm.inquiries.inquiry import Inquiry
from skipnorm.inquiries.stability.claims import CLAIMS
from skipnorm.inquiries.stability.figures import CAPTIONS, FIGURES
from skipnorm.inquiries.stability.study import study

__all__ = ["STABILITY"]

STABILITY = Inquiry(
    name="stability",
    question="Does the product over layers vanish or explode, and does batch norm mend it?",
    method="Perceptrons at initialisation, without stem, head, biases and epsilon; Gaussian inputs; the loss is the "
    "inner product with a random covector for every sample, so that the gradient at the output is white. Every draw "
    "has new weights and a new batch, the same ones in every network of equal shape. Measured are the mean square, "
    "its parts and the gradient behind every block, and at every skip what comes through shortcut and branch.\n\n"
    "Growth of a gradient is that of its squared norm, from the output towards the input. Rates per layer leave out "
    "the first two and the last five layers. Two laws are about draws rather than networks: for them one trial holds "
    "500 networks of width 100, or three of width 2000.\n\n"
    "Predictions and tolerances were written before the first run and stand as they were. Protocols of four laws were "
    "changed after it (the residual network's width and batch, where its squared mean is read, the batch of the "
    "population with decaying variance, the depth to which batch norm is held against it): docs/inquiries says from "
    "what to what, and why. Nothing here is trained: what holds at initialisation need not hold after a few steps.",
    claims=CLAIMS,
    figures=FIGURES,
    study=study,
    captions=CAPTIONS,
)
