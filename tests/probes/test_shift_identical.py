"""How identically distributed: what is identical by construction, closed forms, scipy, and the null's own level."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from skipnorm.errors import ProbeError
from skipnorm.formulas.distances import gaussian_wasserstein, wasserstein
from skipnorm.networks.recipe import Perceptron
from skipnorm.probes.shift.identical import identical
from skipnorm.probes.shift.null import Chance, between_groups, between_units
from skipnorm.studies.measure import labelled


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seen(network: nn.Module, *batches, **settings):
    return labelled(identical(network, *batches, **settings))


def split(x: Tensor, size: int) -> list:
    return [(part, None) for part in x.split(size)]


TANH = nn.Sequential(nn.Tanh())


def test_from_training_to_test_data_in_closed_form():
    """Two Gaussians a shift s apart pool to the standard deviation sqrt(1 + s^2/4)."""
    train, test = draw(6000, 1), draw(6000, 1, seed=1) + 2
    at = seen(TANH, split(train, 3000), (test, None)).sel(site="0", port="input")
    assert at.identical_test.item() == pytest.approx(2 / math.sqrt(1 + 1), abs=0.04)
    assert at.identical_test_null_high < 0.1
    wide = seen(TANH, split(train, 3000), (3 * train, None)).sel(site="0", port="input")
    expected = gaussian_wasserstein(0, 2) / math.sqrt((1 + 9) / 2)
    assert wide.identical_test.item() == pytest.approx(expected, abs=0.04)


def test_units_of_different_scale_in_closed_form():
    """Pool of N(0,1) and N(4,1): variance 1 + 4; each unit lies E|.| away, checked by scipy."""
    x = draw(4000, 2) + torch.tensor([0.0, 4.0])
    at = seen(TANH, split(x, 2000)).sel(site="0", port="input")
    pool = x.flatten().numpy()
    expected = np.mean([scipy.stats.wasserstein_distance(row, pool) for row in x.T.numpy()])
    assert at.identical_units.item() == pytest.approx(expected / pool.std(), rel=1e-5)
    assert at.identical_units > 10 * at.identical_units_null_high


def test_batches_against_the_others_agree_with_scipy():
    x = draw(90, 3)
    parts = list(x.split([20, 30, 40]))
    found = seen(TANH, [(part, None) for part in parts]).sel(site="0", port="output")
    parts, rows = [torch.tanh(part) for part in parts], []
    for number, part in enumerate(parts):
        rest = torch.cat([other for at, other in enumerate(parts) if at != number])
        rows.append(
            [
                scipy.stats.wasserstein_distance(a, b) / np.tanh(c).std()
                for a, b, c in zip(
                    part.T.numpy(), rest.T.numpy(), x.T.double().numpy(), strict=True
                )
            ]
        )
    assert found.identical_batches.item() == pytest.approx(np.mean(rows), rel=1e-5)


def test_chance_exceeds_its_high_level_in_one_case_of_twenty():
    """The permutation test is exact: binomial with p = 1/20 over 300 independent data sets."""
    above = np.zeros(2)
    for trial in range(300):
        values, chance = draw(2, 40, 1, seed=trial).double(), Chance(19, 10_000 + trial)
        for number, level in enumerate(
            (
                between_groups([values[:, :20], values[:, 20:]], chance),
                between_units(draw(3, 20, 1, seed=5000 + trial), chance),
            )
        ):
            above[number] += level.found > level.high
    low, high = scipy.stats.binom.interval(0.999, 300, 0.05)
    assert (above >= low).all()
    assert (above <= high).all()


def test_positions_of_a_sample_are_kept_together():
    """Samples whose positions are all alike: a null that scattered positions would be far too low."""
    above = 0
    for trial in range(40):
        images = draw(1, 40, 1, seed=trial).expand(1, 40, 16).double()
        level = between_groups([images[:, :20], images[:, 20:]], Chance(19, trial))
        above += level.found > level.high
    assert above <= scipy.stats.binom.ppf(0.9999, 40, 0.05)


def test_the_gaussian_is_known_and_the_rectified_one_is_not():
    """ReLU of a Gaussian: standardised, its distance to the Gaussian by quadrature."""
    x = draw(6000, 1)
    found = seen(nn.Sequential(nn.ReLU()), split(x, 3000)).sel(site="0")
    before, after = found.sel(port="input"), found.sel(port="output")
    assert before.identical_gaussian < 2 * before.identical_gaussian_null_high
    z = scipy.stats.norm.ppf((np.arange(1_000_000) + 0.5) / 1_000_000)
    mean, sd = 1 / math.sqrt(2 * math.pi), math.sqrt((1 - 1 / math.pi) / 2)
    expected = np.abs((np.maximum(z, 0) - mean) / sd - z).mean()
    assert after.identical_gaussian.item() == pytest.approx(expected, abs=0.02)
    assert after.unit_gaussian.values[0] == after.identical_gaussian.item()


def test_the_first_state_has_distance_zero_and_others_agree_with_drift():
    network, other = (Perceptron(depth=1, width=4, inputs=3).build(seed) for seed in (0, 1))
    x = draw(50, 3)
    found = seen(network, split(x, 25), states=(network, other.state_dict()))
    assert (found.identical_time[0].fillna(0) == 0).all()
    with torch.no_grad():
        a, b = ((net.blocks[0].weight(net.stem(x))).T.double() for net in (network, other))
    pooled = torch.cat([a, b], dim=1).std(dim=1, correction=0)
    expected = (wasserstein(a, b) / pooled).mean().item()
    site = found.site.values[found.kind.values == "activation"][-1]
    at = found.sel(site=site, port="input", step=1)
    assert at.identical_time.item() == pytest.approx(expected, rel=1e-5)


def test_batch_statistics_make_batches_more_alike_than_chance():
    """What the essay hopes for, and its price: no such thing with running statistics, nor without norm."""
    x = draw(400, 24)
    for norm, statistics, alike in (
        ("batch", "batch", True),
        ("batch", "running", False),
        ("none", "as_is", False),
    ):
        network = Perceptron(depth=1, width=24, inputs=24, norm=norm, stem=False).build(0)
        found = seen(network, split(x, 50), statistics=statistics)
        at = found.sel(site=found.site[found.kind == "activation"][0], port="input")
        if alike:
            assert at.identical_batches < 0.8 * at.identical_batches_null
        else:
            ratio = (at.identical_batches / at.identical_batches_null).item()
            assert ratio == pytest.approx(1, abs=0.15)


def test_the_price_at_test_time_shows_where_running_statistics_are_stale():
    network = Perceptron(depth=1, width=4, inputs=4, norm="batch", stem=False).build(0)
    x, test = 3 * draw(200, 4) + 1, 3 * draw(200, 4, seed=1) + 1
    stale = seen(
        network, split(x, 100), (test, None), statistics="batch", test_statistics="running"
    )
    fresh = seen(network, split(x, 100), (test, None), statistics="batch")
    site = stale.site[stale.kind == "norm"][0]
    at, same = (each.sel(site=site, port="output") for each in (stale, fresh))
    with torch.no_grad():  # the running statistics still are 0 and 1
        weight = network.blocks[0].weight
        met = [(y - y.mean(0)) / y.std(0, correction=0) for y in map(weight, x.split(100))]
        train, used = torch.cat(met).T.double().numpy(), weight(test).T.double().numpy()
    expected = [
        scipy.stats.wasserstein_distance(a, b) / np.concatenate([a, b]).std()
        for a, b in zip(train, used, strict=True)
    ]
    assert at.identical_test.item() == pytest.approx(np.mean(expected), rel=1e-4)
    assert at.identical_test > at.identical_test_null_high
    assert same.identical_test < 2 * same.identical_test_null_high


def test_nan_is_reported_and_units_that_stand_still_are_left_out():
    x = draw(40, 3)
    x[:, 0] = 7
    found = seen(nn.Sequential(nn.ReLU()), split(x, 20)).sel(site="0", port="input")
    assert found.identical_batches.notnull()
    assert np.isnan(found.unit_gaussian).values.tolist() == [True, False, False]
    x[3, 1] = math.nan
    found = seen(nn.Sequential(nn.ReLU()), split(x, 20), (x, None)).sel(site="0", port="input")
    for name in ("batches", "units", "test", "gaussian"):
        assert np.isnan(found[f"identical_{name}"].item()), name


def test_what_is_missing_is_said_and_what_makes_no_sense_refused():
    found = seen(TANH, draw(9, 2))
    assert found.identical_batches.isnull().all()
    assert "two or more" in found.attrs["notes"]
    assert "batches_test" in found.attrs["notes"]
    with pytest.raises(ProbeError, match="draws"):
        identical(TANH, split(draw(8, 2), 4), draws=1)
    with pytest.raises(ProbeError, match="positions"):
        identical(TANH, split(draw(8, 2), 4), positions=0)
    with pytest.raises(ProbeError, match="one size"):
        identical(TANH, [(draw(2, 3, 9, 9), None), (draw(2, 3, 1, 2), None)])
