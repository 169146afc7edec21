"""Does batch norm make activations identically distributed, and does that help to generalise?

The essay's own argument, in every sense that can be measured: over time, over batches, over units, from training to
test data, and as a Gaussian.
"""

from skipnorm.inquiries.identical.figures import CAPTIONS, FIGURES
from skipnorm.inquiries.identical.senses import CLAIMS as SENSES
from skipnorm.inquiries.identical.shape import CLAIMS as SHAPE
from skipnorm.inquiries.identical.study import study
from skipnorm.inquiries.inquiry import Inquiry

__all__ = ["IDENTICAL"]

IDENTICAL = Inquiry(
    name="identical",
    question="Does batch norm make activations identically distributed, and does that help to generalise?",
    method="Perceptrons of four blocks on digits: plain, residual, with five norms, and without norm but with branches "
    "that start small. Of each, what enters the first, a middle and the last activation is read at five moments: four "
    "batches of 64 training samples in training mode, 256 test samples in evaluation mode. Distances are Wasserstein-1 "
    "over the pooled standard deviation; beside each stands what chance makes of it, by reassigning samples.\n\n"
    "Generalisation is compared where the training loss comes down to 0.05, interpolated between readings: the test "
    "loss there against the distances there, ranked over twelve learners within a seed. One more learner has noise "
    "behind its batch norms, which undoes identity and leaves the rest as it is.\n\n"
    "Networks of sixteen blocks as they are drawn show distributions along depth; each seed is a mean of four draws.",
    claims=(*SENSES, *SHAPE),
    figures=FIGURES,
    study=study,
    captions=CAPTIONS,
    essay="Batch norm ensures that what layers see is identically distributed, the second i of iid, and this could "
    "lead to better generalisation.",
    headline="identity-generalises",
    answers={
        "supported": "At equal training loss networks with more identically distributed activations do generalise "
        "better here: a correlation, which shows no cause.",
        "refuted": "At equal training loss networks with more identically distributed activations do not generalise "
        "better here, or by less than would matter.",
        "undecided": "Whether more identically distributed activations go with better generalisation is left open: the "
        "correlation differs too much from seed to seed.",
    },
)
