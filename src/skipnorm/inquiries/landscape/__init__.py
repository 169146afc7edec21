"""Do norms and skips make the loss landscape smoother? The picture everyone knows, and what can be counted of it."""

from skipnorm.inquiries.inquiry import Inquiry
from skipnorm.inquiries.landscape.claims import CLAIMS
from skipnorm.inquiries.landscape.figures import CAPTIONS, FIGURES
from skipnorm.inquiries.landscape.study import study

__all__ = ["LANDSCAPE"]

LANDSCAPE = Inquiry(
    name="landscape",
    question="Do norms and skips make the loss landscape smoother?",
    method="Perceptrons of 16 and 4 blocks on the digits, trained with one small rate (0.01, momentum 0.9) at which "
    "each of them learns, and read before, early in and after training. Along the gradient as Santurkar et al. do; by "
    "the Hessian, with the statistics of batch norm active (differentiated) and frozen at those of the batch; and over "
    "planes in filter-normalised directions as Li et al. do.\n\n"
    "BatchNorm normalises by the batch at hand. Gradient and Hessian are of 128 samples, planes of two batches of 128. "
    "The residual network without norm is SkipInit: with unscaled branches it diverges at this rate. Sharpness at "
    "initialisation is that of other networks, of 8 and 26 blocks, four draws a seed.\n\n"
    "'During training' is the geometric mean over the states read after the first; a run that diverged counts as "
    "infinite.",
    claims=CLAIMS,
    figures=FIGURES,
    study=study,
    captions=CAPTIONS,
    essay="Batch norm makes the loss landscape smoother, so that gradient descent avoids sharp minima, takes larger "
    "steps and converges faster.",
    headline="bn-smooths-the-step",
    answers={
        "supported": "Along the gradient yes: with batch norm the loss of a deep plain network varies by a third less "
        "or better over a step. Curvature and the surface itself are other senses of smooth, each ruled on below.",
        "refuted": "Not along the gradient: with batch norm the loss of a deep plain network does not vary by a third "
        "less over a step. Curvature and the surface are ruled on below.",
        "undecided": "Along the gradient of a deep plain network these runs do not tell whether batch norm makes the "
        "loss vary less.",
    },
)
