"""Made-up evidence with known effects, judged and drawn: three sections that hold every kind."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr

from skipnorm.figures import intervals, profile, strip
from skipnorm.report import Remark, Section
from skipnorm.verdicts import AtLeast, AtMost, Claim, Identity, Near, judge

SIZES = [6, 8, 32, 128]
RATES = np.array([2.0038, 1.7882, 1.5220, 1.4797])


def rates() -> xr.Dataset:
    random = np.random.default_rng(1)
    spread = np.array([0.03, 0.012, 0.006, 0.003])[:, None]
    values = RATES[:, None] + spread * random.normal(size=(4, 20))
    return xr.Dataset(
        {"rate": (("case", "seed"), values), "predicted": ("case", RATES)},
        {"case": [f"B = {size}" for size in SIZES], "seed": range(20)},
    )


def growth() -> xr.Dataset:
    random = np.random.default_rng(2)
    layers = np.arange(1, 25)
    slopes = {"batch norm": 1.467, "no norm": 1.0, "residual, no norm": 2.0}
    values = np.array(
        [s ** (layers - 1) * np.exp(0.2 * random.normal(size=(12, 24))) for s in slopes.values()]
    )
    values[2, 3:6, 18:] = np.inf
    theory = np.array([s ** (layers - 1.0) for s in slopes.values()])
    return xr.Dataset(
        {
            "gain": (("variant", "seed", "layer"), values),
            "theory": (("variant", "layer"), theory),
        },
        {"variant": list(slopes), "seed": range(12), "layer": layers},
    )


def propagation() -> Section:
    evidence, depth = rates(), growth()
    explosion = Claim(
        name="bn-relu-rate",
        sentence="In a plain ReLU network, batch norm makes the squared gradient grow from layer "
        "to layer at the rate that mean-field theory gives for its batch size.",
        source="Yang et al. 2019, equation 25",
        side="counter",
        effect=lambda e: e["rate"],
        prediction=Near(lambda e: e["predicted"], 0.015, relative=True),
        scale="log",
        figure="rates",
        caveats=("Width 400; the formula is for infinite width.", "Initial state only."),
        topic="gradients with batch norm",
    )
    mitigates = Claim(
        name="bn-mitigates",
        sentence="Batch norm keeps the product of layer Jacobians from exploding.",
        source="the essay, section Numerical stability",
        side="essay",
        effect=lambda e: e["rate"].isel(case=2, drop=True),
        prediction=AtMost(1.05),
        scale="log",
        figure="growth",
        caveats=("The essay speaks of training; this is the state before it.",),
        topic="gradients with batch norm",
    )
    doubling = Claim(
        name="doubling",
        sentence="Without a norm, every residual block doubles the second moment.",
        source="De & Smith 2020",
        side="paper",
        effect=lambda e: e["gain"].sel(variant="residual, no norm").isel(layer=-1, drop=True),
        prediction=AtLeast(2.0**20),
        scale="log",
        figure="growth",
    )
    return Section(
        name="propagation",
        question="How do signals and gradients scale with depth, and what do norms and skips "
        "change?",
        method="Twenty draws of every network at initialisation, width 400, in float64. Every "
        "input has its own random covector, so that no gradient lies along a batch mean.\n\n"
        "The first two and the last five layers are left out of the rates.",
        command="skipnorm run propagation --seeds 20 --out runs/propagation",
        verdicts=[judge(explosion, evidence), judge(mitigates, evidence), judge(doubling, depth)],
        figures={
            "growth": profile(
                depth["gain"],
                "layer",
                by="variant",
                theory=depth["theory"],
                log_y=True,
                y_title="squared gradient, relative to the last layer",
            ),
            "rates": intervals(
                judge(explosion, evidence).to_dataset(), x_title="growth per layer", log_x=True
            ),
        },
        captions={
            "growth": "Squared gradient against distance from the output, mean of twelve draws "
            "with its 95 % interval. Dashed: theory. A cross marks layers where a draw overflowed.",
            "rates": "Growth rate by batch size against the formula, tolerance 1.5 %.",
        },
        alts={
            "growth": "Three lines over 24 layers on a logarithmic scale: without a norm flat, "
            "batch norm rising to ten thousand, residual without norm to ten million."
        },
        essay="The product over layers tends to 0 or infinity, and batch norm mitigates it.",
        headline="bn-mitigates",
        answers={
            "supported": "Batch norm keeps the product in scale.",
            "refuted": "Batch norm itself makes gradients explode.",
            "undecided": "It could not be told.",
        },
        evidence="propagation/evidence.nc",
    )


def losses() -> Section:
    random = np.random.default_rng(3)
    loss = xr.DataArray(
        np.exp(random.normal(np.log([0.02, 0.7, 0.0015])[:, None], 0.25, (3, 8))),
        dims=("variant", "seed"),
        coords={"variant": ["plain", "plain + BN", "residual + BN"], "seed": range(8)},
        name="training loss",
    )
    loss[1, 2:4] = math.inf
    evidence = xr.Dataset({"loss": loss, "error": ("site", [1e-13, -4e-12])})
    claims = [
        Claim(
            "degrades",
            "A deeper plain network has the higher training loss.",
            "He et al. 2015, figure 1",
            "paper",
            lambda e: e["loss"].sel(variant="plain + BN") / e["loss"].sel(variant="plain"),
            AtLeast(5.0),
            "log",
            "losses",
        ),
        Claim(
            "same",
            "Norms change the loss by less than 0.06.",
            "made up for this page",
            "derived",
            lambda e: e["loss"].sel(variant="plain") * 5 - 0.04,
            Near(0.0, 0.06),
            "linear",
            "losses",
        ),
        Claim(
            "closed-form",
            "The one-layer gradient is ((o − Y) · σ′(WX)) Xᵀ.",
            "the essay, equation 2",
            "essay",
            lambda e: e["error"],
            Identity(1e-10),
        ),
    ]
    return Section(
        name="degradation",
        question="Do deeper plain networks train worse?",
        method="Eight seeds, the best of five learning rates.",
        command="skipnorm run degradation --seeds 8",
        verdicts=[judge(claim, evidence) for claim in claims],
        figures={"losses": strip(loss, log_y=True)},
        captions={"losses": "Final training loss of every seed, with geometric mean & interval."},
    )


def awkward() -> Section:
    """What a page must survive: mark-up in words, a foreign figure, no claim at all."""
    figure = go.Figure(go.Heatmap(z=[[1.0, 2.0], [3.0, math.nan]], name="</script><b>bold"))
    return Section(
        name="awkward <b>words</b>",
        question="Does </script> <img src=x onerror=alert(1)> end the page?",
        method="Quotes \" and ' and & and \u2028 are words like others.",
        command="skipnorm run 'a very long command' " + "--option value " * 20,
        figures={"heat": figure},
    )


@pytest.fixture(scope="session")
def sections() -> list[Section]:
    return [propagation(), losses(), awkward()]


@pytest.fixture(scope="session")
def remarks() -> list[Remark]:
    shown = (("propagation", "bn-mitigates"), ("propagation", "not on this page"))
    return [
        Remark("The product tends to 0 or infinity.", "second version", "Typically so.", shown),
        Remark("A <b>citation</b>.", "first version", "It should be [3]."),
    ]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; the tests of a machine without it skip."""
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip(f"no browser at {chromium}")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        yield running
        running.close()
