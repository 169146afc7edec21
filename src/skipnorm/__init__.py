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
    from skipnorm.audit.audit import Audit
    from skipnorm.audit.conduct import audit
    from skipnorm.audit.finding import Finding
    from skipnorm.audit.lint import lint
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
        TrainingError,
    )
    from skipnorm.evidence.outcomes import outcomes
    from skipnorm.evidence.rates import best_of_grid, compare_rates
    from skipnorm.networks.published import ResNet, Vgg
    from skipnorm.networks.recipe import ConvNet, OneLayer, Perceptron
    from skipnorm.studies.manifest import collect
    from skipnorm.studies.measure import measure
    from skipnorm.studies.run import run
    from skipnorm.studies.status import status
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
    from skipnorm.surgery import (
        AddSkips,
        CutSkips,
        DropBranches,
        FoldNorm,
        FreezeAffine,
        FreezeStatistics,
        InsertNorm,
        MoveNorm,
        NoisyNorm,
        Operation,
        PermuteBlocks,
        Reinitialize,
        RemoveAffine,
        ScaleSkips,
        StandardizeWeights,
        SwapNorm,
        operate,
        operations_of,
        original,
    )
    from skipnorm.tasks import (
        Batches,
        Characters,
        Cifar10,
        Cifar100,
        Digits,
        FashionMnist,
        Hub,
        ImageFolder,
        Mnist,
        Mnist1d,
        Npz,
    )
    from skipnorm.training import Training
    from skipnorm.training.state import State
    from skipnorm.training.train import train
    from skipnorm.verdicts import AtLeast, AtMost, Claim, Equivalent, Identity, Near, Verdict, judge

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "AddSkips",
    "Anatomy",
    "AnatomyError",
    "AtLeast",
    "AtMost",
    "Audit",
    "Batches",
    "Characters",
    "Cifar10",
    "Cifar100",
    "Claim",
    "ClaimError",
    "ConvNet",
    "CutSkips",
    "Digits",
    "DropBranches",
    "Equivalent",
    "EvidenceError",
    "FashionMnist",
    "Finding",
    "FoldNorm",
    "FreezeAffine",
    "FreezeStatistics",
    "Hub",
    "Identity",
    "ImageFolder",
    "InsertNorm",
    "Mnist",
    "Mnist1d",
    "MoveNorm",
    "Near",
    "NetworkError",
    "NoisyNorm",
    "Norm",
    "Npz",
    "OneLayer",
    "Operation",
    "Perceptron",
    "PermuteBlocks",
    "ProbeError",
    "Reinitialize",
    "RemoveAffine",
    "ResNet",
    "ScaleSkips",
    "Skip",
    "SkipnormError",
    "StandardizeWeights",
    "State",
    "Study",
    "StudyError",
    "SurgeryError",
    "SwapNorm",
    "TaskError",
    "Training",
    "TrainingError",
    "Variant",
    "Verdict",
    "Vgg",
    "activation",
    "anatomy",
    "audit",
    "best_of_grid",
    "collect",
    "compare_rates",
    "curvature",
    "drift",
    "gradient_correlation",
    "identical",
    "input_gradient_autocorrelation",
    "jacobian",
    "judge",
    "landscape",
    "lint",
    "measure",
    "operate",
    "operations_of",
    "original",
    "outcomes",
    "paths",
    "run",
    "scores",
    "shift_gradient",
    "smoothness",
    "status",
    "train",
]

_HOMES = {
    "skipnorm.anatomy": ("anatomy",),
    "skipnorm.anatomy.sites": ("Activation", "Anatomy", "Norm", "Skip"),
    "skipnorm.audit": ("audit",),
    "skipnorm.audit.audit": ("Audit",),
    "skipnorm.audit.finding": ("Finding",),
    "skipnorm.audit.lint": ("lint",),
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
        "TrainingError",
    ),
    "skipnorm.evidence.outcomes": ("outcomes",),
    "skipnorm.evidence.rates": ("best_of_grid", "compare_rates"),
    "skipnorm.networks.published": ("ResNet", "Vgg"),
    "skipnorm.networks.recipe": ("ConvNet", "OneLayer", "Perceptron"),
    "skipnorm.studies.manifest": ("collect",),
    "skipnorm.studies.measure": ("measure",),
    "skipnorm.studies.run": ("run",),
    "skipnorm.studies.status": ("status",),
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
    "skipnorm.surgery": (
        "AddSkips",
        "CutSkips",
        "DropBranches",
        "FoldNorm",
        "FreezeAffine",
        "FreezeStatistics",
        "InsertNorm",
        "MoveNorm",
        "NoisyNorm",
        "Operation",
        "PermuteBlocks",
        "Reinitialize",
        "RemoveAffine",
        "ScaleSkips",
        "StandardizeWeights",
        "SwapNorm",
        "operate",
        "operations_of",
        "original",
    ),
    "skipnorm.tasks": (
        "Batches",
        "Characters",
        "Cifar10",
        "Cifar100",
        "Digits",
        "FashionMnist",
        "Hub",
        "ImageFolder",
        "Mnist",
        "Mnist1d",
        "Npz",
    ),
    "skipnorm.training": ("Training",),
    "skipnorm.training.state": ("State",),
    "skipnorm.training.train": ("train",),
    "skipnorm.verdicts": (
        "AtLeast",
        "AtMost",
        "Claim",
        "Equivalent",
        "Identity",
        "Near",
        "Verdict",
        "judge",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """The public name, imported from its home on first use (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'skipnorm' has no public name {name!r}")
    module = import_module(_HOME_OF[name])
    if name in (
        "anatomy",
        "audit",
    ):  # the package is the function: it can be called (decision 0002)
        return module
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted([*__all__, "__version__"])
