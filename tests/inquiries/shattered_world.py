"""Evidence made up from closed forms: what the study of `shattering` would find if theory held.

No network is built. Laws that theory has are written here once more, from the literature; for batch norm on the line,
of which there is no theory, numbers of the calibration stand (40 draws, made apart from the study). How learners end is
what Zhang et al. 2019, Kidambi et al. 2018 and Rao & Sohl-Dickstein 2020 would have it, in round numbers.
"""

import math
from functools import cache

import numpy as np
import xarray as xr

from skipnorm.formulas.autocorrelation import expected_autocorrelation, line_gradient_covariance
from skipnorm.inquiries.shattering.readings import LAGS
from skipnorm.inquiries.shattering.study import QUICK, study_of

SEEDS = 8
CALIBRATED = {  # ACF(1) by depth; other lags as its powers
    "line BN": {2: 0.97, 4: 0.90, 10: 0.47, 24: -0.03},
    "line residual BN": {1: 0.97, 2: 0.95, 4: 0.92, 10: 0.86, 24: 0.74, 50: 0.64},
    "line residual BN β=0.1": {1: 0.97, 2: 0.96, 4: 0.96, 10: 0.95, 50: 0.907},
}
PROCESSES = {
    "line plain": {},
    "line centred": {"centred": True},
    "line residual": {"residual": True},
}
LEARNERS = {  # autocorrelation and likeness of batches before, training loss after
    "plain": (0.9, 0.5, 0.05),
    "plain BN": (0.01, 0.01, 0.06),
    "residual": (0.94, 0.7, 1.4),
    "residual BN": (0.7, 0.19, 0.001),
    "residual LN": (0.96, 0.35, 0.0012),
    "SkipInit": (0.97, 0.45, 0.0003),
    "looks linear": (1.0, 0.4, 0.002),
}
WITHOUT_MOMENTUM = 1.2
"""How much higher the training loss is without momentum."""
META = {"unit": "1", "meaning": "made up", "source": "closed forms"}


def world():
    """Evidence over the variants of the quick study, eight seeds, noise of 0.1 %."""
    return _world().copy(deep=True)


@cache
def _world():
    study = study_of(QUICK)
    untaught = {n: v for n, v in study.variants.items() if hasattr(v.network, "depths")}
    depths = {name: variant.network.depths for name, variant in untaught.items()}
    layers = sorted({n for each in depths.values() for n in each})
    sizes = {
        "variant": list(study.variants),
        "seed": range(SEEDS),
        "layer": layers,
        "lag": list(LAGS),
        "x": np.linspace(-2, 2, QUICK.points),
        "block": range(1, 13),
        "rate": sorted({rate for v in study.variants.values() for rate in v.rates}),
        "step": [0, 150],
    }
    evidence = xr.Dataset(coords={name: list(values) for name, values in sizes.items()})
    for name, dims in (
        ("input_gradient_autocorrelation", ("layer", "lag")),
        ("input_gradient", ("layer", "x")),
        ("gradient_correlation", ("layer",)),
        ("co_activation", ("block",)),
        ("segment_autocorrelation", ()),
        ("batch_gradient_cosine", ()),
        ("training_loss", ("rate", "step")),
    ):
        shape = tuple(len(sizes[dim]) for dim in ("variant", "seed", *dims))
        evidence[name] = (("variant", "seed", *dims), np.full(shape, np.nan), META)
    numbers = np.random.default_rng(0)
    for variant, read in depths.items():
        for depth in read:
            _fill(evidence, variant, depth, numbers)
    _teach(evidence, study, numbers)
    return evidence


def _teach(evidence, study, numbers):
    for name, (remembered, alike, loss) in LEARNERS.items():
        noise = 1 + 1e-3 * numbers.standard_normal(SEEDS)
        here = {"variant": f"learner {name}"}
        evidence["segment_autocorrelation"].loc[here] = remembered
        evidence["batch_gradient_cosine"].loc[here] = alike * noise
        for word, factor in (("with", 1.0), ("without", WITHOUT_MOMENTUM)):
            variant = f"{name}, {word} momentum"
            if variant in study.variants:
                worse = (1.0, 2.0, 3.0)  # rate by rate
                ends = np.multiply.outer(loss * factor * noise, worse)
                for rate, ended in zip(study.variants[variant].rates, ends.T, strict=True):
                    end = {"variant": variant, "rate": rate, "step": 150}
                    evidence["training_loss"].loc[end] = ended


def _fill(evidence, variant, depth, numbers):
    noise = 1 + 1e-3 * numbers.standard_normal(SEEDS)
    here = {"variant": variant, "layer": depth}
    if variant == "line looks linear":
        evidence["input_gradient"].loc[here] = 1.7
        return
    if variant.startswith("line"):
        evidence["input_gradient_autocorrelation"].loc[here] = np.outer(noise, acf(variant, depth))
        steps = numbers.standard_normal((SEEDS, QUICK.points))
        evidence["input_gradient"].loc[here] = steps.cumsum(axis=1)
        return
    evidence["gradient_correlation"].loc[here] = correlation(variant, depth) * noise
    for block in range(1, min(depth, 12) + 1):
        together = co_activation(variant, block) * noise
        evidence["co_activation"].loc[{"variant": variant, "block": block}] = together


@cache
def acf(variant, depth):
    if variant in PROCESSES:
        covariance = line_gradient_covariance(
            np.linspace(-2, 2, QUICK.points), depth, **PROCESSES[variant]
        )
        return expected_autocorrelation(covariance, LAGS)
    return CALIBRATED[variant][depth] ** np.array(LAGS)


def slope(c):
    """J'(c), twice how often two samples of correlation c are both on."""
    return (math.pi - math.acos(c)) / math.pi


def path(blocks, residual):
    """The correlation of two samples on entering every block; J written out."""
    found = [0.0]
    for _ in range(blocks):
        c = found[-1]
        kernel = math.sqrt(1 - c * c) / math.pi + slope(c) * c
        found.append((c + kernel) / 2 if residual else kernel)
    return found


def correlation(variant, depth):
    """Between the gradients of two samples; the product of theorem 3, refined, behind batch norm."""
    if variant == "plain":
        return math.prod(slope(c) for c in path(depth, residual=False)[:-1])
    if variant in ("centred", "BN"):
        return 0.5**depth
    if variant == "residual":
        return math.prod((1 + slope(c)) / 2 for c in path(depth, residual=True)[:-1])
    squared = 0.01 if "0.1" in variant else 1.0
    gains = [squared / (1 + (1 - 1 / math.pi) * squared * n) for n in range(depth)]
    return math.prod((1 + slope(-1 / 63) * g) / (1 + g) for g in gains)


def co_activation(variant, block):
    if variant in ("plain", "residual"):
        return slope(path(block, residual=variant == "residual")[block - 1]) / 2
    return 0.249
