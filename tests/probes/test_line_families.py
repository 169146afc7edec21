"""Gradients along a line through the inputs of third-party families: networks of one number, attention included.

Truth: finite differences of the network's outputs, of fourth order, and numpy for the autocorrelation; float64, eval
mode. Steps are too short to meet a kink; but two families compute the scale of their norms in float32 whatever they
are given, so that theirs are longer, and T5 has a smooth activation in place of its ReLU.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.coverage import checks
from tests.probes.test_jacobian_families import EMBEDDINGS, IMAGES
from tests.probes.test_shattering_families import CASES as NETWORKS
from tests.probes.test_shattering_families import case
from torch import Tensor, nn

import skipnorm as sn

CASES: dict[str, Callable[[], Any]] = dict(NETWORKS)
COARSE = ("Llama", "T5")
GRID, LAGS = 6, [0, 1, 2]


class Through(nn.Module):
    """What a network answers on the line from the first sample to the second: images, or embedded tokens."""

    def __init__(self, network: nn.Module, start: Tensor, end: Tensor, more: dict[str, Tensor]):
        super().__init__()
        self.network, self.more = network, more
        self.name = "inputs_embeds" if start.dim() == 2 else "pixel_values"
        self.register_buffer("start", start)
        self.register_buffer("direction", end - start)

    def forward(self, t: Tensor) -> Tensor:
        inputs = self.start + t.reshape(-1, *[1] * self.start.dim()) * self.direction
        named = {name: each.expand(len(t), *each.shape[1:]) for name, each in self.more.items()}
        return self.network(**{self.name: inputs}, **named)


def on_a_line(family: str) -> Through:
    network, (inputs, _) = case(family)
    ids, more = inputs, {}
    if family == "T5":
        ids, more = inputs["input_ids"], {"decoder_input_ids": inputs["decoder_input_ids"][:1]}
        for module in network.modules():
            if hasattr(module, "act"):
                module.act = nn.GELU()
    with torch.no_grad():
        signal = (
            ids if family in IMAGES else network.get_submodule(EMBEDDINGS[family])(ids).detach()
        )
    return Through(network, signal[0], signal[1], more).eval()


@checks("input_gradient_autocorrelation", by="finite differences along a line, numpy")
@pytest.mark.parametrize("family", CASES)
def test_gradients_on_a_line_are_finite_differences(family: str) -> None:
    network = on_a_line(family)
    with torch.no_grad():
        covector = torch.randn_like(network(torch.zeros(1, 1, dtype=torch.float64))[0])
    found = sn.input_gradient_autocorrelation(
        network, grid=GRID, between=(0.0, 1.0), lags=LAGS, covector=covector
    )
    places = torch.linspace(0, 1, GRID, dtype=torch.float64)[:, None]

    def central(step: float) -> np.ndarray:
        with torch.no_grad():
            ends = [network(places + sign * step) for sign in (1, -1)]
        return ((ends[0] - ends[1]) * covector).flatten(1).sum(1).numpy() / (2 * step)

    step = 4e-3 if family in COARSE else 1e-6
    g = (4 * central(step / 2) - central(step)) / 3
    size = np.abs(g).max()
    tolerance = 1e-3 if family in COARSE else 1e-5
    np.testing.assert_allclose(found.input_gradient, g, atol=tolerance * size, rtol=0)
    c = g - g.mean()
    acf = [float(c[: GRID - lag] @ c[lag:]) / float(c @ c) for lag in LAGS]
    scale = size**2 / float(c @ c)
    np.testing.assert_allclose(
        found.input_gradient_autocorrelation, acf, atol=20 * tolerance * scale
    )
    assert c.std() > 30 * tolerance * size, "a constant gradient proves nothing"
