"""`sn.measure`: the numbers of constructed networks are those known on paper, and labelled.

Source of truth: closed forms (named at each), and the declaration of every quantity.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from tests.anatomy.adversaries import Written
from torch import Tensor, nn
from torch.nn import functional as F

import skipnorm as sn
from skipnorm.errors import ProbeError
from skipnorm.evidence import store
from skipnorm.probes import likeness, moments

DOUBLE = torch.float64


def shown(x: Tensor, probes: Any = ("moments", "likeness")) -> xr.Dataset:
    """What is read of a signal that enters a ReLU: at the ports input and output."""
    network = nn.Sequential(nn.Identity(), nn.ReLU())
    evidence = sn.measure(network, (x, torch.zeros_like(x)), loss="mse", probes=list(probes))
    return evidence.isel(site=0)


# Signals of which everything is known -------------------------------------------------------------


def test_relu_of_a_gaussian() -> None:
    """Mean square 1/2, squared mean 1/(2 pi), variance (1 - 1/pi)/2 = 0.3408 (science.md 0)."""
    x = torch.randn(20_000, 8, dtype=DOUBLE)
    seen = shown(x, ["moments"]).sel(port="output")
    assert float(seen.mean_square) == pytest.approx(0.5, rel=0.02)
    assert float(seen.channel_squared_mean) == pytest.approx(1 / (2 * math.pi), rel=0.02)
    assert float(seen.channel_variance) == pytest.approx(0.340845, rel=0.02)


def test_kurtosis_of_known_distributions() -> None:
    """Gaussian 3, uniform 9/5, two values 1; a still channel has none."""
    count = 40_000
    probe = likeness(samples=count)
    columns = {
        3.0: torch.randn(count, 1, dtype=DOUBLE),
        1.8: torch.rand(count, 1, dtype=DOUBLE),
        1.0: torch.arange(count, dtype=DOUBLE).remainder(2)[:, None],
    }
    for expected, column in columns.items():
        still = torch.cat([column, torch.full((count, 1), 7.0, dtype=DOUBLE)], 1)
        number = float(shown(still, [probe]).kurtosis.sel(port="input"))
        assert number == pytest.approx(expected, rel=0.05)
    gaussian, binary = columns[3.0], columns[1.0]
    both = float(shown(torch.cat([gaussian, binary], 1), [probe]).kurtosis.sel(port="input"))
    assert both == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("angle", [0.0, 60.0, 90.0])
def test_correlation_of_two_directions(angle: float) -> None:
    """Two samples: the cosine of their angle, whatever their lengths."""
    radians = math.radians(angle)
    x = torch.tensor([[3.0, 0.0], [math.cos(radians), math.sin(radians)]], dtype=DOUBLE)
    seen = shown(x).sample_correlation.sel(port="input")
    assert float(seen) == pytest.approx(math.cos(radians), abs=1e-12)


def test_correlation_and_rank_of_an_orthogonal_batch() -> None:
    x = torch.eye(6, dtype=DOUBLE) * 5
    seen = shown(x).sel(port="input")
    assert float(seen.sample_correlation) == pytest.approx(0, abs=1e-12)
    assert float(seen.effective_rank) == pytest.approx(6)


def test_effective_rank_of_known_spectra() -> None:
    """exp of the entropy of the singular values' shares: (3, 1) gives 4 / 3^(3/4)."""
    left, _ = torch.linalg.qr(torch.randn(5, 2, dtype=DOUBLE))
    right, _ = torch.linalg.qr(torch.randn(7, 2, dtype=DOUBLE))
    x = left @ torch.diag(torch.tensor([3.0, 1.0], dtype=DOUBLE)) @ right.T
    assert float(shown(x).effective_rank.sel(port="input")) == pytest.approx(4 / 3**0.75)
    line = torch.arange(1.0, 6, dtype=DOUBLE)[:, None] * torch.ones(1, 4, dtype=DOUBLE)
    assert float(shown(line).effective_rank.sel(port="input")) == pytest.approx(1)


def test_moments_split_into_channel_mean_and_variance() -> None:
    """Channels (1, 3) and (5, 5): squared means 4 and 25, variances 1 and 0."""
    x = torch.tensor([[1.0, 5.0], [3.0, 5.0]], dtype=DOUBLE)
    seen = shown(x).sel(port="input")
    assert float(seen.channel_squared_mean) == pytest.approx(14.5, rel=1e-12)
    assert float(seen.channel_variance) == pytest.approx(0.5)
    assert float(seen.mean_square) == pytest.approx(15)


def test_a_small_variance_on_a_large_mean_keeps_its_digits() -> None:
    """1000 + N(0, 1) in float32: the variance of 1 must not drown in the mean square of 10^6."""
    x = torch.randn(4096, 4, generator=torch.Generator().manual_seed(0))
    expected = x.double().var(0, correction=0).mean()
    seen = shown(x + 1000, ["moments"]).sel(port="input")
    assert float(seen.channel_variance) == pytest.approx(float(expected), rel=1e-3)
    seen = shown((x + 30).bfloat16(), ["moments"]).sel(port="input")
    rounded = (x + 30).bfloat16().double()
    assert float(seen.channel_variance) == pytest.approx(
        float(rounded.var(0, correction=0).mean()), rel=1e-3
    )
    assert float(seen.mean_square) == pytest.approx(float(rounded.square().mean()), rel=1e-5)


def test_half_precision_does_not_overflow() -> None:
    """300^2 is beyond float16: mean square and kurtosis are computed wider."""
    x = torch.tensor([[300.0, -300.0], [-300.0, 300.0]], dtype=torch.bfloat16)
    network = nn.Sequential(nn.Identity(), nn.ReLU())
    seen = sn.measure(network, (x.half(), x.half()), probes=["moments"]).isel(site=0)
    assert float(seen.mean_square.sel(port="input")) == 90_000


def test_images_are_split_by_channel_over_samples_and_positions() -> None:
    """A constant image a channel: all is squared mean, nothing is variance."""
    levels = torch.tensor([1.0, 2.0, 3.0])[None, :, None, None].expand(4, 3, 5, 5).contiguous()
    seen = shown(levels).sel(port="input")
    assert float(seen.channel_squared_mean) == pytest.approx(14 / 3)
    assert float(seen.channel_variance) == pytest.approx(0, abs=1e-12)


def test_likeness_looks_at_the_first_samples_only() -> None:
    x = torch.cat([torch.eye(4), torch.ones(60, 4)])
    seen = shown(x, [likeness(samples=4)]).sel(port="input")
    assert float(seen.effective_rank) == pytest.approx(4, rel=1e-5)
    assert "samples=4" in shown(x, [likeness(samples=4)]).attrs["probes"]


# Gradients of which everything is known -----------------------------------------------------------


def orthogonal(width: int) -> Tensor:
    return torch.linalg.qr(torch.randn(width, width, dtype=DOUBLE))[0]


@pytest.mark.parametrize("gain", [0.5, 1.0, 3.0])
def test_growth_of_a_product_of_known_scalings(gain: float) -> None:
    """W = c Q with Q orthogonal: each step back multiplies the mean square by c^2.

    Biases keep all signals above zero, where ReLU is the identity and only marks the places.
    """
    width, depth = 6, 5
    network = nn.Sequential()
    x = h = torch.rand(4, width, dtype=DOUBLE)
    for _ in range(depth):
        linear = nn.Linear(width, width, dtype=DOUBLE)
        with torch.no_grad():
            linear.weight.copy_(gain * orthogonal(width))
            linear.bias.copy_(1 - (h @ linear.weight.T).amin(0))
            h = linear(h)
        network.extend([linear, nn.ReLU()])
    seen = sn.measure(network, (x, torch.randn(4, width, dtype=DOUBLE)), loss="inner_product")
    growth = seen.gradient_growth.sel(port="input").values
    assert growth[:-1] == pytest.approx(gain**2, rel=1e-9)
    assert np.isnan(growth[-1])
    sizes = seen.gradient_mean_square.sel(port="output").values
    assert sizes[0] / sizes[-1] == pytest.approx(gain ** (2 * (depth - 1)), rel=1e-9)


def test_growth_compares_sites_of_one_kind_and_size() -> None:
    network = nn.Sequential(
        nn.Linear(6, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 6),
        nn.Tanh(), nn.LayerNorm(6),
    ).double()  # fmt: skip
    x = torch.randn(5, 6, dtype=DOUBLE)
    seen = sn.measure(network, (x, x), loss="inner_product", probes="gradient")
    sizes, growth = seen.gradient_mean_square, seen.gradient_growth
    for site, following in (("1", "7"), ("2", "6")):
        for port in ("input", "output"):
            expected = float(sizes.sel(site=site, port=port) / sizes.sel(site=following, port=port))
            assert float(growth.sel(site=site, port=port)) == pytest.approx(expected)
    for site in ("4", "6", "7"):
        assert growth.sel(site=site).isnull().all()


def test_the_gradient_of_a_linear_loss_is_the_target() -> None:
    x, covector = torch.randn(4, 3), torch.randn(4, 3)
    network = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    seen = sn.measure(network, (x, covector), loss="inner_product").sel(site="1")
    expected = float(covector.square().mean())
    assert float(seen.gradient_mean_square.sel(port="output")) == pytest.approx(expected, rel=1e-6)
    on = network[0](x) > 0
    expected = float((covector * on).square().mean())
    assert float(seen.gradient_mean_square.sel(port="input")) == pytest.approx(expected, rel=1e-6)


def test_cosine_to_the_gradient_nearest_to_the_loss() -> None:
    """1 at the output; before a rotation by an angle its cosine; before a sign flip -1."""
    angle = math.radians(35)
    turn = nn.Linear(2, 2, bias=False)
    turn.weight.data = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    flip = nn.Linear(2, 2, bias=False)
    flip.weight.data = -torch.eye(2)
    network = Written(
        lambda net, x: F.relu(net.turn(F.relu(net.flip(F.relu(x)) + 500)) + 500),
        turn=turn,
        flip=flip,
    )
    x, covector = torch.rand(3, 2) + 1, torch.randn(3, 2)
    seen = sn.measure(network, (x, covector), loss="inner_product", probes="gradient")
    cosines = seen.gradient_cosine.sel(port="input").values
    assert cosines == pytest.approx([-math.cos(angle), math.cos(angle), 1], abs=1e-5)


def test_losses_by_name_are_what_their_names_say() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    x, real, classes = torch.randn(5, 4), torch.randn(5, 3), torch.randint(3, (5,))
    outputs = network(x).detach()
    expected = {
        ("mse", "real"): float((outputs - real).square().mean()),
        ("inner_product", "real"): float((outputs * real).sum()),
        ("cross_entropy", "classes"): float(
            -outputs.log_softmax(1)[torch.arange(5), classes].mean()
        ),
        (None, "real"): float((outputs - real).square().mean()),
        (None, "classes"): float(-outputs.log_softmax(1)[torch.arange(5), classes].mean()),
    }
    for (loss, kind), number in expected.items():
        targets = real if kind == "real" else classes
        evidence = sn.measure(network, (x, targets), loss=loss, probes="gradient")
        assert float(evidence.attrs["loss"]) == pytest.approx(number, rel=1e-6)


# Labels -------------------------------------------------------------------------------------------


def residual() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    network = sn.Perceptron(residual=True, norm="batch", depth=2, width=4, inputs=3).build(seed=0)
    return network, (torch.randn(6, 3), torch.randint(10, (6,)))


def test_every_default_quantity_is_there_with_its_labels() -> None:
    network, batch = residual()
    evidence = sn.measure(network, batch)
    at_ports = (
        "mean_square channel_squared_mean channel_variance kurtosis sample_correlation "
        "effective_rank gradient_mean_square gradient_cosine gradient_growth"
    ).split()
    at_sites = (
        "flow_total flow_shortcut flow_branch flow_elsewhere flow_shortcut_share flow_branch_share"
    ).split()
    for name in at_ports:
        assert evidence[name].dims == ("site", "port")
    for name in at_sites:
        assert evidence[name].dims == ("site",)
    assert list(evidence.port.values) == ["input", "output", "shortcut", "branch"]
    assert {"kind", "nature", "operation", "module", "index"} <= set(evidence.coords)
    assert list(evidence["index"].values) == list(range(len(evidence.site)))
    assert evidence.attrs["network"] == "PerceptronNetwork"


def test_evidence_can_be_written_and_read_again(tmp_path: Any) -> None:
    network, batch = residual()
    evidence = sn.measure(network, batch)
    store.write(evidence, tmp_path / "seen.nc")
    xr.testing.assert_identical(store.read(tmp_path / "seen.nc"), evidence)


def test_forward_probes_need_neither_targets_nor_a_loss() -> None:
    network, (x, _) = residual()
    evidence = sn.measure(network, x, probes=["moments", likeness()])
    assert "loss" not in evidence.attrs
    assert "gradient_mean_square" not in evidence
    assert evidence.mean_square.notnull().any()


def test_a_network_without_sites_gives_empty_evidence() -> None:
    evidence = sn.measure(nn.Linear(3, 3), (torch.randn(2, 3), torch.randn(2, 3)))
    assert evidence.sizes == {"site": 0, "port": 4}


def test_no_probes_at_all_list_the_sites() -> None:
    network, batch = residual()
    evidence = sn.measure(network, batch, probes=[])
    assert len(evidence.site) == len(sn.anatomy(network, batch[0]).sites)
    assert not evidence.data_vars


def test_what_is_not_seen_is_noted() -> None:
    class OddNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x) * 0.5

    network = nn.Sequential(OddNorm(), nn.ReLU())
    evidence = sn.measure(network, (torch.randn(3, 4), torch.randn(3, 4)))
    assert "OddNorm" in evidence.attrs["notes"]


def test_one_sample_has_no_correlation_but_a_size() -> None:
    network, (x, y) = residual()
    evidence = sn.measure(network.eval(), (x[:1], y[:1]))
    assert evidence.sample_correlation.isnull().all()
    assert evidence.mean_square.notnull().any()


def test_the_probe_moments_is_a_value() -> None:
    assert str(moments()) == "moments@2()"
    assert str(likeness(samples=8)) == "likeness@1(samples=8)"


class Asking(nn.Module):
    """Asks its input for a gradient, as networks that differentiate themselves do."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.requires_grad_()
        return torch.tanh(self.fc(x))


def test_a_network_may_ask_its_input_for_a_gradient() -> None:
    x = torch.randn(3, 4)
    asked = sn.measure(Asking(), (x, x), loss="inner_product")
    assert asked.gradient_mean_square.sel(site="tanh", port="output") > 0
    assert len(sn.anatomy(Asking(), torch.randn(3, 4, requires_grad=True))) == 1


def test_one_number_a_sample_is_one_channel() -> None:
    """A binary classifier ends in a vector: mean 2, variance 1."""

    class Binary(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x.squeeze(-1))

    x = torch.tensor([[1.0], [3.0]], dtype=DOUBLE)
    seen = sn.measure(Binary(), (x, x.squeeze(-1)), loss="inner_product").sel(port="output")
    assert float(seen.channel_squared_mean[0]) == pytest.approx(4)
    assert float(seen.channel_variance[0]) == pytest.approx(1)


@pytest.mark.parametrize("size", [1e-22, 1.0, 1e20])
def test_shares_of_the_gradient_do_not_depend_on_its_size(size: float) -> None:
    torch.manual_seed(0)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.tanh(x)
            return x + torch.relu(self.fc(x))

    network, x = Block(), torch.randn(5, 8)
    seen = sn.measure(network, (x, x), loss=lambda out, _: (out * size).sum(), probes="flow")
    plain = sn.measure(network, (x, x), loss=lambda out, _: out.sum(), probes="flow")
    for name in ("shortcut", "branch", "elsewhere"):
        share = f"flow_{name}_share"
        assert float(seen[share].sel(site="add")) == pytest.approx(
            float(plain[share].sel(site="add")), rel=1e-5, abs=1e-6
        )


@pytest.mark.parametrize("loss", ["mse", "inner_product"])
def test_a_loss_that_would_spread_one_over_the_other_is_refused(loss: str) -> None:
    with pytest.raises(ProbeError, match=r"shape \(6, 1\), found \(6,\)"):
        sn.measure(
            nn.Sequential(nn.Linear(4, 1), nn.ReLU()),
            (torch.randn(6, 4), torch.randn(6)),
            loss=loss,
        )


def test_tokens_are_classified_one_by_one() -> None:
    """(batch, tokens, classes) against (batch, tokens), as language models are trained."""
    network, x = nn.Sequential(nn.Linear(4, 9), nn.LayerNorm(9)), torch.randn(2, 5, 4)
    targets = torch.randint(0, 9, (2, 5))
    found = float(sn.measure(network, (x, targets)).attrs["loss"])
    expected = nn.functional.cross_entropy(network(x).flatten(0, 1), targets.flatten())
    assert found == pytest.approx(expected.item(), rel=1e-6)


def test_a_network_without_sites_says_so() -> None:
    empty = sn.measure(nn.Linear(4, 4), (torch.randn(3, 4), torch.randn(3, 4)))
    assert empty.sizes["site"] == 0
    assert "no norm, activation or skip" in empty.attrs["notes"]
