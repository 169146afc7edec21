"""Directions against sklearn's components, against loops over filters, and against their geometry."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from skipnorm.formulas.directions import (
    filter_normalised,
    gaussian,
    inner,
    layer_normalised,
    length,
    orthogonalised,
    principal,
    scaled,
)


def weights(dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    shapes = {"conv": (4, 3, 3, 3), "gain": (4,), "scale": (), "dense": (5, 7), "thin": (6, 1)}
    return {
        name: torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype)
        for name, shape in shapes.items()
    }


def drawn(of: dict[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    return gaussian(of, torch.Generator().manual_seed(seed))


def test_every_filter_is_as_long_as_that_of_the_weights_and_points_as_drawn() -> None:
    own, draw = weights(), drawn(weights())
    found = filter_normalised(draw, own)
    for name in ("conv", "dense", "thin"):
        for index in range(len(own[name])):
            torch.testing.assert_close(found[name][index].norm(), own[name][index].norm())
            cosine = (found[name][index] * draw[name][index]).sum() / (
                found[name][index].norm() * draw[name][index].norm()
            )
            torch.testing.assert_close(cosine, torch.ones_like(cosine))
    assert not found["gain"].any()
    assert not found["scale"].any()


def test_every_layer_is_as_long_as_that_of_the_weights() -> None:
    own = weights()
    found = layer_normalised(drawn(own), own)
    for name in ("conv", "dense", "thin"):
        torch.testing.assert_close(found[name].norm(), own[name].norm())
    assert not found["gain"].any()


@pytest.mark.parametrize("normalised", [filter_normalised, layer_normalised])
def test_rescaled_weights_get_rescaled_directions_from_the_same_draw(normalised: Any) -> None:
    own = weights()
    larger = {name: 3.0 * each for name, each in own.items()}
    ours, theirs = normalised(drawn(own), own), normalised(drawn(larger), larger)
    for name in own:
        torch.testing.assert_close(3.0 * ours[name], theirs[name], rtol=1e-14, atol=0)


def test_the_draw_depends_on_neither_precision_nor_vectors_nor_the_global_state() -> None:
    few = {name: each for name, each in weights().items() if each.dim() > 1}
    state = torch.get_rng_state()
    ours = drawn(weights(torch.float32))
    theirs = drawn(few)
    assert torch.equal(state, torch.get_rng_state())
    for name in few:
        assert torch.equal(ours[name].double(), theirs[name])
    half = filter_normalised(drawn(weights(torch.bfloat16)), weights(torch.bfloat16))
    assert half["conv"].dtype == torch.bfloat16
    assert half["conv"].isfinite().all()


def test_a_zero_filter_stays_zero_without_a_nan() -> None:
    own = weights()
    own["conv"][2] = 0
    found = filter_normalised(drawn(own), own)
    assert not found["conv"][2].any()
    assert all(each.isfinite().all() for each in found.values())


@pytest.mark.parametrize("within", ["filter", "layer", "whole"])
def test_right_angles_survive_the_normalisation_they_are_meant_for(within: Any) -> None:
    own = weights()
    first, second = drawn(own), orthogonalised(drawn(own, 1), drawn(own), within=within)
    if within == "whole":
        assert abs(float(inner(first, second))) < 1e-10
        return
    normalised = filter_normalised if within == "filter" else layer_normalised
    first, second = normalised(first, own), normalised(second, own)
    for name in ("conv", "dense"):
        assert abs(float((first[name] * second[name]).sum())) < 1e-6 * float(own[name].norm()) ** 2


def test_principal_components_are_those_of_sklearn() -> None:
    draw = torch.Generator().manual_seed(0)
    path = [
        {
            "a": torch.randn(3, 4, generator=draw).double(),
            "b": torch.randn(5, generator=draw).double(),
        }
        for _ in range(6)
    ]
    flat = np.stack([np.concatenate([s["a"].flatten(), s["b"]]) for s in path])
    oracle = PCA(3).fit(flat)
    components, shares, coordinates = principal(path, 3)
    ours = np.stack([np.concatenate([c["a"].flatten(), c["b"]]) for c in components])
    signs = np.sign((ours * oracle.components_).sum(1, keepdims=True))
    np.testing.assert_allclose(ours, signs * oracle.components_, atol=1e-12)
    np.testing.assert_allclose(shares, oracle.explained_variance_ratio_, rtol=1e-12)
    np.testing.assert_allclose(coordinates, oracle.transform(flat) * signs.T, atol=1e-12)
    assert (coordinates[0] <= 0).all()


def test_what_carries_no_variance_is_zero_and_not_noise() -> None:
    line = [{"a": torch.arange(4.0) * step} for step in range(4)]
    components, shares, _ = principal(line, 2)
    assert float(length(components[0])) == pytest.approx(1.0)
    assert float(length(components[1])) == 0.0
    assert shares[1] < 1e-14


def test_lengths_and_products_are_those_of_the_flat_vectors() -> None:
    own, other = weights(), drawn(weights())
    one = torch.cat([each.reshape(-1) for each in own.values()])
    two = torch.cat([each.reshape(-1) for each in other.values()])
    assert float(length(own)) == pytest.approx(float(one.norm()), rel=1e-14)
    assert float(inner(own, other)) == pytest.approx(float(one @ two), rel=1e-12)
    assert float(length(scaled(own, to=math.pi))) == pytest.approx(math.pi, rel=1e-14)
    assert not any(each.any() for each in scaled({"a": torch.zeros(3)}, to=1.0).values())
