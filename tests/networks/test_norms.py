"""Norms against their definitions written out."""

import pytest
import torch

from skipnorm.errors import NetworkError
from skipnorm.networks.norms import Centre, norm
from skipnorm.networks.vocabulary import NORMS

EPS = 1e-3


def maps(dims):
    generator = torch.Generator().manual_seed(dims)
    return 3 + 2 * torch.randn(5, 6, *[4] * dims, generator=generator, dtype=torch.float64)


def standardised(x, dim):
    mean = x.mean(dim, keepdim=True)
    return (x - mean) / (x.var(dim, correction=0, keepdim=True) + EPS).sqrt()


def expected(name, x):
    positions = list(range(2, x.dim()))
    if name == "batch":
        return standardised(x, [0, *positions])
    if name == "layer":
        return standardised(x, [1, *positions])
    if name == "instance":
        return standardised(x, positions)
    if name == "group":
        grouped = x.unflatten(1, (2, 3))
        return standardised(grouped, list(range(2, grouped.dim()))).flatten(1, 2)
    if name == "rms":
        return x / (x.square().mean([1, *positions], keepdim=True) + EPS).sqrt()
    return x - x.mean([0, *positions], keepdim=True)


@pytest.mark.parametrize("dims", [0, 1, 2])
@pytest.mark.parametrize("name", NORMS[1:])
@pytest.mark.parametrize("affine", [True, False])
def test_definition(name, dims, affine):
    if name == "instance" and dims == 0:
        pytest.skip("has no positions")
    module = norm(name, 6, dims=dims, groups=2, affine=affine, eps=EPS).double()
    x = maps(dims)
    torch.testing.assert_close(module(x), expected(name, x))
    has_parameters = affine and name != "centre"
    assert bool(list(module.parameters())) == has_parameters


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("name", ["layer", "rms"])
def test_scale_and_shift_of_maps_are_per_channel(name, dims):
    module, bare = (norm(name, 6, dims=dims, affine=affine).double() for affine in (True, False))
    gain, shift = torch.arange(6.0).double(), torch.arange(6.0, 12.0).double()
    x, shape = maps(dims), [1, 6] + [1] * dims
    wanted = bare(x) * gain.view(shape)
    with torch.no_grad():
        module.weight.copy_(gain)
        if name == "layer":
            module.bias.copy_(shift)
            wanted = wanted + shift.view(shape)
    torch.testing.assert_close(module(x), wanted)


@pytest.mark.parametrize("dims", [0, 1, 2])
@pytest.mark.parametrize("name", ["batch", "layer", "group", "rms"])
def test_eps_zero_is_exactly_scale_invariant(name, dims):
    module = norm(name, 6, dims=dims, groups=2, eps=0.0).double()
    x = maps(dims)
    torch.testing.assert_close(module(1e-6 * x), module(x), rtol=1e-7, atol=1e-7)


def test_centre_keeps_a_running_mean_for_evaluation():
    module, x = Centre(6).double(), maps(2)
    module(x)
    torch.testing.assert_close(module.running_mean, 0.1 * x.mean((0, 2, 3)))
    module.eval()
    kept = module.running_mean.clone()
    torch.testing.assert_close(module(x), x - kept.view(1, 6, 1, 1))
    assert torch.equal(module.running_mean, kept)


def test_none_is_no_module():
    assert norm("none", 3) is None


def test_refusals():
    with pytest.raises(NetworkError, match="norm='layer'"):
        norm("instance", 6)
    with pytest.raises(NetworkError, match="Did you mean 'batch'"):
        norm("btch", 6)
