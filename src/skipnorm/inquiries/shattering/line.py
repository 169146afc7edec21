"""Does the gradient along a line become noise with depth, and what keeps it from that?

Balduzzi et al. 2017 ask it of networks with one input. The paper, the essay's reading of it, and what speaks against
the reading stand side by side.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from skipnorm.inquiries.effects import cases, numbered
from skipnorm.inquiries.shattering import topics
from skipnorm.inquiries.shattering.effects import kept, noise, process, remembered
from skipnorm.verdicts import AtLeast, AtMost, Claim, Identity, Near

__all__ = ["CLAIMS", "LAW"]

_ESSAY = "The essay, Gradient Correlation"
_BALDUZZI = "Balduzzi et al. 2017"
_INITIAL = "At initialisation; whether it matters for training is another question."
_NORMED = ("centred", "BN")
_DEPTHS = {"plain": (1, 4, 10, 24), "centred": (2, 4, 10), "residual": (1, 4, 10, 24)}


def gained_with_norm(evidence: xr.Dataset) -> xr.DataArray:
    """ACF(1) of a residual network with batch norm minus that of the plain one."""
    return cases(
        {
            f"{depth} layers": remembered(evidence, "residual BN", depth)
            - remembered(evidence, "BN", depth)
            for depth in (10, 24)
        }
    )


def gained_without_norm(evidence: xr.Dataset) -> xr.DataArray:
    """ACF(1) of a residual network without norm minus that of the plain one."""
    return remembered(evidence, "residual", 24) - remembered(evidence, "plain", 24)


def deep_normed(evidence: xr.Dataset) -> xr.DataArray:
    """ACF(1) of plain networks with centring or batch norm."""
    return cases({name: remembered(evidence, name, 24) for name in _NORMED})


def deep_plain(evidence: xr.Dataset) -> xr.DataArray:
    """ACF(1) of a plain network without norm."""
    return remembered(evidence, "plain", 24)


def shallow(evidence: xr.Dataset) -> xr.DataArray:
    """ACF(1) of one layer, minus that of brown noise."""
    return remembered(evidence, "plain", 1) - float(noise("brown", (1,))[0])


def lost_to_norm(evidence: xr.Dataset) -> xr.DataArray:
    """ACF(1) of a plain network minus that of the same weights with centring or batch norm."""
    bare = deep_plain(evidence)
    return cases({name: bare - remembered(evidence, name, 24) for name in _NORMED})


def deep_residual(evidence: xr.Dataset) -> xr.DataArray:
    """ACF(1) of a residual network with batch norm."""
    return remembered(evidence, "residual BN", 50)


def gained_by_rescaling(evidence: xr.Dataset) -> xr.DataArray:
    """ACF(1) with branches scaled by 0.1 minus that with branches as they are."""
    return cases(
        {
            f"{depth} blocks": remembered(evidence, "residual BN β=0.1", depth)
            - remembered(evidence, "residual BN", depth)
            for depth in (10, 50)
        }
    )


def plain_over_residual(evidence: xr.Dataset) -> xr.DataArray:
    """ACF(1) of a plain network without norm minus that of a residual one with batch norm."""
    return cases(
        {
            f"{depth} layers": remembered(evidence, "plain", depth)
            - remembered(evidence, "residual BN", depth)
            for depth in (24, 50)
        }
    )


def unevenness(evidence: xr.Dataset) -> xr.DataArray:
    """Standard deviation of a looks-linear network's gradient along the line, over its mean."""
    gradient = kept(evidence, "input_gradient", "line looks linear").isel(layer=-1, drop=True)
    return xr.DataArray(gradient.std("x") / np.abs(gradient.mean("x")))


def lag_one(evidence: xr.Dataset) -> xr.DataArray:
    """ACF(1) of every network whose gradient is a known Gaussian process."""
    return cases(
        {
            _case(name, depth): remembered(evidence, name, depth)
            for name, depths in _DEPTHS.items()
            for depth in depths
        }
    )


def process_at_lag_one(evidence: xr.Dataset) -> xr.DataArray:
    """What theory says of the same."""
    return numbered(
        {
            _case(name, depth): process(name, depth, (1,)).item()
            for name, depths in _DEPTHS.items()
            for depth in depths
        }
    )


def _case(name: str, depth: int) -> str:
    return f"{name}, {depth}"


LAW = Claim(
    name="line-process",
    sentence="Along a line the gradient of a wide ReLU network is the derivative of the arc-cosine Gaussian "
    "process: its autocorrelation at lag 1 is what that gives, for plain, centred and residual networks.",
    source="Derived from Cho & Saul 2009; the mean of a ratio by Magnus 1986, theorem 6",
    side="derived",
    effect=lag_one,
    prediction=Near(process_at_lag_one, 0.05),
    figure="depth",
    topic=topics.PROCESS,
    caveats=("Width 200; with depth a network of finite width falls a little below the process.",),
)

CLAIMS = (
    Claim(
        name="skips-raise-acf",
        sentence="Skip connections enhance the autocorrelation of gradients: with batch norm, ACF(1) is higher by 0.1 "
        "or more with them than without, over 10 and 24 layers.",
        source=f"{_ESSAY}; {_BALDUZZI}, figure 2",
        side="essay",
        effect=gained_with_norm,
        prediction=AtLeast(0.1),
        figure="depth",
        topic=topics.SKIPS,
        caveats=(_INITIAL,),
    ),
    Claim(
        name="little-to-raise-without-norm",
        sentence="Without a norm there is little to enhance: over 24 layers skips add less than 0.1 to ACF(1).",
        source="Derived: the plain network's gradient is far from noise",
        side="counter",
        effect=gained_without_norm,
        prediction=AtMost(0.1),
        figure="depth",
        topic=topics.SKIPS,
        caveats=(
            "Stream scaled by 1/√2 per block, which changes the gradient's size and not its ACF.",
        ),
    ),
    Claim(
        name="deep-gradients-are-white",
        sentence="The gradient of a 24-layer feedforward network is white noise: with centring or batch norm, "
        "ACF(1) is within 0.1 of 0.",
        source=f"{_BALDUZZI}, figure 1",
        side="paper",
        effect=deep_normed,
        prediction=Near(0.0, 0.1),
        figure="depth",
        topic=topics.NOISE,
        caveats=(_INITIAL,),
    ),
    Claim(
        name="plain-gradients-are-white",
        sentence="The gradient of a 24-layer feedforward network is white noise also without norm and centring: ACF(1) "
        "is within 0.1 of 0.",
        source=f"{_BALDUZZI}, figure 1, as it is often retold",
        side="paper",
        effect=deep_plain,
        prediction=Near(0.0, 0.1),
        figure="lags",
        topic=topics.NOISE,
        caveats=("The paper's 24-layer panel is mean-centred (from memory; not verified).",),
    ),
    Claim(
        name="plain-gradients-remember",
        sentence="Without norm and centring the gradient of a 24-layer network is no noise: ACF(1) is 0.8 or more.",
        source="Derived; Prince's notebook 11.1 reports not to find shattering without centring",
        side="counter",
        effect=deep_plain,
        prediction=AtLeast(0.8),
        figure="lags",
        topic=topics.NOISE,
    ),
    Claim(
        name="norm-shatters",
        sentence="It is the norm that shatters: the same 24 layers of weights with centring or batch norm have an "
        "ACF(1) lower by 0.5 or more.",
        source="After Rao & Sohl-Dickstein 2020",
        side="counter",
        effect=lost_to_norm,
        prediction=AtLeast(0.5),
        figure="depth",
        topic=topics.NOISE,
        caveats=("They compare mini-batches of a convolutional network; here it is a line.",),
    ),
    Claim(
        name="one-layer-is-brown",
        sentence="The gradient of a one-layer network resembles brown noise: ACF(1) is within 0.02 of a random walk's.",
        source=f"{_BALDUZZI}, figure 1",
        side="paper",
        effect=shallow,
        prediction=Near(0.0, 0.02),
        figure="lags",
        topic=topics.BETWEEN,
    ),
    Claim(
        name="bn-resnets-lie-between",
        sentence="A residual network of 50 blocks with batch norm lies between: ACF(1) is 0.5 to 0.8.",
        source=f"{_BALDUZZI}, figure 2",
        side="paper",
        effect=deep_residual,
        prediction=Near(0.65, 0.15),
        figure="lags",
        topic=topics.BETWEEN,
    ),
    Claim(
        name="rescaling-raises-acf",
        sentence="Scaling the branches by β = 0.1 reduces shattering further: ACF(1) is higher by 0.05 or more, over "
        "10 and 50 blocks.",
        source=f"{_BALDUZZI}, figure 2",
        side="paper",
        effect=gained_by_rescaling,
        prediction=AtLeast(0.05),
        figure="depth",
        topic=topics.BETWEEN,
    ),
    Claim(
        name="acf-ranks-plain-above-residual",
        sentence="A high ACF is no mark of a trainable network: without norm and skips it is higher by 0.05 or more "
        "than in a residual network with batch norm of the same depth.",
        source=f"Derived, against: {_ESSAY} (higher ACF leads to higher performance)",
        side="counter",
        effect=plain_over_residual,
        prediction=AtLeast(0.05),
        figure="depth",
        topic=topics.PERFORMANCE,
        caveats=(
            "Networks at initialisation; how learners end is held against it in the claims beside.",
        ),
    ),
    Claim(
        name="looks-linear-is-constant",
        sentence="With the looks-linear initialisation gradients do not shatter at all: they are the same everywhere, "
        "to rounding.",
        source=f"{_BALDUZZI}, section 4",
        side="paper",
        effect=unevenness,
        prediction=Identity(1e-12),
        figure="gradients",
        topic=topics.BETWEEN,
        caveats=("A constant has no autocorrelation (0/0); to call it 1 is a convention.",),
    ),
    LAW,
)
