"""Do you need the skip? Can you skip the norm?

skipnorm measures what the normalisation layers and the skip connections of a PyTorch network do
for it. The names below are loaded when they are first used, so that reading a study never imports
torch and the command line answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skipnorm.anatomy.discover import anatomy
    from skipnorm.anatomy.sites import Activation, Anatomy, Norm, Skip
    from skipnorm.errors import (
        AnatomyError,
        ClaimError,
        EvidenceError,
        NetworkError,
        ProbeError,
        SkipnormError,
        StudyError,
        SurgeryError,
        TaskError,
    )
    from skipnorm.networks.recipe import ConvNet, OneLayer, Perceptron
    from skipnorm.studies.manifest import collect
    from skipnorm.studies.measure import measure
    from skipnorm.studies.run import run
    from skipnorm.studies.study import Study, Variant
    from skipnorm.studies.verbs import (
        activation,
        curvature,
        drift,
        gradient_correlation,
        identical,
        input_gradient_autocorrelation,
        jacobian,
        landscape,
        paths,
        scores,
        shift_gradient,
        smoothness,
    )
    from skipnorm.verdicts import AtLeast, AtMost, Claim, Identity, Near, Verdict, judge

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "Anatomy",
    "AnatomyError",
    "AtLeast",
    "AtMost",
    "Claim",
    "ClaimError",
    "ConvNet",
    "EvidenceError",
    "Identity",
    "Near",
    "NetworkError",
    "Norm",
    "OneLayer",
    "Perceptron",
    "ProbeError",
    "Skip",
    "SkipnormError",
    "Study",
    "StudyError",
    "SurgeryError",
    "TaskError",
    "Variant",
    "Verdict",
    "activation",
    "anatomy",
    "collect",
    "curvature",
    "drift",
    "gradient_correlation",
    "identical",
    "input_gradient_autocorrelation",
    "jacobian",
    "judge",
    "landscape",
    "measure",
    "paths",
    "run",
    "scores",
    "shift_gradient",
    "smoothness",
]

_HOMES = {
    "skipnorm.anatomy": ("anatomy",),
    "skipnorm.anatomy.sites": ("Activation", "Anatomy", "Norm", "Skip"),
    "skipnorm.errors": (
        "AnatomyError",
        "ClaimError",
        "EvidenceError",
        "NetworkError",
        "ProbeError",
        "SkipnormError",
        "StudyError",
        "SurgeryError",
        "TaskError",
    ),
    "skipnorm.networks.recipe": ("ConvNet", "OneLayer", "Perceptron"),
    "skipnorm.studies.manifest": ("collect",),
    "skipnorm.studies.measure": ("measure",),
    "skipnorm.studies.run": ("run",),
    "skipnorm.studies.study": ("Study", "Variant"),
    "skipnorm.studies.verbs": (
        "activation",
        "curvature",
        "drift",
        "gradient_correlation",
        "identical",
        "input_gradient_autocorrelation",
        "jacobian",
        "landscape",
        "paths",
        "scores",
        "shift_gradient",
        "smoothness",
    ),
    "skipnorm.verdicts": ("AtLeast", "AtMost", "Claim", "Identity", "Near", "Verdict", "judge"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """The public name, imported from its home on first use (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'skipnorm' has no public name {name!r}")
    module = import_module(_HOME_OF[name])
    if name == "anatomy":  # the package is the function: it can be called (decision 0002)
        return module
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted([*__all__, "__version__"])
