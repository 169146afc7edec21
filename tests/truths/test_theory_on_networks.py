"""The canonical networks meet the theory at initialisation.

Truth: the closed forms of skipnorm.formulas.theory (Yang et al. 2019; Brock et al. 2021; derived
laws). Measured with a plain autograd loop over `network.blocks`, no probe of skipnorm.
"""

import math

import pytest
import torch

from skipnorm.formulas import theory
from skipnorm.formulas.moments import channel_squared_mean, channel_variance, mean_square
from skipnorm.formulas.similarity import sample_correlation
from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.tasks import Gaussian

EXACT = 0.0  # eps: the laws hold for norms without one


def bare(**fields):
    """A perceptron of blocks alone: the theory starts from what enters the first one."""
    return Perceptron(stem=False, head=False, eps=EXACT, **fields)


def stream(network, inputs):
    """What enters every block, and what leaves the last one."""
    points = [inputs]
    for block in network.blocks:
        points.append(block(points[-1]))
    return points


def squared_gradients(recipe, batch, seed):
    """Squared norm of the gradient at every point of the stream."""
    shape = recipe.width if isinstance(recipe, Perceptron) else (recipe.width, 16)
    inputs, covectors = Gaussian(shape).batch(batch, seed=seed)
    points = stream(recipe.build(seed), inputs.requires_grad_())
    gradients = torch.autograd.grad((points[-1] * covectors).sum(), points)
    return torch.stack([gradient.double().square().sum() for gradient in gradients])


def explosion_rate(activation, batch, seeds):
    """Geometric mean of the growth per layer over the bulk, layers 3 to 14 of 20."""
    recipe = bare(width=400, depth=20, norm="batch", activation=activation)
    logs = [squared_gradients(recipe, batch, seed).log() for seed in range(seeds)]
    growth = [log[:-1] - log[1:] for log in logs]
    return math.exp(torch.stack(growth)[:, 3:15].mean())


@pytest.mark.parametrize("batch", [8, 32])
def test_relu_batchnorm_explodes_at_yangs_rate(batch):
    expected = theory.relu_batchnorm_explosion_rate(batch)
    assert explosion_rate("relu", batch, seeds=10) == pytest.approx(expected, rel=0.015)


@pytest.mark.parametrize("batch", [8, 32])
def test_linear_batchnorm_explodes_at_yangs_rate(batch):
    expected = theory.linear_batchnorm_explosion_rate(batch)
    assert explosion_rate("identity", batch, seeds=10) == pytest.approx(expected, rel=0.025)


def test_tanh_batchnorm_lies_between_linear_and_relu():
    rate = explosion_rate("tanh", 32, seeds=4)
    assert theory.linear_batchnorm_explosion_rate(32) < rate
    assert rate < theory.relu_batchnorm_explosion_rate(32)


@pytest.mark.parametrize(("depth", "branch_scale"), [(10, 1.0), (50, 1.0), (50, 0.3)])
def test_residual_batchnorm_gradients_grow_polynomially(depth, branch_scale):
    recipe = bare(width=300, depth=depth, residual=True, norm="batch", branch_scale=branch_scale)
    squares = [squared_gradients(recipe, 256, seed) for seed in range(4)]
    ratio = math.exp(torch.stack([s[0].log() - s[-1].log() for s in squares]).mean())
    expected = theory.residual_batchnorm_gradient_ratio(depth, branch_scale)
    assert ratio == pytest.approx(expected, rel=0.05)


def moments(recipe, seeds, batch=500, shape=None):
    """Channel variance and channel squared mean along the stream, mean over seeds."""
    variance, squared_mean = [], []
    for seed in range(seeds):
        inputs, _ = Gaussian(shape or recipe.width).batch(batch, seed=seed)
        with torch.no_grad():
            points = stream(recipe.build(seed), inputs)
        variance.append(torch.stack([channel_variance(point) for point in points]))
        squared_mean.append(torch.stack([channel_squared_mean(point) for point in points]))
    return torch.stack(variance).mean(0), torch.stack(squared_mean).mean(0)


@pytest.mark.parametrize(
    ("order", "initializer", "depth"),
    [
        ("norm-act-weight", "he", 50),
        ("act-norm-weight", "lecun", 50),
        ("weight-norm-act", "he", 10),
    ],
)
def test_signal_propagation_slopes(order, initializer, depth):
    recipe = bare(
        width=500, depth=depth, residual=True, norm="batch", order=order, initializer=initializer
    )
    variance, squared_mean = moments(recipe, seeds=2)
    slope = (variance[-1] - variance[0]) / depth
    expected = theory.residual_channel_variance(order, 1) - 1
    assert float(slope) == pytest.approx(float(expected), rel=0.02)
    rise = (squared_mean[-1] - squared_mean[0]) / depth
    expected = theory.residual_channel_squared_mean(order, depth) / depth
    assert float(rise) == pytest.approx(float(expected), rel=0.02, abs=0.005)


def test_what_a_late_activation_adds_beyond_its_slope_is_shared_by_all_channels():
    # weight-norm-act at finite width: samples of larger norm get a larger mean in every channel,
    # block after block. Without that one direction the law holds at 50 blocks as well.
    recipe = bare(width=500, depth=50, residual=True, norm="batch", order="weight-norm-act")
    inputs, _ = Gaussian(500).batch(500, seed=0)
    with torch.no_grad():
        points = stream(recipe.build(0), inputs)
    across = [point - point.mean(dim=1, keepdim=True) for point in (points[0], points[-1])]
    slope = (channel_variance(across[1]) - channel_variance(across[0])) / 50
    excess = (channel_variance(points[-1]) - channel_variance(points[0])) / 50 - slope
    assert float(slope) == pytest.approx(theory.RELU_VARIANCE, rel=0.02)
    assert float(excess) > 0.1 * theory.RELU_VARIANCE


def test_he_weights_double_the_slope_behind_a_norm():
    # act-norm-weight hands signals of second moment 1, not 1/2, to its weights.
    recipe = bare(width=400, depth=20, residual=True, norm="batch", order="act-norm-weight")
    variance, _ = moments(recipe, seeds=2, batch=400)
    expected = theory.residual_channel_variance("act-norm-weight", 20, gain=2.0)
    assert float(variance[-1]) == pytest.approx(float(expected), rel=0.02)


@pytest.mark.parametrize(
    ("order", "activation"),
    [
        ("norm-act-weight", "relu"),
        ("norm-act-weight", "gelu"),
        ("norm-act-weight", "tanh"),
        ("full-preactivation", "relu"),
    ],
)
def test_normaliser_free_variance(order, activation):
    recipe = bare(
        width=400,
        depth=50,
        residual=True,
        order=order,
        activation=activation,
        initializer="nf",
        branch_scale=0.2,
    )
    variance, squared_mean = moments(recipe, seeds=2)
    measured = variance / variance[0]
    expected = torch.from_numpy(theory.nf_variance(range(51), 0.2)).to(measured)
    torch.testing.assert_close(measured, expected, rtol=0.01, atol=0)
    assert float(squared_mean[-1]) < 0.02


def test_normaliser_free_variance_with_scaled_shortcut():
    # Over 20 blocks most of the stream is renewed, so draws differ by 2 %: the mean of eight.
    recipe = bare(
        width=400,
        depth=20,
        residual=True,
        initializer="nf",
        branch_scale=0.5,
        shortcut_scale=0.9,
    )
    variance, _ = moments(recipe, seeds=8, batch=250)
    expected = float(theory.nf_variance(20, 0.5, 0.9))
    assert float(variance[-1] / variance[0]) == pytest.approx(expected, rel=0.02)


def test_second_moment_doubles_without_norm():
    recipe = bare(width=400, depth=10, residual=True)
    inputs, _ = Gaussian(400).batch(256, seed=0)
    logs = []
    for seed in range(8):
        with torch.no_grad():
            points = stream(recipe.build(seed), inputs)
        logs.append([math.log2(mean_square(point) / mean_square(inputs)) for point in points])
    measured = torch.tensor(logs).mean(0)
    expected = torch.from_numpy(theory.unnormalised_second_moment(range(11))).log2()
    # Twice the standard error of a draw; a factor 1.3 at ten blocks is log2 = 0.38.
    torch.testing.assert_close(measured, expected.to(measured), rtol=0.02, atol=0.05)


def test_channel_variance_decays_in_plain_he_networks():
    recipe = bare(width=500, depth=10)
    # Draws differ by 10 % from the fifth block on: the mean of 24 is good to 2 %.
    variance, squared_mean = moments(recipe, seeds=24, batch=256)
    measured = variance / (variance + squared_mean)
    expected = torch.from_numpy(theory.channel_variance_share(10)).to(measured)
    torch.testing.assert_close(measured, expected, rtol=0.05, atol=0)


def test_log_gain_of_he_networks_is_normal_with_the_derived_moments():
    # 400 draws of depth 20 and width 100: standard error of the variance 7 %, of the mean 0.05.
    logs = []
    for seed in range(400):
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randn(1, 100, generator=generator, dtype=torch.float64)
        network = bare(width=100, depth=20, bias=False).build(10_000 + seed, dtype=torch.float64)
        with torch.no_grad():
            logs.append(math.log(mean_square(stream(network, inputs)[-1]) / mean_square(inputs)))
    gains = torch.tensor(logs)
    # To second order the variance is larger by about 5 %.
    assert float(gains.var()) == pytest.approx(theory.log_gain_variance(20, 100), rel=0.2)
    assert float(gains.mean()) == pytest.approx(theory.log_gain_mean(20, 100), abs=0.15)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_most_stretched_direction_of_a_linear_network(depth):
    recipe = bare(width=400, depth=depth, activation="identity", initializer="lecun", bias=False)
    network = recipe.build(depth)
    product = stream(network, torch.eye(400))[-1].detach()
    largest = float(torch.linalg.matrix_norm(product, ord=2)) ** 2
    assert largest == pytest.approx(theory.fuss_catalan_edge(depth), rel=0.06)
    assert float(product.square().sum(0).mean()) == pytest.approx(1.0, rel=0.05)


def gradient_correlation(recipe, seeds, batch=64):
    """Mean cosine between the input gradients of two samples, one covector for all of them."""
    values = []
    for seed in range(seeds):
        inputs, covectors = Gaussian(recipe.width).batch(batch, seed=seed)
        inputs.requires_grad_()
        output = stream(recipe.build(seed), inputs)[-1]
        (gradient,) = torch.autograd.grad((output * covectors[:1]).sum(), inputs)
        values.append(float(sample_correlation(gradient)))
    return sum(values) / seeds


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_gradients_of_plain_networks_decorrelate_by_the_arc_cosine_law(depth):
    measured = gradient_correlation(bare(width=500, depth=depth), seeds=8)
    assert measured == pytest.approx(theory.plain_gradient_correlation(depth), rel=0.1)


@pytest.mark.parametrize("depth", [1, 5])
def test_gradients_of_residual_networks_decorrelate_more_slowly(depth):
    measured = gradient_correlation(bare(width=500, depth=depth, residual=True), seeds=8)
    assert measured == pytest.approx(theory.residual_gradient_correlation(depth), rel=0.1)


def test_convnet_explodes_like_a_perceptron_with_a_larger_batch():
    # With circular padding every position is alike; positions enlarge the batch, so the rate is
    # between the limit of large batches and that of the batch alone.
    recipe = ConvNet(
        stem=False, head=False, eps=EXACT, width=96, depth=12, norm="batch", padding="circular"
    )
    logs = torch.stack([squared_gradients(recipe, 16, seed).log() for seed in range(3)])
    rate = math.exp((logs[:, :-1] - logs[:, 1:])[:, 3:8].mean())
    assert rate > theory.RELU_BATCHNORM_EXPLOSION_LIMIT * 0.97
    assert rate < theory.relu_batchnorm_explosion_rate(16)


def test_convnet_stream_grows_by_the_same_slopes():
    recipe = ConvNet(
        stem=False,
        head=False,
        eps=EXACT,
        dims=2,
        width=64,
        depth=10,
        residual=True,
        norm="batch",
        padding="circular",
    )
    variance, squared_mean = moments(recipe, seeds=4, batch=32, shape=(64, 6, 6))
    total = (variance + squared_mean)[-1] - 1
    assert float(total / 10) == pytest.approx(1.0, rel=0.05)
