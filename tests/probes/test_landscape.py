"""A landscape against what is known on paper, against loops written out by hand, and against itself."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skipnorm.errors import ProbeError
from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.probes.findings import Findings
from skipnorm.probes.landscape import landscape
from skipnorm.studies.measure import labelled

PLACES = [-0.5, -0.25, 0.0, 0.25, 0.5]


def bits(value: Any) -> bytes:
    return np.asarray(value, dtype=np.float64).tobytes()


def regression(batches: int = 1) -> tuple[nn.Linear, list[tuple[Tensor, Tensor]]]:
    torch.manual_seed(3)
    network = nn.Linear(3, 2, bias=False, dtype=torch.float64)
    sizes = [5, 7, 4, 6][:batches]
    pairs = [(torch.randn(n, 3).double(), torch.randn(n, 2).double()) for n in sizes]
    return network, pairs


def images(
    count: int = 6, seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 3, 8, 8, generator=draw, dtype=torch.float64).to(dtype)
    return inputs, torch.randint(0, 10, (count,), generator=draw)


def convnet(norm: str = "batch", dtype: torch.dtype | None = None) -> nn.Module:
    return ConvNet(depth=3, width=8, residual=True, norm=norm, inputs=3, dims=2).build(
        0, dtype=dtype
    )


def moved_by_hand(network: nn.Module, direction: dict[str, Tensor], by: float) -> nn.Module:
    other = copy.deepcopy(network)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if name in direction:
                parameter += by * direction[name]
    return other


# Known on paper


def test_a_quadratic_bowl_is_an_exact_parabola_along_a_line() -> None:
    """Linear regression: L(w + x d) = L(w) + x <g, d> + x^2/2 d'Hd, with H = 2/(N out) X'X for each output."""
    network, [(inputs, targets)] = regression()
    found = landscape(network, (inputs, targets), loss="mse", along="line", points=9, distance=2.0)
    x, values = found.coords["x"], found.values["loss"]
    weight = network.weight.detach()
    direction = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).double()
    direction *= weight.norm(dim=1, keepdim=True) / direction.norm(dim=1, keepdim=True)
    residual = inputs @ weight.T - targets
    scale = targets.numel()
    slope = 2 / scale * (residual.T @ inputs * direction).sum()
    bend = 2 / scale * (inputs @ direction.T).square().sum()
    start = residual.square().mean()
    expected = start + torch.as_tensor(x) * slope + torch.as_tensor(x) ** 2 * bend / 2
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    assert x[0] == -2.0
    assert x[4] == 0.0


def test_a_plane_through_a_bowl_holds_the_eigenvalues_of_its_hessian() -> None:
    """Along eigenvectors of length ||w|| the loss rises by lambda x^2 ||w||^2 / 2 from a minimum."""
    torch.manual_seed(0)
    inputs = torch.randn(40, 4).double()
    true = torch.tensor([[1.0, -2.0, 0.5, 3.0]]).double()
    network = nn.Linear(4, 1, bias=False, dtype=torch.float64)
    network.weight.data.copy_(true)
    values, vectors = torch.linalg.eigh(2 / 40 * inputs.T @ inputs)
    directions = {"x": vectors[:, -1], "y": [vectors[:, 0].reshape(1, 4) * 7]}
    batch = (inputs, inputs @ true.T)
    found = landscape(network, batch, loss="mse", directions=directions, points=5)
    x = torch.as_tensor(found.coords["x"])
    grid = (values[-1] * x[:, None] ** 2 + values[0] * x[None, :] ** 2) * true.square().sum() / 2
    np.testing.assert_allclose(found.values["loss"], grid, atol=1e-13)
    np.testing.assert_allclose(found.values["unit_length"], [true.norm()] * 2, rtol=1e-14)
    assert abs(float(found.values["cosine"])) < 1e-12


def test_along_the_hessians_eigenvectors_the_bowl_rises_by_its_eigenvalues() -> None:
    """The eigenvectors of 2/N X'X by LAPACK: the rise over the linear part is lambda x^2 ||w||^2 / 2."""
    torch.manual_seed(0)
    inputs = torch.randn(40, 4).double()
    network = nn.Linear(4, 1, bias=False, dtype=torch.float64)
    values = torch.linalg.eigvalsh(2 / 40 * inputs.T @ inputs)
    batch = (inputs, torch.randn(40, 1).double())
    found = landscape(network, batch, loss="mse", directions="eigenvectors", points=3)
    loss, square = found.values["loss"], network.weight.detach().square().sum()
    bends = [loss[0, 1] + loss[2, 1] - 2 * loss[1, 1], loss[1, 0] + loss[1, 2] - 2 * loss[1, 1]]
    np.testing.assert_allclose(bends, [values[-1] * square, values[-2] * square], rtol=1e-4)
    assert "eigenvalues" in found.settings["directions"]


@pytest.mark.parametrize("factor", [7.0, 0.01])
def test_rescaling_neighbouring_layers_changes_nothing(factor: float) -> None:
    """H3-i: W_l -> a W_l, b_l -> a b_l, W_{l+1} -> W_{l+1} / a under ReLU, the same draw."""
    network = Perceptron(depth=4, width=12, inputs=6, outputs=3).build(1, dtype=torch.float64)
    other = copy.deepcopy(network)
    linears = [module for module in other.modules() if isinstance(module, nn.Linear)]
    with torch.no_grad():
        for name, by in (("weight", factor), ("bias", factor)):
            getattr(linears[1], name).mul_(by)
        linears[2].weight.div_(factor)
    batch = (torch.randn(9, 6).double(), torch.randint(0, 3, (9,)))
    for along in ("line", "plane"):
        ours, theirs = (
            landscape(each, batch, along=along, points=5, seed=4) for each in (network, other)
        )
        np.testing.assert_allclose(ours.values["loss"], theirs.values["loss"], rtol=1e-11)
    spread = np.ptp(ours.values["loss"])
    assert spread > 0.1, "the landscape is not flat"


@pytest.mark.parametrize("statistics", ["batch", "running", "recalibrated"])
def test_rescaling_a_convolution_before_a_batch_norm_changes_nothing(statistics: Any) -> None:
    """BN(c W u) = BN(W u) up to eps / variance; running statistics have to be rescaled with it."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3, bias=False),
        nn.BatchNorm2d(5, eps=1e-14),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(180, 4),
    ).double()
    inputs = images(dtype=torch.float64)[0]
    network(inputs)
    network.eval()
    batch = (inputs, torch.randint(0, 4, (6,)))
    other = copy.deepcopy(network)
    with torch.no_grad():
        other[0].weight.mul_(50.0)
        other[1].running_mean.mul_(50.0)
        other[1].running_var.mul_(2500.0)
    ours, theirs = (
        landscape(each, batch, along="plane", points=5, statistics=statistics)
        for each in (network, other)
    )
    np.testing.assert_allclose(ours.values["loss"], theirs.values["loss"], rtol=1e-10)
    assert np.ptp(ours.values["loss"]) > 0.1


def test_filter_directions_are_as_long_as_the_weights_and_at_a_right_angle() -> None:
    network = convnet()
    found = landscape(network, images(), along="plane", points=1)
    matrices = [p.detach().double() for p in network.parameters() if p.dim() > 1]
    norm = math.sqrt(sum(float(each.square().sum()) for each in matrices))
    np.testing.assert_allclose(found.values["unit_length"], [norm, norm], rtol=1e-6)
    assert abs(float(found.values["cosine"])) < 1e-6


# Against loops written out by hand


@pytest.mark.parametrize("statistics", ["batch", "running", "recalibrated"])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_a_line_is_what_a_loop_over_copies_finds(norm: str, statistics: Any) -> None:
    network = convnet(norm).train()
    batches = [images(6, 0), images(4, 1)]
    with torch.no_grad():
        network(batches[0][0])
    direction = {
        name: torch.randn(p.shape, generator=torch.Generator().manual_seed(5))
        for name, p in network.named_parameters()
    }
    found = landscape(
        network,
        batches,
        along="line",
        directions={"x": direction},
        points=PLACES,
        statistics=statistics,
    )
    scale = float(found.values["unit_length"][0]) / math.sqrt(
        sum(float(each.double().square().sum()) for each in direction.values())
    )
    direction = {name: each * scale for name, each in direction.items()}
    for index, x in enumerate(PLACES):
        other = moved_by_hand(network, direction, x)
        norms = [module for module in other.modules() if isinstance(module, nn.BatchNorm2d)]
        if statistics == "recalibrated":
            for each in norms:
                each.reset_running_stats()
                each.momentum = None
            with torch.no_grad():
                for inputs, _ in batches:
                    other(inputs)
        for each in norms:
            each.train(statistics == "batch")
        with torch.no_grad():
            losses = [float(F.cross_entropy(other(inputs), targets)) for inputs, targets in batches]
        np.testing.assert_allclose(found.values["batch_loss"][index], losses, rtol=2e-4)
        expected = (6 * losses[0] + 4 * losses[1]) / 10
        np.testing.assert_allclose(found.values["loss"][index], expected, rtol=2e-4)
    said = found.settings["batch_norm"]
    word = {"batch": "by the batch", "running": "running", "recalibrated": "estimated anew"}[
        statistics
    ]
    assert (word in said) if norm == "batch" else said == "the network has none"


@pytest.mark.parametrize("statistics", ["as_is", "batch", "running"])
@pytest.mark.parametrize("along", ["line", "plane"])
def test_the_centre_is_the_networks_own_loss_to_the_last_bit(along: Any, statistics: Any) -> None:
    network = convnet().train()
    batch = images()
    network(batch[0])
    found = landscape(network, batch, along=along, points=5, distance=0.3, statistics=statistics)
    twin = copy.deepcopy(network)
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(statistics != "running")
    with torch.no_grad():
        own = float(F.cross_entropy(twin(batch[0]), batch[1]))
    centre = 2 if along == "line" else (2, 2)
    assert bits(found.values["loss"][centre]) == bits(own)
    assert found.values["difference"][centre] == 0.0


@pytest.mark.parametrize(
    "name", ["lstm", "attention", "encoder", "channels_last", "half", "sliced"]
)
def test_the_centre_is_exact_whatever_holds_the_weights(name: str) -> None:
    torch.manual_seed(0)
    inputs: Any = torch.randn(4, 6, 16)
    network: nn.Module
    if name == "lstm":
        network = nn.LSTM(16, 8, batch_first=True)
    elif name == "attention":
        network = nn.MultiheadAttention(16, 4, batch_first=True)
        inputs = (inputs, inputs, inputs)
    elif name == "encoder":
        network = nn.TransformerEncoderLayer(16, 4, batch_first=True).eval()
    elif name == "half":
        network, inputs = nn.Linear(16, 8).bfloat16(), inputs.bfloat16()
    elif name == "sliced":  # weights that begin at an odd place in memory
        network = nn.Linear(16, 8)
        memory = torch.randn(16 * 8 + 3)
        network.weight = nn.Parameter(memory[3:].view(8, 16))
    else:
        network = nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
        inputs = torch.randn(2, 3, 12, 12).to(memory_format=torch.channels_last)

    def loss(outputs: Any, targets: Any) -> Tensor:
        return (outputs[0] if isinstance(outputs, tuple) else outputs).float().sin().mean()

    batch = (inputs, None)
    found = landscape(network, batch, loss=loss, along="plane", points=3)
    with torch.no_grad():
        own = loss(network(*inputs) if isinstance(inputs, tuple) else network(inputs), None)
    assert bits(found.values["loss"][1, 1]) == bits(own)
    assert len(set(found.values["loss"].ravel().tolist())) == 9, "every point is another"


def test_autocast_does_not_keep_the_weights_of_the_point_before() -> None:
    network, batch = convnet("layer"), images()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.no_grad():
            own = float(F.cross_entropy(network(batch[0]), batch[1]))
        found = landscape(network, batch, along="line", points=5)
        assert torch.is_autocast_cache_enabled()
    assert bits(found.values["loss"][2]) == bits(own)
    assert len(set(found.values["loss"].tolist())) == 5


def test_tied_weights_move_together() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(5, 5, bias=False), nn.ReLU(), nn.Linear(5, 5, bias=False)
    ).double()
    network[2].weight = network[0].weight
    inputs = torch.randn(3, 5).double()
    batch = (inputs, torch.zeros(3, 5).double())
    found = landscape(
        network,
        batch,
        loss="mse",
        along="line",
        points=[0.0, 1.0],
        directions={"x": torch.ones(25)},
    )
    weight = network[0].weight.detach()
    moved = weight + torch.ones(5, 5).double() * weight.norm() / 5
    np.testing.assert_allclose(
        found.values["loss"][1], ((inputs @ moved.T).relu() @ moved.T).square().mean(), rtol=1e-12
    )


def test_the_error_bar_is_the_standard_error_of_paired_differences() -> None:
    network, batches = regression(4)
    same = [(inputs[:4], targets[:4]) for inputs, targets in batches]
    found = landscape(network, same, loss="mse", along="line", points=5)
    by_hand = found.values["batch_loss"] - found.values["batch_loss"][2]
    np.testing.assert_allclose(found.values["difference"], by_hand.mean(1), atol=1e-15)
    expected = by_hand.std(axis=1, ddof=1) / math.sqrt(4)
    np.testing.assert_allclose(found.values["difference_error"], expected, rtol=1e-12)
    assert found.values["difference_error"][2] == 0
    alone = landscape(network, same[:1], loss="mse", along="line", points=5)
    assert np.isnan(alone.values["difference_error"]).all()
    assert "several" in alone.notes[-1]


def test_the_error_bar_covers_what_other_batches_give() -> None:
    """Brute force: over many draws of eight batches the estimate has the spread that the error bar claims."""
    torch.manual_seed(0)
    network = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    estimates, errors = [], []
    for _ in range(150):
        batches = [(torch.randn(4, 3).double(), torch.randn(4, 1).double()) for _ in range(8)]
        found = landscape(
            network,
            batches,
            loss="mse",
            along="line",
            points=[0.0, 0.5],
            directions={"x": torch.ones(3)},
        )
        estimates.append(found.values["difference"][1])
        errors.append(found.values["difference_error"][1])
    ratio = np.sqrt(np.mean(np.square(errors))) / np.std(estimates, ddof=1)
    assert 0.8 < ratio < 1.25  # the spread of 150 draws is known to 6 %, three times over


# Between states, along trajectories


def test_the_ends_of_an_interpolation_are_the_two_losses() -> None:
    first, second = (
        convnet(),
        ConvNet(depth=3, width=8, residual=True, norm="batch", inputs=3, dims=2).build(9),
    )
    batch = images()
    for seed, network in enumerate((first, second)):
        network.train()
        network(images(12, seed + 5)[0])
        network.eval()
    states = (first.state_dict(), second.state_dict())
    third = ConvNet(depth=3, width=8, residual=True, norm="batch", inputs=3, dims=2).build(5).eval()
    found = landscape(third, batch, along="interpolation", states=states, points=5)
    assert found.coords["x"].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    with torch.no_grad():
        for index, network in ((0, first), (4, second)):
            own = float(F.cross_entropy(network(batch[0]), batch[1]))
            assert bits(found.values["loss"][index]) == bits(own)
        middle = copy.deepcopy(third)
        halfway = {
            name: (states[0][name] + states[1][name]) / 2
            if states[0][name].is_floating_point()
            else states[1][name]
            for name in states[0]
        }
        middle.load_state_dict(halfway)
        own = float(F.cross_entropy(middle(batch[0]), batch[1]))
    np.testing.assert_allclose(found.values["loss"][2], own, rtol=1e-5)
    alone = landscape(first, batch, along="interpolation", states=second.state_dict(), points=5)
    assert bits(alone.values["loss"]) == bits(found.values["loss"])


def test_a_state_of_another_network_is_refused() -> None:
    other = convnet().state_dict()
    with pytest.raises(ProbeError, match="a state lacks"):
        landscape(
            nn.Linear(3, 3), torch.zeros(1, 3), loss="mse", along="interpolation", states=other
        )
    wrong = {"weight": torch.zeros(3, 2), "bias": torch.zeros(3)}
    with pytest.raises(ProbeError, match="shape"):
        landscape(
            nn.Linear(3, 3), torch.zeros(1, 3), loss="mse", along="interpolation", states=wrong
        )


def test_a_trajectory_lies_where_its_states_are() -> None:
    """States in a known plane: their coordinates on the axes give back their distances, and each its loss."""
    network, [(inputs, targets)] = regression()
    first, second = torch.zeros(2, 3), torch.zeros(2, 3)
    first[0, 0], second[1, 2] = 1.0, 1.0
    offsets = [(3.0, 0.0), (2.0, 0.5), (1.0, 0.5), (0.0, 0.0)]
    final = network.weight.detach().clone()
    states = [{"weight": final + a * first + b * second} for a, b in offsets]
    found = landscape(
        network, (inputs, targets), loss="mse", directions="trajectory", states=states, points=21
    )
    track = found.values["track"] * found.values["unit_length"]
    lengths = [math.hypot(a, b) for a, b in offsets]
    np.testing.assert_allclose(np.linalg.norm(track, axis=1), lengths, atol=1e-12)
    np.testing.assert_allclose(found.values["track_share"].sum(), 1.0, rtol=1e-12)
    assert np.abs(found.values["track"]).max() <= found.coords["x"][-1]
    exact = landscape(
        network,
        (inputs, targets),
        loss="mse",
        directions="trajectory",
        states=states,
        points=sorted({0.0, *found.values["track"][0].tolist()}),
    )
    at = [exact.coords["x"].tolist().index(place) for place in found.values["track"][0]]
    own = F.mse_loss(inputs @ states[0]["weight"].T, targets)
    np.testing.assert_allclose(exact.values["loss"][at[0], at[1]], own, rtol=1e-12)


def test_states_on_a_line_span_no_plane() -> None:
    network, [batch] = regression()
    states = [{"weight": network.weight.detach() * by} for by in (0.0, 0.5, 1.0)]
    with pytest.raises(ProbeError, match="on a line"):
        landscape(network, batch, loss="mse", directions="trajectory", states=states)
    found = landscape(
        network, batch, loss="mse", along="line", directions="trajectory", states=states, points=5
    )
    np.testing.assert_allclose(np.abs(found.values["track"][:, 0]), [1.0, 0.5, 0.0], atol=1e-12)


# What is not finite, what makes no sense, what is left behind


def test_what_is_not_finite_stays() -> None:
    class Fragile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([[1.0]]))

        def forward(self, inputs: Tensor) -> Tensor:
            return self.weight.log() * inputs

    batch = (torch.ones(2, 1), torch.zeros(2, 1))
    found = landscape(
        Fragile(),
        batch,
        loss="mse",
        along="line",
        points=[-2.0, -1.0, 0.0, 1.0],
        directions={"x": torch.ones(1)},
    )
    values = found.values["loss"]
    assert np.isnan(values[0])
    assert np.isposinf(values[1])
    assert values[2] == 0.0
    np.testing.assert_allclose(values[3], math.log(2) ** 2, rtol=1e-6)
    assert "not finite at 2 of 4 points" in found.notes[0]
    assert np.isposinf(found.values["difference"][1])
    assert np.isnan(found.values["difference"][0])


def test_a_network_that_diverged_is_reported_as_such() -> None:
    network = nn.Linear(2, 1)
    network.bias.data.fill_(math.inf)
    found = landscape(
        network, (torch.ones(1, 2), torch.zeros(1, 1)), loss="mse", along="line", points=3
    )
    assert np.isposinf(found.values["loss"]).all()
    assert np.isnan(found.values["difference"]).all()
    network.weight.data.fill_(math.nan)
    with pytest.raises(ProbeError, match="length nan"):
        landscape(
            network, (torch.ones(1, 2), torch.zeros(1, 1)), loss="mse", along="line", points=3
        )


def traces(network: nn.Module) -> list[Any]:
    return [
        [
            (
                name,
                id(tensor),
                tensor.data_ptr(),
                tensor._version,
                tensor.detach().clone(),
                tensor.grad,
            )
            for name, tensor in (*network.named_parameters(), *network.named_buffers())
        ],
        [module.training for module in network.modules()],
        [type(module) for module in network.modules()],
        [len(module._forward_hooks) for module in network.modules()],
        torch.get_rng_state(),
    ]


def same(before: list[Any], after: list[Any]) -> bool:
    for one, other in zip(before[0], after[0], strict=True):
        if one[:3] != other[:3] or not torch.equal(one[4], other[4]) or one[5] is not other[5]:
            return False
    return before[1:4] == after[1:4] and torch.equal(before[4], after[4])


@pytest.mark.parametrize("statistics", ["as_is", "batch", "running", "recalibrated"])
@pytest.mark.parametrize("training", [True, False])
def test_the_same_answer_twice_and_no_trace(training: bool, statistics: Any) -> None:
    network = nn.Sequential(convnet(), nn.ReLU(inplace=True), nn.Dropout(0.5)).train(training)
    network(images()[0]).sum().backward()
    before = traces(network)
    batches = [images(), images(5, 1)]
    kept = [inputs.clone() for inputs, _ in batches]
    first, second = (
        landscape(network, batches, points=3, statistics=statistics, seed=2) for _ in range(2)
    )
    assert bits(first.values["batch_loss"]) == bits(second.values["batch_loss"])
    assert first.notes == ()
    assert same(before, traces(network))
    assert all(torch.equal(a, b) for a, (b, _) in zip(kept, batches, strict=True))


def test_no_trace_where_it_raises_midway() -> None:
    class Late(nn.Module):
        calls = 0

        def __init__(self) -> None:
            super().__init__()
            self.inner = convnet()

        def forward(self, inputs: Tensor) -> Tensor:
            Late.calls += 1
            if Late.calls > 4:
                raise RuntimeError("enough")
            return self.inner(inputs)

    network = Late().train()
    before = traces(network)
    with pytest.raises(RuntimeError, match="enough"):
        landscape(network, images(), along="line", points=9)
    assert same(before, traces(network))


def test_weights_are_never_written_not_even_for_a_moment() -> None:
    """A graph that waits for its backward is not disturbed."""
    network = convnet().eval()
    batch = images()
    waiting = F.cross_entropy(network(batch[0]), batch[1])
    landscape(network, batch, points=3)
    waiting.backward()


def test_a_forward_that_writes_into_its_input_is_right_at_every_point() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)]
    plain = nn.Sequential(nn.LeakyReLU(-1.0), *layers)
    rash = nn.Sequential(nn.LeakyReLU(-1.0, inplace=True), *copy.deepcopy(layers))
    batch = (torch.randn(5, 4), torch.randint(0, 2, (5,)))
    for statistics in ("as_is", "recalibrated"):
        ours, theirs = (
            landscape(each, batch, along="line", points=5, statistics=statistics)
            for each in (rash, plain)
        )
        assert bits(ours.values["loss"]) == bits(theirs.values["loss"])
        assert ours.notes == theirs.notes


def test_buffers_that_a_forward_writes_and_reads_start_afresh_at_every_point() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Linear(6, 4)), nn.Linear(4, 2)
    ).train()
    batch = (torch.randn(5, 6), torch.randint(0, 2, (5,)))
    few = landscape(network, batch, along="line", points=[0.0, 0.5])
    many = landscape(network, batch, along="line", points=[-1.0, -0.5, 0.0, 0.25, 0.5])
    assert bits(few.values["loss"]) == bits(many.values["loss"][[2, 4]])
    assert not any("another loss" in note for note in few.notes + many.notes)


def test_a_network_that_answers_differently_is_found_out() -> None:
    class Moody(nn.Linear):
        calls = 0

        def forward(self, inputs: Tensor) -> Tensor:
            Moody.calls += 1
            return super().forward(inputs) + 0.01 * Moody.calls

    found = landscape(
        Moody(2, 1), (torch.ones(1, 2), torch.zeros(1, 1)), loss="mse", along="line", points=3
    )
    assert "another loss when asked again" in found.notes[-1]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"along": "circle"}, "Did you mean|along"),
        ({"points": 24}, "odd number"),
        ({"points": 0}, "odd number"),
        ({"points": [0.5, 1.0]}, "0 among the places"),
        ({"points": [0.0, 1.0, 0.5]}, "ascending"),
        ({"points": [0.0, 1.0], "distance": 1.0}, "either a distance or"),
        ({"distance": 0.0}, "positive fraction"),
        ({"distance": math.nan}, "positive fraction"),
        ({"directions": "filtre"}, "filter"),
        ({"directions": 3}, "expected one of"),
        ({"directions": {"x": torch.ones(1)}}, "along x and y"),
        ({"directions": {"x": torch.ones(1), "y": torch.ones(1)}}, "one for every weight"),
        ({"directions": {"x": {"weigth": torch.ones(1)}, "y": {}}}, "weight"),
        ({"directions": "trajectory"}, "at least 3 states"),
        ({"along": "interpolation"}, "two states"),
        ({"along": "interpolation", "distance": 1.0}, "no distance"),
        ({"states": [{}]}, "no states"),
        ({"workers": 0}, "number of processes"),
        ({"statistics": "frozen"}, "statistics"),
        ({"where": "nothing*"}, "no parameter"),
        ({"where": "*bias"}, "only vectors"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_the_remedy(settings: Any, word: str) -> None:
    network, batch = nn.Linear(3, 2), (torch.randn(4, 3), torch.randn(4, 2))
    with pytest.raises(ProbeError, match=word):
        landscape(network, batch, **{"loss": "mse", "points": 3, **settings})


def test_a_choice_of_parameters_moves_only_those() -> None:
    network = Perceptron(depth=3, width=8, inputs=4, outputs=2).build(0)
    batch = (torch.randn(5, 4), torch.randint(0, 2, (5,)))
    name = next(name for name, p in network.named_parameters() if p.dim() > 1)
    found = landscape(network, batch, along="line", points=3, where=name)
    weight = dict(network.named_parameters())[name]
    np.testing.assert_allclose(found.values["unit_length"], [weight.norm().item()], rtol=1e-6)


def test_the_result_is_evidence() -> None:
    found: Findings = landscape(convnet(), [images(), images(4, 1)], points=3)
    evidence = labelled(found)
    assert evidence["loss"].dims == ("x", "y")
    assert evidence["batch_loss"].sizes == {"x": 3, "y": 3, "batch": 2}
    assert "training" in evidence.attrs["mode"]
    assert evidence.attrs["statistics"] == "as_is"
    seen: list[tuple[int, int]] = []
    landscape(convnet(), images(), along="line", points=3, progress=lambda *x: seen.append(x))
    assert seen[0] == (0, 3)
    assert seen[-1] == (3, 3)
