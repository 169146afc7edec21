"""What is claimed of networks that lose blocks. Predictions were written before the draws that are judged."""

from __future__ import annotations

import xarray as xr

from skipnorm.inquiries.effects import Effect
from skipnorm.inquiries.lesions import effects
from skipnorm.inquiries.lesions.effects import after, each, fall, half, read
from skipnorm.verdicts import AtLeast, AtMost, Claim, Equivalent

__all__ = ["CLAIMS"]

_ONE, _SEVERAL = "deleting one block", "deleting several blocks"
_ORDER, _PATHS, _IDENTITY = (
    "the order of blocks",
    "how long the paths are",
    "are blocks near the identity",
)
_VEIT = "Veit et al. 2016"
_RUNNING = "Batch norm keeps the running statistics of the whole network."
_LINEAR = "Stem and head alone, a linear classifier, answer these digits nearly as well as the SkipInit network does."
_CALIBRATED = "Derived from 12-block perceptrons measured before this inquiry was written"


def _plain_after_one(evidence: xr.Dataset) -> xr.DataArray:
    return read(evidence, "plain BN", "deletion_accuracy").mean("layer")


def _swapped_fall(evidence: xr.Dataset) -> xr.DataArray:
    return each(lambda v: fall(evidence, v, "permutation_accuracy", 1))


def _path_share(evidence: xr.Dataset) -> xr.DataArray:
    depth = int(evidence["length"].max())
    return each(lambda v: read(evidence, v, "path_length") / depth)


def _cut_over_deleted(evidence: xr.Dataset) -> xr.DataArray:
    return each(
        lambda v: (read(evidence, v, "deletion_accuracy") - read(evidence, v, "cut_accuracy")).mean(
            "layer"
        )
    )


def _ratio(reduce: str) -> Effect:
    def effect(evidence: xr.Dataset) -> xr.DataArray:
        return each(lambda v: getattr(read(evidence, v, "branch_ratio"), reduce)("layer"))

    return effect


ONE = (
    Claim(
        name="one-block-hardly-matters",
        sentence="Deleting one block of a trained residual network costs at most 3 points of test accuracy on average.",
        source=f"{_VEIT}, section 4.1",
        side="paper",
        effect=effects.one_fall,
        prediction=AtMost(0.03),
        figure="one",
        topic=_ONE,
        caveats=(_RUNNING,),
    ),
    Claim(
        name="most-blocks-are-dispensable",
        sentence="Most blocks are dispensable one at a time: for at least half of them test accuracy changes by no "
        "more than a point.",
        source=f"{_VEIT}, figure 3",
        side="paper",
        effect=effects.dispensable,
        prediction=AtLeast(0.5),
        figure="one",
        topic=_ONE,
        caveats=(_RUNNING,),
    ),
    Claim(
        name="one-plain-block-is-fatal",
        sentence="Deleting one block of a plain network is fatal: at most a quarter of the test samples are still "
        "answered right.",
        source=f"{_VEIT}, figure 3 (VGG)",
        side="paper",
        effect=_plain_after_one,
        prediction=AtMost(0.25),
        figure="one",
        topic=_ONE,
        caveats=(_RUNNING,),
    ),
    Claim(
        name="first-blocks-matter-more",
        sentence="Blocks are no equal members of an ensemble: the first make a representation and later ones refine "
        "it, so that the price of deleting a block falls with its place (rank correlation -0.3 or less).",
        source="Greff et al. 2017, unrolled iterative estimation",
        side="counter",
        effect=lambda evidence: each(lambda v: effects.early_first(evidence, v)),
        prediction=AtMost(-0.3),
        figure="one",
        topic=_ONE,
    ),
)

SEVERAL = (
    Claim(
        name="error-grows-smoothly",
        sentence="As in an ensemble the error grows smoothly with the number of deleted blocks: no two blocks more "
        "make up more than half of the whole fall.",
        source=f"{_VEIT}, figure 5a",
        side="paper",
        effect=lambda evidence: each(lambda v: effects.largest_step(evidence, v)),
        prediction=AtMost(0.5),
        figure="several",
        topic=_SEVERAL,
        caveats=(
            "Accuracy with 0, 2, 4, ... random blocks deleted, averaged over draws.",
            _RUNNING,
        ),
    ),
    Claim(
        name="two-prices-add-up",
        sentence="Paths hardly depend on one another: two blocks cost, in loss, as much as both alone, within a factor "
        "of 1.5.",
        source=f"{_VEIT}, section 4",
        side="paper",
        effect=effects.sum_of_prices(lambda _: 2),
        prediction=Equivalent(factor=1.5),
        scale="log",
        figure="several",
        topic=_SEVERAL,
        caveats=("With batch norm; without it single prices are too small to compare.", _RUNNING),
    ),
    Claim(
        name="half-costs-more-than-its-parts",
        sentence="With batch norm they do depend on one another: half of the blocks cost, in loss, at least twice as "
        "much as all of them alone.",
        source=_CALIBRATED,
        side="derived",
        effect=effects.sum_of_prices(half),
        prediction=AtLeast(2),
        scale="log",
        figure="several",
        topic=_SEVERAL,
        caveats=(_RUNNING,),
    ),
    Claim(
        name="skipinit-stands-half",
        sentence="Without a norm half of the blocks can go: a SkipInit network then loses at most 5 points of test "
        "accuracy.",
        source=_CALIBRATED,
        side="derived",
        effect=lambda evidence: fall(evidence, "SkipInit", "lesion_accuracy", half(evidence)),
        prediction=AtMost(0.05),
        figure="several",
        topic=_SEVERAL,
        caveats=(_LINEAR,),
    ),
    Claim(
        name="batch-norm-does-not-stand-half",
        sentence="With batch norm it cannot: the network then loses 15 points or more.",
        source=_CALIBRATED,
        side="derived",
        effect=lambda evidence: fall(evidence, "residual BN", "lesion_accuracy", half(evidence)),
        prediction=AtLeast(0.15),
        figure="several",
        topic=_SEVERAL,
        caveats=(_RUNNING,),
    ),
    Claim(
        name="statistics-are-half-of-the-damage",
        sentence="At least half of that damage is done to the norms and not to the function: with statistics "
        "re-estimated after the lesion at most half of the fall remains.",
        source="Derived: running statistics are those of the undamaged network",
        side="derived",
        effect=effects.mended,
        prediction=AtMost(0.5),
        scale="log",
        figure="several",
        topic=_SEVERAL,
        caveats=(
            "Re-estimated on the test inputs themselves, without their labels.",
            "Both falls are from the whole network's accuracy with its running statistics.",
        ),
    ),
)

ORDER = (
    Claim(
        name="one-swap-is-bearable",
        sentence="The order of blocks hardly matters: two random blocks of a residual network can change places for at "
        "most 5 points of test accuracy.",
        source=f"{_VEIT}, section 4.3",
        side="paper",
        effect=_swapped_fall,
        prediction=AtMost(0.05),
        figure="order",
        topic=_ORDER,
        caveats=(_RUNNING,),
    ),
    Claim(
        name="error-follows-disorder",
        sentence="The more of the order is lost, the more accuracy is: their rank correlation over permutations is 0.5 "
        "or more.",
        source=f"{_VEIT}, figure 5b (Kendall's tau)",
        side="paper",
        effect=lambda evidence: each(lambda v: effects.disorder(evidence, v)),
        prediction=AtLeast(0.5),
        figure="order",
        topic=_ORDER,
        caveats=(_RUNNING,),
    ),
    Claim(
        name="plain-order-is-fatal",
        sentence="In a plain network one such change is fatal: at most a quarter of the test samples are still "
        "answered right.",
        source=f"Derived: the counterpart, which {_VEIT} do not show",
        side="derived",
        effect=lambda evidence: after(evidence, "plain BN", "permutation_accuracy", 1),
        prediction=AtMost(0.25),
        figure="order",
        topic=_ORDER,
        caveats=(_RUNNING,),
    ),
)

PATHS = (
    Claim(
        name="short-paths-carry-the-gradient",
        sentence="After training the gradient comes along short paths: weighted by it, a path has on average at most a "
        "third of the blocks on it.",
        source=f"{_VEIT}, figure 6: paths through 5 to 17 of 54 blocks",
        side="paper",
        effect=_path_share,
        prediction=AtMost(1 / 3),
        figure="paths",
        topic=_PATHS,
    ),
    Claim(
        name="shortcuts-carry-more-than-branches",
        sentence="What a network cannot do without is its shortcuts: cutting one costs on average 30 points of "
        "accuracy more than deleting the branch beside it.",
        source="Derived: a shortcut lies on all short paths",
        side="derived",
        effect=_cut_over_deleted,
        prediction=AtLeast(0.3),
        figure="cuts",
        topic=_PATHS,
        caveats=(_RUNNING,),
    ),
)

IDENTITY = (
    Claim(
        name="blocks-are-near-the-identity",
        sentence="Layers with a skip act as identity mappings with little added: the median block of a trained network "
        "adds at most half of what passes it by.",
        source="The essay, on skips as manually added identity mappings",
        side="essay",
        effect=_ratio("median"),
        prediction=AtMost(0.5),
        scale="log",
        figure="branches",
        topic=_IDENTITY,
        caveats=("Norm of branch over norm of shortcut, on test samples.",),
    ),
    Claim(
        name="no-block-is-idle",
        sentence="No block is left idle: each refines what it is given, and the smallest branch still adds 5 % or "
        "more.",
        source="Greff et al. 2017, unrolled iterative estimation",
        side="counter",
        effect=_ratio("min"),
        prediction=AtLeast(0.05),
        scale="log",
        figure="branches",
        topic=_IDENTITY,
        caveats=("Norm of branch over norm of shortcut, on test samples.",),
    ),
)

CLAIMS = (*SEVERAL, *ONE, *ORDER, *PATHS, *IDENTITY)
