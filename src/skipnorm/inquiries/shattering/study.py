"""The networks that are compared, at two scales. Read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from skipnorm.inquiries.inquiry import Scale
from skipnorm.inquiries.shattering.learners import learners
from skipnorm.inquiries.shattering.networks import Headless, OnTheLine
from skipnorm.inquiries.shattering.readings import along_the_line, between_samples
from skipnorm.inquiries.subjects import SEEDS
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.study import Study, Variant
from skipnorm.tasks import Gaussian

if TYPE_CHECKING:
    import torch

__all__ = ["FULL", "QUICK", "Points", "Size", "study", "study_of"]


@dataclass(frozen=True)
class Size:
    """How large the networks are, on the line and between samples.

    Widths, batches and depths follow the protocols under which each law is known to hold; a smaller size is for tests
    of the pipeline. ``learners``: with how many seeds networks are taught; their fields and training can be set
    otherwise.
    """

    seeds: int = 20
    points: int = 256
    line_width: int = 200
    line_depths: tuple[int, ...] = (1, 2, 4, 10, 24, 50)
    normed_line_depths: tuple[int, ...] = (2, 4, 10, 24)
    bare_line_depths: tuple[int, ...] = (1, 2, 4, 10, 24)
    rescaled_line_depths: tuple[int, ...] = (1, 2, 4, 10, 50)
    linear_width: int = 64
    linear_depth: int = 24
    batch: int = 64
    plain_width: int = 500
    plain_depths: tuple[int, ...] = (1, 2, 3, 5, 8, 12)
    normed_width: int = 400
    normed_batch: int = 128
    normed_depths: tuple[int, ...] = (1, 2, 3, 5)
    normed_networks: int = 3
    bare_width: int = 400
    bare_depths: tuple[int, ...] = (1, 2, 3, 5, 8)
    residual_width: int = 200
    rescaled_width: int = 100
    residual_depths: tuple[int, ...] = (5, 10, 25, 50)
    scale: Scale = "quick"
    learners: int = len(SEEDS["quick"])
    learner_fields: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


QUICK = Size()
FULL = Size(
    seeds=60,
    normed_line_depths=(2, 4, 10, 24, 50),
    bare_line_depths=QUICK.line_depths,
    rescaled_line_depths=QUICK.line_depths,
    linear_depth=50,
    plain_width=800,
    normed_width=500,
    normed_depths=(1, 2, 3, 5, 8),
    bare_width=500,
    bare_depths=QUICK.plain_depths,
    residual_width=300,
    rescaled_width=200,
    scale="full",
    learners=len(SEEDS["full"]),
)


@dataclass(frozen=True)
class Points:
    """Evenly spaced points of the line; no targets are looked at.

    >>> Points().batch(3, seed=0)[0].tolist()
    [[-2.0], [0.0], [2.0]]
    """

    low: float = -2.0
    high: float = 2.0

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return "points"

    @property
    def loss(self) -> str:
        """The inner product with the targets, which are 1."""
        return "inner_product"

    def batch(self, size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The same points for every seed."""
        import torch

        return torch.linspace(self.low, self.high, size)[:, None], torch.ones(size, 1)


def study(scale: Scale) -> Study:
    """The study of the inquiry `shattering`."""
    return study_of({"quick": QUICK, "full": FULL}[scale])


def study_of(size: Size) -> Study:
    """The same comparisons at any size."""
    taught = learners(size.scale, size.learners, size.learner_fields, size.training)
    variants = {**_on_the_line(size), **_between_samples(size), **taught}
    return Study("shattering", variants, seeds=range(size.seeds))


def _bare(**fields: Any) -> Perceptron:
    """Blocks alone, without stem and head, biases and epsilon: what the theorems are about."""
    return Perceptron(stem=False, head=False, bias=False, affine=False, eps=0.0, **fields)


def _on_the_line(size: Size) -> dict[str, Variant]:
    half = 0.5**0.5
    plain = _bare(width=size.line_width)
    residual = replace(plain, residual=True)
    normed = replace(residual, norm="batch")
    linear = replace(plain, width=size.linear_width, activation="crelu")
    recipes = {
        "plain": OnTheLine(plain, size.line_depths),
        "centred": OnTheLine(replace(plain, norm="centre"), size.normed_line_depths),
        "BN": OnTheLine(replace(plain, norm="batch"), size.normed_line_depths),
        "residual": OnTheLine(
            replace(residual, branch_scale=half, shortcut_scale=half), size.bare_line_depths
        ),
        "residual BN": OnTheLine(normed, size.line_depths),
        "residual BN β=0.1": OnTheLine(
            replace(normed, branch_scale=0.1), size.rescaled_line_depths
        ),
        "looks linear": OnTheLine(
            replace(linear, initializer="looks_linear"), (size.linear_depth,)
        ),
    }
    return {
        f"line {name}": Variant(
            recipe,
            Points(),
            size.points,
            dtype="float64" if name == "looks linear" else "float32",
            probes=along_the_line,
        )
        for name, recipe in recipes.items()
    }


def _between_samples(size: Size) -> dict[str, Variant]:
    plain, normed = _bare(width=size.plain_width), _bare(width=size.normed_width)
    both = _bare(width=size.residual_width, residual=True, norm="batch")
    mild = replace(both, width=size.rescaled_width, branch_scale=0.1)
    several: dict[str, Any] = {"depths": size.normed_depths, "networks": size.normed_networks}
    recipes = {
        "plain": Headless(plain, size.plain_depths),
        "centred": Headless(replace(normed, norm="centre"), **several),
        "BN": Headless(replace(normed, norm="batch"), **several),
        "residual": Headless(_bare(width=size.bare_width, residual=True), size.bare_depths),
        "residual BN": Headless(both, size.residual_depths),
        "residual BN β=0.1": Headless(mild, size.residual_depths[-1:]),
    }
    return {
        name: Variant(
            recipe,
            Gaussian(recipe.blocks.width),
            size.normed_batch if name in ("centred", "BN") else size.batch,
            probes=between_samples,
        )
        for name, recipe in recipes.items()
    }
