"""The probes of sites on third-party families, against hooks registered by hand and numpy.

Truth: torch's own module hooks at the last norm of each model, plain autograd for the gradients that come back, and
for the flow the same backward pass with one side of the skip detached, by the models' own source.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from tests.coverage import checks
from tests.probes.test_paths_families import CASES, Case, hooked
from torch import Tensor, nn

import skipnorm as sn

pytestmark = pytest.mark.filterwarnings("ignore")
CONVOLUTIONAL = ("ResNet",)
"""Whose last norm has its channels second; those of the others stand last."""


def last_norm(evidence: Any) -> str:
    names = evidence.site.values[evidence.kind.values == "norm"]
    return str([name for name in names if "#" not in name][-1])


def passed(case: Case, module: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What enters and leaves a module, and the gradients of the model's own loss there."""
    kept: dict[str, Tensor] = {}

    def keep(owner: nn.Module, args: Any, output: Tensor) -> Tensor:
        kept["input"], kept["output"] = args[0], output
        return output.clone()  # into which the model may write

    handle = case.network.get_submodule(module).register_forward_hook(keep)
    loss = case.network(**case.batch).loss
    handle.remove()
    gradients = torch.autograd.grad(loss, list(kept.values()))
    return kept, dict(zip(kept, gradients, strict=True))


def by_numpy(x: np.ndarray, channels: int) -> dict[str, float]:
    """Moments, likeness and signs of a signal, from their definitions."""
    rows = np.moveaxis(x, channels, 0).reshape(x.shape[channels], -1)
    mean, centred = rows.mean(1), rows - rows.mean(1, keepdims=True)
    samples = x.reshape(len(x), -1)
    units = samples / np.linalg.norm(samples, axis=1, keepdims=True)
    cosines = units @ units.T
    shares = np.linalg.svd(samples, compute_uv=False)
    shares = shares[shares > 0] / shares.sum()
    on = rows > 0
    together = np.moveaxis(x > 0, channels, 0).reshape(x.shape[channels], len(x), -1)
    pairs = [
        (together[:, i] & together[:, j]).mean()
        for i in range(len(x))
        for j in range(len(x))
        if i != j
    ]
    return {
        "mean_square": (x**2).mean(),
        "channel_squared_mean": (mean**2).mean(),
        "channel_variance": (centred**2).mean(),
        "kurtosis": ((centred**4).mean(1) / (centred**2).mean(1) ** 2).mean(),
        "sample_correlation": cosines[~np.eye(len(x), dtype=bool)].mean(),
        "effective_rank": math.exp(-(shares * np.log(shares)).sum()),
        "on_fraction": on.mean(),
        "dead_fraction": (~on).all(1).mean(),
        "always_on_fraction": on.all(1).mean(),
        "co_activation": float(np.mean(pairs)),
    }


@checks("moments", "activation_summary", "likeness", "gradient", by="module hooks and numpy")
@pytest.mark.parametrize("family", CASES)
def test_what_is_read_at_a_norm_is_what_its_hooks_see(family: str) -> None:
    case = CASES[family]()
    evidence = sn.measure(case.network, case.batch)
    site = last_norm(evidence)
    values, gradients = passed(case, evidence.module.sel(site=site).item())
    channels = 1 if family in CONVOLUTIONAL else values["input"].dim() - 1
    for port, value in values.items():
        at = evidence.sel(site=site, port=port)
        for name, number in by_numpy(value.detach().numpy(), channels).items():
            assert float(at[name]) == pytest.approx(number, rel=1e-5, abs=1e-12), (port, name)
        square = float(gradients[port].double().square().mean())
        assert float(at.gradient_mean_square) == pytest.approx(square, rel=1e-5), port


@checks("flow", by="backward passes with one side of the skip detached by hooks")
@pytest.mark.parametrize("family", CASES)
def test_flow_is_what_comes_back_with_one_side_detached(family: str) -> None:
    case = CASES[family]()
    evidence = sn.measure(case.network, case.batch, probes="flow")
    skips = evidence.sel(site=evidence.kind == "skip")
    position = case.serial[0]
    side, found = case.sides[position], skips.isel(site=position)
    parts = {
        "total": ancestor_gradient(case, side, None),
        "shortcut": ancestor_gradient(case, side, "stop"),
        "branch": ancestor_gradient(case, side, "only"),
    }
    total = parts["total"]
    for name, part in parts.items():
        energy = float(part.square().sum())
        assert float(found[f"flow_{name}"]) == pytest.approx(energy, rel=1e-5), name
        if name != "total":
            share = float((part * total).sum() / total.square().sum())
            assert float(found[f"flow_{name}_share"]) == pytest.approx(share, rel=1e-5, abs=1e-9)
    assert float(found.flow_elsewhere) == pytest.approx(0, abs=1e-9 * float(found.flow_total))


def ancestor_gradient(case: Case, side: Any, edit: str | None) -> Tensor:
    """The gradient at what both sides of a skip come from, with one side detached or none."""
    kept: list[Tensor] = []

    def remember(module: nn.Module, args: Any, kwargs: Any) -> None:
        kept.append([*args, *kwargs.values()][1 if side.port == "second" else 0])

    holder = case.network.get_submodule(side.shortcut)
    handle = holder.register_forward_pre_hook(remember, with_kwargs=True)
    try:
        if edit is None:
            loss = case.network(**case.batch).loss
        else:
            with hooked(case.network, side, edit):
                loss = case.network(**case.batch).loss
    finally:
        handle.remove()
    (gradient,) = torch.autograd.grad(loss, kept[0])
    return gradient.double()
