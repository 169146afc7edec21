"""Two inquiries with the networks that were published: ResNets on CIFAR-10, for a GPU or a cluster. Read without torch.

What the other scales ask of perceptrons is asked here of the networks that the papers trained, nearly as they trained
them: 64 thousand updates of 128 images, moved and mirrored, the rate 0.1 divided by ten at a half and three quarters.
All of them warm up for 400 updates, which He et al. did with 110 layers alone. The data must lie on the disk
(`docs/tasks.md`); each trial takes a GPU for an hour or so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import xarray as xr

from skipnorm.errors import StudyError, nearest
from skipnorm.evidence.outcomes import outcomes
from skipnorm.inquiries.effects import cases, numbered, of
from skipnorm.inquiries.inquiry import Inquiry
from skipnorm.inquiries.paper_readings import plane
from skipnorm.networks.published import ResNet
from skipnorm.studies.study import Study, Variant
from skipnorm.tasks import Cifar10
from skipnorm.training import Training
from skipnorm.verdicts import AtLeast, AtMost, Claim, Near

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["Size", "at_paper_scale", "study_of"]

DEPTHS = (20, 32, 56, 110)
PUBLISHED = {20: 0.0875, 32: 0.0751, 56: 0.0697, 110: 0.0661}
"""Test errors of the residual networks, He et al. 2015, table 6; of 110 layers the mean of five runs."""

SURFACES: Mapping[str, Mapping[str, Any]] = {
    "plain-20": {"layers": 20, "residual": False},
    "plain-56": {"layers": 56, "residual": False},
    "plain-20, no norm": {"layers": 20, "residual": False, "norm": "none"},
    "ResNet-20": {"layers": 20},
    "ResNet-56": {"layers": 56},
}


TASK = Cifar10(crop=4, flip=True, validation=0.1)
TRAINING = Training(
    steps=64_000,
    rate=0.1,
    batch=128,
    settings={"momentum": 0.9, "weight_decay": 1e-4},
    schedule="step",
    warmup=400,
    device="cuda",
)


@dataclass(frozen=True)
class Size:
    """How large it all is; a smaller size is for tests of the pipeline."""

    seeds: int = 5
    task: Any = TASK
    training: Training = TRAINING
    points: int = 51
    batch: int = 1000


def at_paper_scale(name: str) -> Inquiry:
    """The inquiry of that name with the networks as published.

    Raises:
        StudyError: there is none.
    """
    if name not in _PAPER:
        raise StudyError(f"At the scale 'paper' can be asked: {nearest(name, _PAPER)}")
    return _PAPER[name]


def study_of(name: str, size: Size) -> Study:
    """The study of the one or the other, at any size."""
    learnt: dict[str, Any] = {"training": size.training, "batch": size.batch}
    if name == "degradation":
        networks = {
            f"{kind}-{layers}": ResNet(layers=layers, residual=kind == "ResNet")
            for kind in ("plain", "ResNet")
            for layers in DEPTHS
        }
        learnt["probes"] = ()
    else:
        networks = {label: ResNet(**fields) for label, fields in SURFACES.items()}
        learnt["probes"] = (partial(plane, points=size.points),)
    variants = {label: Variant(net, size.task, **learnt) for label, net in networks.items()}
    return Study(f"{name}-paper", variants, seeds=range(size.seeds), at=("end",))


def _ended(evidence: xr.Dataset, score: str, variant: str) -> xr.DataArray:
    """A run's last score; one that diverged has the worst."""
    return outcomes(evidence, score).sel(variant=variant, drop=True)


def _deeper(evidence: xr.Dataset, kind: str, score: str = "training_loss") -> xr.DataArray:
    return _ended(evidence, score, f"{kind}-56") / _ended(evidence, score, f"{kind}-20")


def _errors(evidence: xr.Dataset) -> xr.DataArray:
    return cases({str(n): 1 - _ended(evidence, "test_accuracy", f"ResNet-{n}") for n in PUBLISHED})


def _rugged(evidence: xr.Dataset, variant: str) -> xr.DataArray:
    return of(evidence, variant, "ruggedness").isel(step=-1, drop=True)


def _roughened(evidence: xr.Dataset, rough: str, smooth: str) -> xr.DataArray:
    return _rugged(evidence, rough) - _rugged(evidence, smooth)


_HE, _LI = "He et al. 2015, section 4.2", "Li et al. 2018, figures 1 and 5"

_DEGRADATION = (
    Claim(
        name="deeper-plain-trains-worse",
        sentence="A plain network of 56 layers ends with a training loss half again that of 20 layers, or worse.",
        source=f"{_HE}, figure 6",
        side="paper",
        effect=partial(_deeper, kind="plain"),
        prediction=AtLeast(1.5),
        scale="log",
        figure="errors",
        topic="depth and training error",
    ),
    Claim(
        name="deeper-residual-trains-better",
        sentence="A residual network of 56 layers ends with no higher a training loss than one of 20.",
        source=f"{_HE}, figure 6",
        side="paper",
        effect=partial(_deeper, kind="ResNet"),
        prediction=AtMost(1.0),
        scale="log",
        figure="errors",
        topic="depth and training error",
    ),
    Claim(
        name="published-errors",
        sentence="The residual networks' test errors are those published, within half a point.",
        source=f"{_HE}, table 6",
        side="paper",
        effect=_errors,
        prediction=Near(lambda _: numbered({str(n): e for n, e in PUBLISHED.items()}), 0.005),
        figure="errors",
        topic="test error",
        caveats=("They trained on all 50,000 images for these numbers; here a tenth is held out.",),
    ),
    Claim(
        name="plain-110-fails",
        sentence="A plain network of 110 layers has a test error above 60 %.",
        source=f"{_HE}: 'not displayed'",
        side="paper",
        effect=lambda evidence: 1 - _ended(evidence, "test_accuracy", "plain-110"),
        prediction=AtLeast(0.6),
        figure="errors",
        topic="test error",
    ),
)
_LANDSCAPE = (
    Claim(
        name="deep-without-skips-is-rugged",
        sentence="Without its skips a network of 56 layers has a rugged surface: a fifth more of its ups and downs "
        "are needless than with them.",
        source=_LI,
        side="paper",
        effect=partial(_roughened, rough="plain-56", smooth="ResNet-56"),
        prediction=AtLeast(0.2),
        figure="surfaces",
        topic="skips and the surface",
    ),
    Claim(
        name="shallow-needs-no-skips",
        sentence="At 20 layers the surface is smooth without skips too: the difference is below a twentieth.",
        source=_LI,
        side="paper",
        effect=partial(_roughened, rough="plain-20", smooth="ResNet-20"),
        prediction=AtMost(0.05),
        figure="surfaces",
        topic="skips and the surface",
    ),
    Claim(
        name="norms-smooth-the-surface",
        sentence="Without norms a plain network of 20 layers has a more rugged surface, by a twentieth or more.",
        source="The essay, Smoother Loss Landscape",
        side="essay",
        effect=partial(_roughened, rough="plain-20, no norm", smooth="plain-20"),
        prediction=AtLeast(0.05),
        figure="surfaces",
        topic="norms and the surface",
    ),
)


def _draw_errors(evidence: xr.Dataset) -> go.Figure:
    from skipnorm.figures import strip

    names = [str(name) for name in evidence["variant"].values]
    found = cases({name: 1 - _ended(evidence, "test_accuracy", name) for name in names})
    theory = numbered(
        {name: PUBLISHED.get(int(name.split("-")[1]), float("nan")) for name in names}
    )
    shown = theory.where([name.startswith("ResNet") for name in names])
    return strip(found, "case", theory=shown, log_y=True, x_title=" ", y_title="test error")


def _draw_surfaces(evidence: xr.Dataset) -> go.Figure:
    from skipnorm.figures import surfaces

    first = evidence.isel(seed=0, step=-1)
    planes = {name: first["loss"].sel(variant=name, drop=True) for name in SURFACES}
    return surfaces(planes, log_z=True, ceiling=100.0)


_METHOD = (
    "ResNets of 6n + 2 layers for images of 32 x 32 and the plain networks of the same layers, on CIFAR-10: SGD with "
    "momentum 0.9, weight decay 0.0001, 64,000 updates of 128 images, moved by up to four pixels and mirrored, the "
    "rate 0.1 divided by ten at a half and at three quarters, after a rise of 400 updates (in the paper: a lower rate "
    "for about as long, with 110 layers alone). A tenth of the training images is held out, as He et al. did to choose "
    "the schedule."
)


def _inquiry(
    name: str, question: str, claims: tuple[Claim, ...], figures: Mapping[str, Any]
) -> Inquiry:
    return Inquiry(
        name=f"{name}-paper",
        question=question,
        method=_METHOD,
        claims=claims,
        figures={label: draw for label, (draw, _) in figures.items()},
        captions={label: caption for label, (_, caption) in figures.items()},
        study=lambda scale: study_of(name, Size()),
        scales=("paper",),
    )


_PAPER = {
    "degradation": _inquiry(
        "degradation",
        "Do deeper plain networks train worse, and residual ones not, on CIFAR-10?",
        _DEGRADATION,
        {
            "errors": (
                _draw_errors,
                "Test error of every network, a dot a run; dashes: as published.",
            )
        },
    ),
    "landscape": _inquiry(
        "landscape",
        "Do skips and norms make the loss landscape smoother, on CIFAR-10?",
        _LANDSCAPE,
        {
            "surfaces": (
                _draw_surfaces,
                "The loss over filter-normalised planes around the trained networks, one scale for all; statistics "
                "of batch norm are the running ones.",
            )
        },
    ),
}
