"""How deep may a plain network with batch norm be before it stops to learn? The essay against Yang et al.

Perceptrons on digits, with and without batch norm, each at its own best learning rate.
"""

from __future__ import annotations

import math

import plotly.graph_objects as go
import xarray as xr

from skipnorm.figures import profile
from skipnorm.formulas import theory
from skipnorm.inquiries.effects import best, cases, line
from skipnorm.inquiries.stability.effects import seeds_of
from skipnorm.verdicts import AtLeast, AtMost, Claim

__all__ = ["CLAIMS", "final_loss", "trainability"]

_ESSAY = "The essay, Improving Numerical Stability"
_YANG = "Yang et al. 2019, section 5 and theorem 8"
CHANCE = math.log(10)
"""The loss of a network that says the same of all ten classes."""
_TOPIC = "depth at which training stops"
_SHORT = "Short trainings (150 or 300 steps) of networks of width 64; Yang et al. took 10 epochs of MNIST, width 384."
_ONE_RATE = (
    "At quick scale the networks of 64 blocks have one rate each, found best with other seeds."
)


def final_loss(evidence: xr.Dataset, family: str, depth: int) -> xr.DataArray:
    """The training loss at the end, at the rate that is best on validation data."""
    name = f"{family}, {depth} blocks"
    found = best(evidence, name, "training_loss", chosen_on="validation_loss")
    return found.sel(seed=seeds_of(evidence, name))


def depths(evidence: xr.Dataset) -> list[int]:
    """The depths that were trained."""
    names = [str(name) for name in evidence["variant"].values]
    return sorted(int(n.split()[-2]) for n in names if n.startswith("plain BN, "))


def mended(evidence: xr.Dataset) -> xr.DataArray:
    """Training loss with batch norm over the one without, at 32 blocks."""
    return final_loss(evidence, "plain BN", 32) / final_loss(evidence, "plain", 32)


def normed_losses(evidence: xr.Dataset) -> xr.DataArray:
    """Training loss with batch norm over that of guessing, by depth."""
    return cases(
        {f"{n} blocks": final_loss(evidence, "plain BN", n) / CHANCE for n in depths(evidence)}
    )


def deepest(evidence: xr.Dataset) -> xr.DataArray:
    """The same at 64 blocks."""
    return final_loss(evidence, "plain BN", 64) / CHANCE


def harmed(evidence: xr.Dataset) -> xr.DataArray:
    """Training loss with batch norm over the one without, at 64 blocks."""
    return final_loss(evidence, "plain BN", 64) / final_loss(evidence, "plain", 64)


CLAIMS = (
    Claim(
        name="bn-mends-training",
        sentence="Batch norm mends in training what depth does to a plain network: with 32 blocks it ends at a "
        "training loss lower by a tenth or more.",
        source=_ESSAY,
        side="essay",
        effect=mended,
        prediction=AtMost(0.9),
        scale="log",
        figure="depths",
        topic=_TOPIC,
        caveats=(_SHORT,),
    ),
    Claim(
        name="bn-trains-at-any-depth",
        sentence="With the product over layers mended, depth does no longer stop a plain network: at 4 to 64 blocks it "
        "gets its training loss down to half that of guessing.",
        source=f"{_ESSAY}, taken at its word",
        side="essay",
        effect=normed_losses,
        prediction=AtMost(0.5),
        scale="log",
        figure="depths",
        topic=_TOPIC,
        caveats=(_SHORT, _ONE_RATE),
    ),
    Claim(
        name="bn-stops-beyond-sixteen-xi",
        sentence="Beyond 16 xi = 41 layers, xi the depth over which gradients grow e-fold, plain networks with batch "
        "norm do not train: at 64 blocks the training loss stays within a fifth of that of guessing.",
        source=_YANG,
        side="paper",
        effect=deepest,
        prediction=AtLeast(0.8),
        scale="log",
        figure="depths",
        topic=_TOPIC,
        caveats=(_SHORT, _ONE_RATE),
    ),
    Claim(
        name="bn-harms-beyond-it",
        sentence="And it is batch norm that stops them: at 64 blocks the training loss is higher by a tenth or more "
        "than without it.",
        source=f"{_YANG}: batch norm causes the explosion",
        side="counter",
        effect=harmed,
        prediction=AtLeast(1.1),
        scale="log",
        figure="depths",
        topic=_TOPIC,
        caveats=(_SHORT, _ONE_RATE),
    ),
)


def trainability(evidence: xr.Dataset) -> go.Figure:
    """Final training loss against depth, with and without batch norm, and the depth of 16 xi."""
    found = depths(evidence)
    measured = {}
    for label, family in (("plain", "plain"), ("plain, BN", "plain BN")):
        by_depth = {str(n): final_loss(evidence, family, n) for n in found}
        measured[label] = cases(by_depth).assign_coords(case=found).rename(case="blocks")
    limit = theory.max_trainable_depth(theory.relu_batchnorm_explosion_rate(128))
    edge = xr.DataArray([0.0, CHANCE], {"blocks": [limit, limit]}, "blocks")
    return profile(
        {name: array.rename("training loss") for name, array in measured.items()},
        "blocks",
        theory={
            "guessing": line(xr.DataArray(found).values, lambda _: CHANCE, "blocks"),
            "16 ξ": edge,
        },
        error="bars",
        log_x=True,
        x_title="blocks",
        y_title="final training loss",
    )
