"""An inquiry asked of a user's own network: as it is, without its norms, without its skips.

The canonical inquiries compare networks of which theory predicts something; of a user's network nobody knows. Four of
them have a quantity that can be asked of any network at initialisation, and all of them end with a short training at
each of a few rates. What is compared is the same network with and without, seed by seed. Read without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import xarray as xr

from skipnorm.errors import StudyError, nearest
from skipnorm.evidence.summaries import Scale as EffectScale
from skipnorm.inquiries.effects import best, cases, of
from skipnorm.inquiries.inquiry import Inquiry, Scale
from skipnorm.inquiries.own_readings import spread_of_scale, units_in_vain
from skipnorm.studies.study import Buildable, Study, Variant
from skipnorm.training import Training
from skipnorm.verdicts import AtLeast, Claim

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["ASKED", "on_network", "study_on"]

AS_IT_IS = "as it is"
PARTS = ("norms", "skips")
RATES = (0.01, 0.03, 0.1)
MATTERS = {"log": 1.33, "linear": 0.1}
"""The smallest ratio that matters, without over with, a third more; the smallest difference, of shares or decades."""

_SIZES: Mapping[Scale, tuple[int, int]] = {"quick": (5, 100), "full": (8, 300), "paper": (8, 300)}
"""Seeds, and steps of training."""


@dataclass(frozen=True)
class Asking:
    """What an inquiry reads of any network at initialisation: probes, and what less of is better, in words."""

    probes: Sequence[Any]
    quantities: Mapping[str, str]
    source: str
    scale: EffectScale = "linear"


ASKED: Mapping[str, Asking] = {
    "landscape": Asking(
        ("smoothness",),
        {
            "loss_range": "the range of the loss along its gradient",
            "gradient_predictiveness": "how much the gradient changes along it",
            "effective_smoothness": "the effective beta-smoothness",
        },
        "Santurkar et al. 2018, figure 4",
        scale="log",
    ),
    "stability": Asking(
        (spread_of_scale,),
        {"signal_spread": "over how many decades the signal spreads from site to site"},
        "The essay, Improving Numerical Stability",
    ),
    "flow": Asking(
        (spread_of_scale,),
        {"gradient_spread": "over how many decades the gradient spreads from site to site"},
        "He et al. 2016, section 2",
    ),
    "nonlinearity": Asking(
        (units_in_vain,),
        {"units_in_vain": "the share of units that are always on or never"},
        "The essay, Better Use of Non-linearity",
    ),
}


def study_on(
    name: str, network: Buildable, task: Any, scale: Scale, parts: Sequence[str] = PARTS
) -> Study:
    """The study that asks one question of a network; ``parts`` of it are taken out in turn.

    Raises:
        StudyError: the question cannot be asked of any network, or a part is neither norms nor skips.
    """
    from skipnorm.surgery import CutSkips, SwapNorm

    asking = _asking(name)
    seeds, steps = _SIZES[scale]
    training = Training(steps=steps, batch=64, settings={"momentum": 0.9})
    whole = Variant(
        network, task, batch=64, training=training, rates=RATES, probes=tuple(asking.probes)
    )
    without = {"norms": SwapNorm(to="none"), "skips": CutSkips()}
    variants = {AS_IT_IS: whole}
    for part in parts:
        if part not in without:
            raise StudyError(f"What is taken out: {nearest(part, without)}")
        variants[f"without {part}"] = replace(whole, operations=(without[part],))
    return Study(f"{name}-own", variants, seeds=range(seeds), at=("initial", "end"))


def on_network(
    name: str, network: Any, task: Any, *, parts: Sequence[str] = PARTS, label: str = "the network"
) -> Inquiry:
    """The inquiry of that name, asked of one network.

    Where only evidence is read, network and task may be None.

    Raises:
        StudyError: as `study_on`.
    """
    asking = _asking(name)
    claims = [
        _initial(quantity, words, asking, part)
        for quantity, words in asking.quantities.items()
        for part in parts
    ]
    claims += [_trained(part) for part in parts]
    figures: dict[str, Callable[[xr.Dataset], go.Figure]] = {
        quantity: partial(
            _drawn, quantity=quantity, words=words, parts=tuple(parts), scale=asking.scale
        )
        for quantity, words in asking.quantities.items()
    }
    captions = {
        quantity: f"At initialisation: {words}, every seed a dot, with the mean and its interval."
        for quantity, words in asking.quantities.items()
    }
    figures["loss"] = partial(_losses, parts=tuple(parts))
    captions["loss"] = (
        "After a short training, each at its best rate: the test loss, every seed a dot."
    )
    return Inquiry(
        name=f"{name}-own",
        question=f"What do {' and '.join(parts)} do for {label}?",
        method="The network as it is, and altered copies of it with the same seeds, weights and batches. Read at "
        "initialisation in training mode; then trained by SGD with momentum 0.9 at three rates, the best of which is "
        "chosen on validation data. A part is needed as far as taking it out makes a difference that matters.",
        claims=tuple(claims),
        figures=figures,
        study=lambda scale: study_on(name, network, task, scale, parts),
        captions=captions,
        scales=("quick", "full", "paper"),
    )


def _asking(name: str) -> Asking:
    if name not in ASKED:
        raise StudyError(f"Of a network of one's own can be asked: {nearest(name, ASKED)}")
    return ASKED[name]


def _initial(quantity: str, words: str, asking: Asking, part: str) -> Claim:
    much = "a quarter" if asking.scale == "log" else "0.1"  # 1 / 1.33 is 0.75
    return Claim(
        name=f"{part}-{quantity.replace('_', '-')}",
        sentence=f"At initialisation its {part} make smaller by {much} or more: {words}.",
        source=f"Asked of this network; the quantity after {asking.source}",
        side="derived",
        effect=partial(_gained, quantity=quantity, part=part, scale=asking.scale),
        prediction=AtLeast(MATTERS[asking.scale]),
        scale=asking.scale,
        figure=quantity,
        topic=words,
    )


def _trained(part: str) -> Claim:
    return Claim(
        name=f"{part}-loss",
        sentence=f"Its {part} let it learn: without them the test loss is higher by a third or more.",
        source="Asked of this network, after the essay's remark on needless complexity",
        side="derived",
        effect=partial(_loss_ratio, part=part),
        prediction=AtLeast(MATTERS["log"]),
        scale="log",
        figure="loss",
        topic="what is learnt",
    )


def _start(evidence: xr.Dataset, variant: str, quantity: str) -> xr.DataArray:
    """A reading of the initial state, which is the same at every rate."""
    found = of(evidence, variant, quantity, step=0)
    return found.isel(rate=0, drop=True) if "rate" in found.dims else found


def _gained(evidence: xr.Dataset, quantity: str, part: str, scale: EffectScale) -> xr.DataArray:
    without, whole = (_start(evidence, name, quantity) for name in (f"without {part}", AS_IT_IS))
    return without / whole if scale == "log" else without - whole


def _loss_ratio(evidence: xr.Dataset, part: str) -> xr.DataArray:
    return best(evidence, f"without {part}") / best(evidence, AS_IT_IS)


def _names(parts: Sequence[str]) -> list[str]:
    return [AS_IT_IS, *(f"without {part}" for part in parts)]


def _drawn(
    evidence: xr.Dataset, quantity: str, words: str, parts: Sequence[str], scale: EffectScale
) -> go.Figure:
    from skipnorm.figures import strip

    found = cases({name: _start(evidence, name, quantity) for name in _names(parts)})
    return strip(found, "case", log_y=scale == "log", x_title=" ", y_title=words)


def _losses(evidence: xr.Dataset, parts: Sequence[str]) -> go.Figure:
    from skipnorm.figures import strip

    found = cases({name: best(evidence, name) for name in _names(parts)})
    return strip(found, "case", log_y=True, x_title=" ", y_title="test loss")
