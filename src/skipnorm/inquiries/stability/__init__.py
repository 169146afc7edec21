"""Does the product over layers vanish or explode, and does batch norm mend it?

Most of it is about the moment of initialisation, where theory says what to expect: wide networks on Gaussian inputs,
with a random covector per sample in place of a loss. Beside it stand short trainings of deep plain networks.
"""

from skipnorm.inquiries.inquiry import Inquiry
from skipnorm.inquiries.stability.claims import CLAIMS
from skipnorm.inquiries.stability.figures import CAPTIONS, FIGURES
from skipnorm.inquiries.stability.study import study

__all__ = ["STABILITY"]

STABILITY = Inquiry(
    name="stability",
    question="Does the product over layers vanish or explode, and does batch norm mend it?",
    method="At initialisation: perceptrons without stem, head and epsilon; Gaussian inputs; the loss is the "
    "inner product with a random covector for every sample, so that the gradient at the output is white. Every draw "
    "has new weights and a new batch, the same ones in every network of equal shape. Measured are the mean square, "
    "its parts and the gradient behind every block, at every skip what comes through shortcut and branch, the mean "
    "derivative of the activation, and the singular values of the Jacobian.\n\n"
    "Growth of a gradient is that of its squared norm, from the output towards the input. Rates per layer leave out "
    "the first two and the last five layers. Two laws are about draws rather than networks: for them one trial holds "
    "hundreds of networks of width 100, or a few of width 1400 and more.\n\n"
    "In training: plain perceptrons of width 64 on 8 x 8 digits, SGD with momentum, each at its best rate.\n\n"
    "Predictions and tolerances were written before the runs that are judged. What was changed in the protocol, from "
    "what to what and why, is in docs/inquiries.",
    claims=CLAIMS,
    figures=FIGURES,
    study=study,
    captions=CAPTIONS,
    essay="The product of the layers' derivatives tends to 0 or infinity; batch norm restricts x to a Gaussian and so "
    "mitigates the instability of x and of sigma'.",
    headline="bn-keeps-the-gradient",
    answers={
        "supported": "At initialisation batch norm mends the product: in plain ReLU networks the squared gradient "
        "keeps its scale from layer to layer, within a tenth.",
        "refuted": "Not the gradient: in plain ReLU networks with batch norm, as they are drawn, the squared gradient "
        "changes by more than a tenth per layer. The signal, and training, are ruled on below.",
        "undecided": "Whether batch norm keeps the gradient of plain ReLU networks in scale at initialisation stays "
        "open.",
    },
)
