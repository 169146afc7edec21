"""Norm-free conversions of a BN residual net start at the variance that theory predicts.

Truth: H5-c (`1 + alpha^2 l`, Brock et al. 2021), H5-d (`2^l`, De & Smith 2020), `(1 + beta^2)^l` for constant branches.
"""

import math

import pytest
import torch
from torch import Tensor, nn

import skipnorm as sn
from skipnorm.formulas.propagation import nf_variance, unnormalised_second_moment

DEPTH, WIDTH, SAMPLES = 10, 500, 400
BN = sn.Perceptron(
    residual=True, norm="batch", depth=DEPTH, width=WIDTH, inputs=WIDTH, stem=False, head=False
)
NORMLESS = sn.SwapNorm(to="none", expect=DEPTH)


@pytest.fixture(scope="module")
def patient() -> tuple[nn.Module, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return BN.build(seed=0), torch.randn(SAMPLES, WIDTH, generator=generator)


def after_blocks(network: nn.Module, x: Tensor) -> list[Tensor]:
    """The stream behind every block."""
    seen = []
    with torch.no_grad():
        for block in network.blocks:
            x = block(x)
            seen.append(x)
    return seen


def variance(x: Tensor) -> float:
    """Averaged over channels, of each over the samples."""
    return float(x.double().var(0).mean())


def test_without_norms_the_second_moment_doubles_per_block(patient):
    network, x = patient
    plain = sn.operate(network, NORMLESS, inputs=x)
    moments = [float(each.double().square().mean()) for each in after_blocks(plain, x)]
    expected = unnormalised_second_moment(range(1, DEPTH + 1))
    for found, predicted in zip(moments, expected, strict=True):
        assert 1 / 1.3 < found / predicted < 1.3  # H5-d


@pytest.mark.parametrize("learnable", [False, True])
def test_skipinit_keeps_the_second_moment_below_e(patient, learnable):
    network, x = patient
    beta = DEPTH**-0.5
    skipinit = sn.operate(
        network, NORMLESS, sn.ScaleSkips(branch=beta, learnable=learnable), inputs=x
    )
    found = float(after_blocks(skipinit, x)[-1].double().square().mean())
    assert found == pytest.approx((1 + 1 / DEPTH) ** DEPTH, rel=0.05)
    assert found < math.e * 1.05


def test_skipinit_from_zero_is_the_identity(patient):
    network, x = patient
    zero = sn.operate(network, NORMLESS, sn.ScaleSkips(branch=0.0, learnable=True), inputs=x)
    assert torch.equal(zero(x), x)


@pytest.mark.parametrize("alpha", [0.2, 0.5])
def test_normaliser_free_blocks_add_alpha_squared_each(patient, alpha):
    """`alpha f(x / beta_l)` is `(alpha / beta_l) f(x)` for ReLU, which is homogeneous: a factor for each skip."""
    network, x = patient
    skips = [site.name for site in sn.anatomy(network, x).skips]
    scales = [
        sn.ScaleSkips(where=name, branch=alpha / float(nf_variance(block, alpha)) ** 0.5, expect=1)
        for block, name in enumerate(skips)
    ]
    free = sn.operate(network, NORMLESS, sn.StandardizeWeights(where="*.weight"), *scales, inputs=x)
    found = [variance(each) / variance(x) for each in after_blocks(free, x)]
    expected = [1 + alpha**2 * block for block in range(1, DEPTH + 1)]
    assert found == pytest.approx(expected, rel=0.01)  # H5-c


def test_a_constant_factor_alone_grows_geometrically(patient):
    """Without dividing by `beta_l`, each block adds alpha^2 of what it is given."""
    network, x = patient
    free = sn.operate(
        network,
        NORMLESS,
        sn.StandardizeWeights(where="*.weight"),
        sn.ScaleSkips(branch=0.5),
        inputs=x,
    )
    assert variance(after_blocks(free, x)[-1]) == pytest.approx(1.25**DEPTH * variance(x), rel=0.03)


def test_a_branch_of_standardised_weights_has_the_variance_of_its_input(patient):
    network, x = patient
    free = sn.operate(network, NORMLESS, sn.StandardizeWeights(where="*.weight"), inputs=x)
    with torch.no_grad():
        branch = free.blocks[0].branch(x)
    assert variance(branch) == pytest.approx(1, rel=0.01)
    assert float(branch.double().mean(0).square().mean()) < 0.02  # and no mean, as behind a norm
