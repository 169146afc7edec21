"""Why do deeper plain networks train worse: because they do not find the identity, or for another reason?"""

from skipnorm.inquiries.degradation.claims import CLAIMS
from skipnorm.inquiries.degradation.figures import CAPTIONS, FIGURES
from skipnorm.inquiries.degradation.study import study
from skipnorm.inquiries.inquiry import Inquiry

__all__ = ["DEGRADATION"]

DEGRADATION = Inquiry(
    name="degradation",
    question="Why do deeper plain networks train worse: for want of the identity?",
    method="Perceptrons on scikit-learn's digits, 64 units, blocks of one layer, 4 against 32 of them, taught by SGD "
    "with momentum 0.9 at two learning rates a decade apart; each network is taken at its better rate (for "
    "training loss the one at which it is lowest, for test scores the one chosen on validation data), and one that "
    "diverges at both ranks worst.\n\n"
    "The identity is tested three ways: as blocks put behind a trained network, as the start of training, and as what "
    "a layer alone is asked to learn.",
    claims=CLAIMS,
    figures=FIGURES,
    study=study,
    captions=CAPTIONS,
    essay="A deeper network that does worse on the test set has extra layers that are worse than the identity; skip "
    "connections add it by hand, but whether the want of it is the cause is disputed.",
    headline="handed-identity-holds",
    answers={
        "supported": "A plain network that is made deeper by identities keeps what it had learned and goes on from "
        "there: depth itself does not harm, and the identity need not be lost. What a random start does to the same "
        "depth is ruled on beside it.",
        "refuted": "A plain network that is made deeper by identities ends with a higher training loss than it had: "
        "finding the identity is not the whole difficulty.",
        "undecided": "Whether a plain network that is handed the identity still degrades is left open by these seeds.",
    },
)
