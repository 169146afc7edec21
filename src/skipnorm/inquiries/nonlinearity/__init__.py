"""Do scale and shift make better use of the non-linearity? What a line leaves of an activation, measured."""

from skipnorm.inquiries.inquiry import Inquiry
from skipnorm.inquiries.nonlinearity.claims import CLAIMS
from skipnorm.inquiries.nonlinearity.figures import CAPTIONS, FIGURES
from skipnorm.inquiries.nonlinearity.study import study

__all__ = ["NONLINEARITY"]

NONLINEARITY = Inquiry(
    name="nonlinearity",
    question="Do scale and shift make better use of the non-linearity?",
    method="How much of its non-linearity a unit uses is the share of its output's variance that the best straight "
    "line through output against input leaves: 0 for a unit that acts as a line. It is read of single layers on "
    "Gaussian input, where it is an integral; of deep ReLU networks as they are drawn, 24 draws or more; and of "
    "perceptrons trained on digits with and without scale and shift behind batch norm, each at its own best rate.\n\n"
    "ReLUs are counted as dead or always on over 256 samples. Growth of a gradient is that of its squared norm per "
    "layer towards the input, the loss an inner product with random covectors. In networks that train scale and "
    "shift alone, stem, head and all matrices stay as drawn.",
    claims=CLAIMS,
    figures=FIGURES,
    study=study,
    captions=CAPTIONS,
    essay="The sigmoid is almost the identity between -1 and 1, where normalised values lie, so that without scale "
    "and shift the non-linearity would be weak and fitting difficult.",
    headline="scale-and-shift-use-more",
    answers={
        "supported": "Yes: with scale and shift a trained sigmoid network uses at least half as much again of its "
        "non-linearity as without.",
        "refuted": "No: with scale and shift a trained sigmoid network does not use half as much again of its "
        "non-linearity as without.",
        "undecided": "Whether scale and shift make a sigmoid network use half as much again of its non-linearity "
        "was not settled with these seeds.",
    },
)
