"""Are residual networks ensembles of shallow ones? Blocks are deleted and permuted, and nothing is trained again."""

from skipnorm.inquiries.inquiry import Inquiry
from skipnorm.inquiries.lesions.claims import CLAIMS
from skipnorm.inquiries.lesions.figures import CAPTIONS, FIGURES
from skipnorm.inquiries.lesions.study import study

__all__ = ["LESIONS"]

LESIONS = Inquiry(
    name="lesions",
    question="Are residual networks ensembles of shallow ones?",
    method="Perceptrons of 16 blocks are taught digits: residual with batch norm, residual with SkipInit and no norm, "
    "plain with batch norm. Then blocks are deleted (one, every second number at random, all), shortcuts are cut and "
    "pairs of blocks change places; test accuracy and loss are read without any training. A deleted residual block "
    "becomes its shortcut, a deleted plain block the identity.\n\n"
    "Batch norm uses the running statistics of the whole network, and once more statistics that are re-estimated after "
    "each lesion. The gradient is sent along single paths, through the branches of some blocks and the shortcuts of "
    "all others, after training.",
    claims=CLAIMS,
    figures=FIGURES,
    study=study,
    captions=CAPTIONS,
    essay="The essay does not speak of ensembles; it sees in a skip an identity mapping that is added by hand, so that "
    "extra layers can do nothing.",
    headline="error-grows-smoothly",
    answers={
        "supported": "In one respect: they lose blocks as an ensemble loses members, little by little. Whether the "
        "members are alike and independent, and how a plain network fares, is ruled on below.",
        "refuted": "Not in this respect: two deleted blocks more make up more than half of the whole fall, in one of "
        "the two residual networks at least.",
        "undecided": "Whether the error grows smoothly with the number of deleted blocks was not settled by these "
        "seeds.",
    },
)
