"""An inquiry of the toy world: its one network is its gain plus the seed."""

import os
from dataclasses import dataclass

import plotly.graph_objects as go
import xarray as xr

from skipnorm.inquiries import Inquiry
from skipnorm.studies.readings import Question
from skipnorm.studies.study import Study, Variant
from skipnorm.verdicts import AtLeast, Claim


@dataclass(frozen=True)
class Number:
    gain: float = 1.0

    def build(self, seed: int) -> float:
        if os.environ.get("TOY_FAILS_ON") == str(seed):
            raise ValueError("no weights")
        if os.environ.get("TOY_INTERRUPTS_ON") == str(seed):
            raise KeyboardInterrupt
        return self.gain + seed / 100


@dataclass(frozen=True)
class Nothing:
    name: str = "nothing"
    loss: str | None = None

    def batch(self, size: int, seed: int) -> int:
        return size


def measure(network: float, batch: int, *, loss=None, probes=None) -> xr.Dataset:
    meaning = {"unit": "1", "meaning": "the toy network", "source": "definition"}
    return xr.Dataset({"gain": ((), network, meaning)})


def questions(probes) -> tuple[Question, ...]:
    return (Question("gain", "gain"),)


def study(scale: str) -> Study:
    seeds = {"quick": 6, "full": 12}[scale]
    return Study("toy", {"one": Variant(Number(), Nothing())}, seeds=range(seeds))


TOY = Inquiry(
    name="toy",
    question="Is the gain one or more?",
    method="By definition.",
    claims=(
        Claim(
            name="gain-is-one",
            sentence="The gain is at least one.",
            source="by definition",
            side="derived",
            effect=lambda evidence: evidence["gain"].sel(variant="one") + 0.01,
            prediction=AtLeast(1.0),
            figure="gains",
        ),
    ),
    figures={"gains": lambda evidence: go.Figure(go.Scatter(y=evidence["gain"].values[0]))},
    study=study,
    captions={"gains": "The gain of every seed, all of them above one."},
)
