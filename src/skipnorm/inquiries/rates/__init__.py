"""Do norms allow larger rates, is training faster for it, and are the minima flatter?"""

from skipnorm.inquiries.inquiry import Inquiry
from skipnorm.inquiries.rates.claims import CLAIMS
from skipnorm.inquiries.rates.figures import CAPTIONS, FIGURES
from skipnorm.inquiries.rates.study import study

__all__ = ["RATES_INQUIRY"]

RATES_INQUIRY = Inquiry(
    name="rates",
    question="Do norms allow larger learning rates and flatter minima, and is training faster for it?",
    method="Perceptrons of 16 blocks on the digits, plain and with scaled skips (SkipInit), plain and residual with "
    "batch norm, are taught at five rates from 0.01 to 1 (SGD with momentum 0.9, batches of 128). A run that diverges "
    "ranks worst. Rates are chosen on validation data, for every seed anew; what is reported is on test data.\n\n"
    "For minima, small tanh networks descend with the whole gradient of 500 digits, with and without batch norm, at "
    "two rates; their sharpness is the largest eigenvalue of the Hessian with the statistics of the batch "
    "differentiated, as a median over the last half of the way. Whether sharpness tells the gap from training to test "
    "loss is asked of all trained networks that found a minimum, by rank within a seed: raw, times the squared weight "
    "norm, and along filter-normalised lines.",
    claims=CLAIMS,
    figures=FIGURES,
    study=study,
    captions=CAPTIONS,
    essay="Batch norm allows larger learning rates, which accelerates convergence, and avoids sharp minima, which may "
    "generalise poorly.",
    headline="bn-allows-larger-rates",
    answers={
        "supported": "Larger rates yes: with batch norm a deep plain network bears three times the largest rate that "
        "it bears without, or more. Speed and flat minima are other matters, ruled on below.",
        "refuted": "With batch norm a deep plain network does not bear three times the rate that it bears without.",
        "undecided": "Whether batch norm stands larger rates these runs do not tell.",
    },
)
