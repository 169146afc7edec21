"""Do skips keep the gradient from vanishing, and must a shortcut be the identity for it?"""

from skipnorm.inquiries.flow.claims import CLAIMS
from skipnorm.inquiries.flow.figures import CAPTIONS, FIGURES
from skipnorm.inquiries.flow.study import study
from skipnorm.inquiries.inquiry import Inquiry

__all__ = ["FLOW"]

FLOW = Inquiry(
    name="flow",
    question="Do skips keep the gradient from vanishing?",
    method="The shortcuts of He et al. 2016, table 1, in perceptrons of 32 blocks on digits, batch norm and ReLU "
    "before the weights, trained for a short while, each at its own best rate. In every network the gradient of the "
    "loss is read behind every block, before and after training, and once more with the branches held constant: what "
    "comes back through the shortcuts alone.\n\n"
    "What needs no training (scaled shortcuts, a ReLU behind the addition, the lengths of paths) is read on bare "
    "blocks with Gaussian inputs and random covectors, four draws for every seed. One network is built by hand so "
    "that the gradient cancels.\n\n"
    "How a gradient grows at initialisation with and without skips, and that shortcut and branch add up, is asked by "
    "the inquiry on stability.",
    claims=CLAIMS,
    figures=FIGURES,
    study=study,
    captions=CAPTIONS,
    essay="With skips the gradient is a sum that contains the gradient at the output, which prevents it from "
    "vanishing; it will never vanish.",
    headline="prevents-vanishing",
    answers={
        "supported": "Through 32 residual blocks with batch norm the gradient did not vanish, before training or "
        "after; that it never can is another claim, and a branch that is minus the identity shows that it can.",
        "refuted": "In a residual network with batch norm less than a tenth of the gradient reached the first of 32 "
        "blocks, before training or after: skips did not keep it.",
        "undecided": "Whether a tenth of the gradient or more reaches the first block of a residual network was not "
        "settled by these seeds.",
    },
)
