"""What is claimed of single ReLUs: dead and always-on ones, and how often two samples share one.

Predictions were written before the judged run.
"""

from __future__ import annotations

from skipnorm.inquiries.nonlinearity import effects
from skipnorm.verdicts import AtLeast, AtMost, Claim, Identity, Near

__all__ = ["UNITS"]

_ESSAY = "The essay, Better Use of Non-linearity"
_SIDED = "Dead and always-on ReLUs"
_BOTH = "How often two samples switch the same unit on"
_RATE = "Each network at the learning rate that is best on validation data."

UNITS = (
    Claim(
        name="all-or-nothing",
        sentence="Without norm most ReLUs of a deep network are on for every sample or for none: at least half of "
        "them in layer 50.",
        source=_ESSAY,
        side="essay",
        effect=effects.at_layer(50),
        prediction=AtLeast(0.5),
        figure="sides",
        caveats=("At initialisation, 256 Gaussian samples.",),
        topic=_SIDED,
    ),
    Claim(
        name="shallow-units-are-two-sided",
        sentence="That takes depth: in layer 3 at most 5 % of them are.",
        source="Derived: samples are still too different to agree",
        side="counter",
        effect=effects.at_layer(3),
        prediction=AtMost(0.05),
        figure="sides",
        topic=_SIDED,
    ),
    Claim(
        name="never-with-norm",
        sentence="Behind a batch norm without shift no ReLU is, at any depth.",
        source="Derived: a unit of mean 0 that moves is above 0 for some samples and below for others",
        side="derived",
        effect=effects.never_one_sided,
        prediction=Identity(1e-12),
        figure="sides",
        topic=_SIDED,
    ),
    Claim(
        name="one-sided-by-depth",
        sentence="Dead units are 14, 24 and 39 % in layers 10, 20 and 50, always-on ones 12, 24 and 38 %, to within "
        "5 points.",
        source="Calibration at width 500",
        side="derived",
        effect=effects.one_sided_by_layer,
        prediction=Near(effects.calibrated, 0.05),
        figure="sides",
        topic=_SIDED,
    ),
    Claim(
        name="deep-layers-act-linearly",
        sentence="So deep layers without norm act as straight lines: in the last layer lines leave at most half of "
        "what they leave behind a norm.",
        source="Luther & Seung 2019",
        side="paper",
        effect=effects.late_linearity,
        prediction=AtMost(0.5),
        scale="log",
        figure="linearity",
        caveats=("Units whose output never changes are left out on both sides.",),
        topic=_SIDED,
    ),
    Claim(
        name="norm-keeps-units-in-use",
        sentence="Batch norm keeps ReLUs two-sided through training, though the shift may move them: at most 5 % "
        "are dead or always on.",
        source=f"{_ESSAY}; Luther & Seung 2019",
        side="essay",
        effect=effects.learned_idle("deep ReLU BN"),
        prediction=AtMost(0.05),
        figure="idle",
        caveats=("Sixteen layers, 512 training samples.", _RATE),
        topic=_SIDED,
    ),
    Claim(
        name="training-mends-nothing",
        sentence="Without norm training does not mend it: at least 10 % are still dead or always on.",
        source=_ESSAY,
        side="essay",
        effect=effects.learned_idle("deep ReLU"),
        prediction=AtLeast(0.1),
        figure="idle",
        caveats=("Sixteen layers, 512 training samples.", _RATE),
        topic=_SIDED,
    ),
    Claim(
        name="co-activation-law",
        sentence="Without norm two samples switch ever more units on together, as the arc-cosine kernel says: to "
        "within 0.02.",
        source="Derived from Cho & Saul 2009",
        side="derived",
        effect=effects.co_activation,
        prediction=Near(effects.co_activation_law, 0.02),
        figure="together",
        caveats=("A law of infinite width.",),
        topic=_BOTH,
    ),
    Claim(
        name="co-activation-with-norm",
        sentence="With norm it stays one in four at any depth: to within 0.01.",
        source="Balduzzi et al. 2017, section 3, where it is assumed",
        side="paper",
        effect=effects.normed_co_activation,
        prediction=Near(0.25, 0.01),
        figure="together",
        topic=_BOTH,
    ),
)
