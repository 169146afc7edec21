"""What is known on paper about operations: identities between altered networks and networks written otherwise."""

import copy
import math

import pytest
import torch
from tests.surgery.patients import patient, stirred
from torch import Tensor, nn
from torch.nn import functional as F

import skipnorm as sn
from skipnorm.surgery.channels import normalised

DOUBLE = torch.float64


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    return dict(network.state_dict())


# Skips --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("kind", [sn.Perceptron, sn.ConvNet])
def test_a_residual_net_without_shortcuts_is_the_plain_net_of_the_same_weights(
    kind: type, norm: str
) -> None:
    """Exactly: `W phi(norm(x))` block after block, built as a plain recipe and given the same weights."""
    settings = {"depth": 4, "width": 6, "norm": norm, "stem": False, "head": False}
    residual = stirred(
        kind(**settings, residual=True, order="weight-norm-act").build(0, dtype=DOUBLE)
    )
    plain = kind(**settings, residual=False, order="weight-norm-act").build(1, dtype=DOUBLE)
    plain.load_state_dict(residual.state_dict())
    x = (
        torch.randn(5, 6, dtype=DOUBLE)
        if kind is sn.Perceptron
        else torch.randn(5, 6, 7, dtype=DOUBLE)
    )
    cut = sn.operate(residual, sn.CutSkips(expect=4), inputs=x)
    assert torch.equal(cut(x), plain(x))
    assert not torch.equal(residual(x), plain(x))
    assert not sn.anatomy(cut, x).skips


@pytest.mark.parametrize("operation", [sn.ScaleSkips(branch=0), sn.DropBranches()])
def test_without_branches_a_stack_of_identity_blocks_is_the_identity(
    operation: sn.Operation,
) -> None:
    recipe = sn.Perceptron(residual=True, norm="batch", depth=5, width=6, stem=False, head=False)
    network, x = recipe.build(0, dtype=DOUBLE), torch.randn(4, 6, dtype=DOUBLE)
    altered = sn.operate(network, operation, inputs=x)
    assert torch.equal(altered(x), x)
    assert altered(x).data_ptr() != x.data_ptr()


def test_rezero_starts_as_the_identity_and_skipinit_as_its_recipe() -> None:
    settings = {"residual": True, "depth": 4, "width": 6, "stem": False, "head": False}
    x = torch.randn(4, 6, dtype=DOUBLE)
    plain = sn.Perceptron(**settings).build(0, dtype=DOUBLE)
    rezero = sn.operate(plain, sn.ScaleSkips(branch=0.0, learnable=True), inputs=x)
    assert torch.equal(rezero(x), x)
    recipe = sn.Perceptron(**settings, initializer="skipinit").build(0, dtype=DOUBLE)
    bare = sn.Perceptron(**settings).build(0, dtype=DOUBLE)
    same = {key: value for key, value in recipe.state_dict().items() if not key.endswith("scale")}
    bare.load_state_dict(same)
    skipinit = sn.operate(bare, sn.ScaleSkips(branch=1 / math.sqrt(4), learnable=True), inputs=x)
    torch.testing.assert_close(skipinit(x), recipe(x))
    learned = [each.numel() for key, each in skipinit.named_parameters() if "branch_scale" in key]
    assert learned == [1] * 4


def test_layer_scale_has_a_factor_for_each_channel() -> None:
    """Touvron et al. 2021: x + diag(lambda) branch(x), here with channels second and channels last."""
    made = patient("resnet")
    layer = sn.ScaleSkips(branch=0.1, learnable=True, per="channel")
    altered = sn.operate(made.network, layer, inputs=made.x)
    gates = [each for key, each in altered.named_parameters() if key.endswith("branch_scale")]
    assert [tuple(gate.shape) for gate in gates] == [(4, 1), (4, 1)]
    gains = torch.tensor([[0.0], [1.0], [2.0], [-1.0]], dtype=DOUBLE)
    with torch.no_grad():
        gates[0].copy_(gains)
    h, block = torch.randn(2, 4, 7, dtype=DOUBLE), made.network.blocks[0]
    torch.testing.assert_close(altered.blocks[0](h), torch.relu(h + gains * block.branch(h)))


def test_stochastic_depth_keeps_the_mean_and_its_share() -> None:
    """Huang et al. 2016: a sample's branch is dropped with probability p, else divided by 1 - p."""
    network = nn.Sequential(_Plus()).double()
    x = torch.ones(20000, 1, dtype=DOUBLE)
    altered = sn.operate(network, sn.ScaleSkips(drop=0.3), inputs=x[:4]).train()
    output = altered(x)
    dropped = output == 1
    assert set(output.unique().tolist()) == {1.0, 1 + 2 / 0.7}
    assert abs(float(dropped.double().mean()) - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 20000)
    assert torch.equal(altered.eval()(x), network(x))


class _Plus(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1)
        nn.init.constant_(self.linear.weight, 2.0)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(x)


def test_a_block_with_a_skip_added_is_a_residual_block() -> None:
    settings = {"depth": 3, "width": 6, "norm": "layer", "stem": False, "head": False}
    plain = sn.Perceptron(**settings).build(0, dtype=DOUBLE)
    residual = sn.Perceptron(**settings, residual=True, order="weight-norm-act").build(
        0, dtype=DOUBLE
    )
    residual.load_state_dict(plain.state_dict())
    x = torch.randn(4, 6, dtype=DOUBLE)
    added = sn.operate(plain, sn.AddSkips(expect=3), inputs=x)
    assert torch.equal(added(x), residual(x))
    assert [site.shortcut for site in sn.anatomy(added, x).skips] == ["identity"] * 3
    assert torch.equal(sn.operate(added, sn.CutSkips(expect=3), inputs=x)(x), plain(x))


def test_blocks_run_in_the_order_that_is_asked_for() -> None:
    made = patient("encoder")
    network = made.network
    turned = sn.operate(network, sn.PermuteBlocks(), inputs=made.x)
    expected = network.layers[0](network.layers[1](made.x))
    assert torch.equal(turned(made.x), expected)
    same = sn.operate(network, sn.PermuteBlocks(order=(0, 1)), inputs=made.x)
    assert torch.equal(same(made.x), network(made.x))


# Norms --------------------------------------------------------------------------------------------


def test_a_norm_whose_statistics_are_0_and_1_can_go_but_for_eps() -> None:
    """(x - 0) / sqrt(1 + eps) * 1 + 0: nothing but a factor 1 - eps / 2 for each norm on the way."""
    recipe = sn.ConvNet(residual=True, norm="batch", order="original", depth=3, width=4)
    network, x = recipe.build(0, dtype=DOUBLE).eval(), torch.randn(3, 1, 9, dtype=DOUBLE)
    bare = sn.operate(network, sn.SwapNorm(to="none", expect=6), inputs=x)
    difference = (bare(x) - network(x)).norm() / bare(x).norm()
    assert 0 < difference < 6 * 1e-5
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm1d):
            norm.eps = 0.0
    assert torch.allclose(bare(x), network(x), rtol=1e-13)


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "circular"])
def test_folding_is_exact(dims: int, residual: bool, padding: str) -> None:
    """To 1e-5 in float32, with skips too, against torch's own fusion; to rounding in float64."""
    recipe = sn.ConvNet(
        residual=residual, norm="batch", order="original" if residual else None, depth=3, width=4,
        dims=dims, padding=padding,
    )  # fmt: skip
    network = stirred(recipe.build(0, dtype=DOUBLE)).eval()
    x = torch.randn(3, 1, *[7] * dims, dtype=DOUBLE)
    for dtype, tolerance in ((torch.float32, 1e-5), (DOUBLE, 1e-13)):
        narrow, given = copy.deepcopy(network).to(dtype), x.to(dtype)
        folded = sn.operate(narrow, sn.FoldNorm(), inputs=given)
        difference = (folded(given) - narrow(given)).norm() / narrow(given).norm()
        assert difference < tolerance
        assert not sn.anatomy(folded, given).norms
    block = network.blocks[0]
    pair = (block.weight1, block.norm1) if residual else (block.weight, block.norm)
    fused = torch.nn.utils.fusion.fuse_conv_bn_eval(*pair)
    mine = folded.blocks[0].weight1 if residual else folded.blocks[0].weight
    assert torch.equal(mine.weight, fused.weight)
    assert torch.equal(mine.bias, fused.bias)


@pytest.mark.parametrize(
    ("layer", "norm", "shape"),
    [
        (nn.Linear(5, 6), nn.BatchNorm1d(6), (4, 5)),
        (nn.Linear(5, 6, bias=False), nn.BatchNorm1d(6, affine=False), (4, 5)),
        (nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), (4, 4, 5, 5)),
        (nn.ConvTranspose2d(4, 6, 3), nn.BatchNorm2d(6), (4, 4, 5, 5)),
        (nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3), (2, 2, 3, 3, 3)),
    ],
)
def test_every_linear_map_folds(layer: nn.Module, norm: nn.Module, shape: tuple[int, ...]) -> None:
    network = stirred(nn.Sequential(layer, norm, nn.Tanh()).double()).eval()
    x = torch.randn(shape, dtype=DOUBLE)
    folded = sn.operate(network, sn.FoldNorm(expect=1), inputs=x)
    torch.testing.assert_close(folded(x), network(x), rtol=1e-12, atol=1e-13)


def test_page_frozen_batch_norm_is_the_affine_map_of_its_first_batch() -> None:
    """What the norm does to the very batch stays; any other batch meets the same map."""
    recipe = sn.Perceptron(norm="batch", depth=3, width=6, inputs=6)
    network, x = stirred(recipe.build(0, dtype=DOUBLE)), torch.randn(9, 6, dtype=DOUBLE)
    static = sn.operate(network, sn.SwapNorm(to="static"), inputs=x)
    torch.testing.assert_close(static(x), copy.deepcopy(network)(x))
    whole, alone = static(torch.cat([x, 10 * x])), static(10 * x)
    torch.testing.assert_close(whole[9:], alone)
    assert all(each.requires_grad for each in static.parameters())
    static.train()(x)
    torch.testing.assert_close(static(10 * x), alone)


@pytest.mark.parametrize("family", ["batch", "layer", "group", "instance", "rms"])
@pytest.mark.parametrize("shape", [(6, 8), (4, 8, 5), (3, 8, 4, 4), (2, 8, 2, 3, 2)])
def test_every_kind_of_norm_is_what_its_formula_says(family: str, shape: tuple[int, ...]) -> None:
    """With the scale and the shift of the batch norm whose place it takes."""
    if family == "instance" and len(shape) == 2:
        pytest.skip("a signal without positions")
    kinds = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    network = stirred(nn.Sequential(kinds[len(shape)](8), nn.Identity()).double()).train()
    x = 3 + 2 * torch.randn(shape, dtype=DOUBLE)
    swapped = sn.operate(
        network, sn.SwapNorm(to=family, groups=4 if family == "group" else None), inputs=x
    )
    axes = {
        "batch": [0, *range(2, len(shape))],
        "layer": list(range(1, len(shape))),
        "instance": list(range(2, len(shape))),
        "rms": list(range(1, len(shape))),
    }
    if family == "group":
        parts = x.reshape(shape[0], 4, -1)
        plain = (parts - parts.mean(2, keepdim=True)) / (
            parts.var(2, unbiased=False, keepdim=True) + 1e-5
        ).sqrt()
        plain = plain.reshape(shape)
    else:
        centre = 0 if family == "rms" else x.mean(axes[family], keepdim=True)
        spread = (x - centre).square().mean(axes[family], keepdim=True)
        plain = (x - centre) / (spread + 1e-5).sqrt()
    per = [8] + [1] * (len(shape) - 2)
    weight, bias = network[0].weight.view(per), network[0].bias.view(per)
    expected = plain * weight + (0 if family == "rms" else bias)
    torch.testing.assert_close(swapped(x), expected)
    torch.testing.assert_close(normalised(x, family, 1, groups=4, eps=1e-5), plain)


def test_moved_norms_act_on_the_other_side() -> None:
    made = patient("convnet")
    after = sn.operate(made.network, sn.MoveNorm(to="after_activation"), inputs=made.x)
    h = made.network.stem(made.x)
    for block in made.network.blocks:
        h = copy.deepcopy(block.norm)(torch.relu(block.weight(h)))
    expected = made.network.head(h)
    torch.testing.assert_close(after(made.x), expected)
    back = sn.operate(after, sn.MoveNorm(to="before_activation"), inputs=made.x)
    torch.testing.assert_close(copy.deepcopy(back)(made.x), copy.deepcopy(made.network)(made.x))


def test_a_norm_moves_around_an_activation_that_is_a_call() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.norm = nn.Linear(6, 6), nn.LayerNorm(6)

        def forward(self, x: Tensor) -> Tensor:
            return F.gelu(self.norm(self.linear(x)))

    network = stirred(nn.Sequential(Block(), Block()).double())
    x = torch.randn(4, 6, dtype=DOUBLE)
    moved = sn.operate(network, sn.MoveNorm(to="after_activation", expect=2), inputs=x)
    h = x
    for block in network:
        h = block.norm(F.gelu(block.linear(h)))
    torch.testing.assert_close(moved(x), h)
    back = sn.operate(moved, sn.MoveNorm(to="before_activation", expect=2), inputs=x)
    torch.testing.assert_close(back(x), network(x))


def test_a_norm_whose_output_goes_elsewhere_too_is_not_moved() -> None:
    """Pre-activation with a shared norm: the shortcut takes what is between norm and activation."""

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.linear, self.side = nn.LayerNorm(6), nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(x)
            return self.side(x) + self.linear(torch.relu(x))

    network, x = nn.Sequential(Shared(), Shared()), torch.randn(4, 6)
    with pytest.raises(sn.SurgeryError, match="found none"):
        sn.operate(network, sn.MoveNorm(to="after_activation"), inputs=x)


def test_the_noise_is_that_of_algorithm_1() -> None:
    """Santurkar et al. 2018, appendix A: mean and variance of the noise of a unit, and of the units."""
    network = nn.Sequential(nn.LayerNorm(400, elementwise_affine=False)).double()
    x = torch.randn(3000, 400, dtype=DOUBLE)
    settings = {"n_mu": 2.0, "n_sigma": 3.0, "r_mu": 0.5, "r_sigma": 0.4}
    noisy = sn.operate(network, sn.NoisyNorm(**settings), inputs=x[:3]).train()
    clean, output = network(x), noisy(x)
    # per unit: a' = s a + m, with E m = mu, E s = sigma: a regression of a' on a gives both
    slope = (clean * output).mean(0) / clean.square().mean(0)
    offset = output.mean(0)
    assert offset.min() > -2.1
    assert offset.max() < 2.1
    assert abs(offset.std() - 2.0 / math.sqrt(3)) < 0.1
    assert abs(slope.mean() - 2.0) < 0.1
    assert abs(slope.std() - 2.0 / math.sqrt(12)) < 0.05
    rest = output - slope * clean - offset
    assert abs(rest.var() - (0.4**2 + 0.5**2 / 3)) < 0.01
    assert not torch.equal(noisy(x), output)
    assert torch.equal(noisy.eval()(x), clean)


def test_without_their_affine_map_norms_are_plain() -> None:
    made = patient("perceptron")
    removed = sn.operate(made.network, sn.RemoveAffine(), inputs=made.x)
    by_hand = copy.deepcopy(made.network)
    for module in by_hand.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    torch.testing.assert_close(removed(made.x), by_hand(made.x))
    assert not any(key.endswith("norm.weight") for key, _ in removed.named_parameters())


def test_frozen_things_stand_still_while_the_rest_learns() -> None:
    made = patient("resnet")
    both = sn.operate(made.network, sn.FreezeAffine(), sn.FreezeStatistics(), inputs=made.x)
    start = {key: value.clone() for key, value in both.state_dict().items()}
    optimiser = torch.optim.SGD(both.parameters(), 0.1)
    for _ in range(3):
        optimiser.zero_grad()
        both(made.x).square().mean().backward()
        optimiser.step()
    for key, value in both.state_dict().items():
        still = ".norm" in key
        assert torch.equal(value, start[key]) == still, key
