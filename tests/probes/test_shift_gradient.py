"""Santurkar's gradient form of covariate shift: plain autograd, closed forms, and the published deep linear nets."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from skipnorm.errors import ProbeError
from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.probes.shift.gradient import shift_gradient
from skipnorm.studies.measure import labelled


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seen(network: nn.Module, batch, **settings):
    return labelled(shift_gradient(network, batch, **settings))


def by_hand(network: nn.Module, order: list[str], loss, step: float) -> dict[str, tuple]:
    """||G - G'|| and cosine of each layer by ordinary backward passes on copies."""

    def slopes(patient: nn.Module) -> dict[str, Tensor]:
        patient.zero_grad()
        loss(patient).backward()
        return {name: p.grad.clone() for name, p in patient.named_parameters()}

    before = slopes(copy.deepcopy(network))
    found = {}
    for number, layer in enumerate(order):
        mixed = copy.deepcopy(network)
        with torch.no_grad():
            for name, p in mixed.named_parameters():
                if name.rpartition(".")[0] in order[:number]:
                    p -= step * before[name]
        after = slopes(mixed)
        own = [name for name in before if name.rpartition(".")[0] == layer]
        g, moved = (torch.cat([part[name].flatten() for name in own]) for part in (before, after))
        cosine = torch.cosine_similarity(g, moved, dim=0).item()
        found[layer] = ((g - moved).norm().item(), cosine, g.norm().item(), moved.norm().item())
    return found


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_every_layer_agrees_with_plain_backward_passes(norm: str):
    network = Perceptron(depth=3, width=8, inputs=5, outputs=3, norm=norm).build(
        0, dtype=torch.float64
    )
    x, y = draw(16, 5), draw(16, 3, seed=1)
    names = ["stem"]
    for block in range(3):
        names += [f"blocks.{block}.weight"] + [f"blocks.{block}.norm"] * (norm != "none")
    order = [*names, "head"]
    owners = {name.rpartition(".")[0] for name, _ in network.named_parameters()}
    order = [name for name in order if name in owners]
    found = seen(network, (x, y), loss="mse", step=0.3)
    assert set(found.layer.values) == owners
    expected = by_hand(network, list(found.layer.values), lambda n: ((n(x) - y) ** 2).mean(), 0.3)
    assert [str(name) for name in found.layer.values if name in order] == order
    for layer, (apart, cosine, size, moved) in expected.items():
        at = found.sel(layer=layer)
        assert at.gradient_shift.item() == pytest.approx(apart, rel=1e-9, abs=1e-14)
        assert at.gradient_shift_cosine.item() == pytest.approx(cosine, rel=1e-9)
        assert at.gradient_length.item() == pytest.approx(size, rel=1e-9)
        assert at.gradient_length_shifted.item() == pytest.approx(moved, rel=1e-9)


def test_nothing_lies_below_the_first_layer():
    network = ConvNet(dims=2, depth=3, width=4, norm="batch").build(0)
    found = seen(network, (torch.randn(6, 1, 5, 5), torch.arange(6)), step=0.5)
    first = found.isel(layer=0)
    assert first.gradient_shift.item() == 0
    assert first.gradient_shift_cosine.item() == pytest.approx(1, abs=1e-12)
    assert (found.gradient_shift[1:] > 0).all()


def test_two_linear_layers_in_closed_form():
    """L = b a x: dL/db = a x moves by -step * b x * x when a takes its step."""
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).double()
    network[0].weight.data.fill_(3)
    network[1].weight.data.fill_(-2)
    x = torch.tensor([[5.0]], dtype=torch.float64)
    found = seen(network, (x, torch.ones_like(x)), loss="inner_product", step=0.01)
    assert found.gradient_shift.values == pytest.approx([0, 0.01 * 2 * 25], rel=1e-12)
    assert found.gradient_shift_cosine.values == pytest.approx([1, 1], rel=1e-12)


def test_an_optimisers_step_is_taken_as_it_is_given():
    network = Perceptron(depth=2, width=6, inputs=4, outputs=2).build(0, dtype=torch.float64)
    x, y = draw(8, 4), draw(8, 2, seed=1)
    stepped = copy.deepcopy(network)
    ((stepped(x) - y) ** 2).mean().backward()
    torch.optim.SGD(stepped.parameters(), lr=0.2).step()
    by_step = seen(network, (x, y), loss="mse", step=0.2)
    for after in (stepped, stepped.state_dict()):
        by_state = seen(network, (x, y), loss="mse", after=after)
        assert by_state.gradient_shift.values == pytest.approx(by_step.gradient_shift.values)
    unmoved = seen(network, (x, y), loss="mse", after=network)
    assert (unmoved.gradient_shift == 0).all()


def test_the_order_is_that_of_execution_not_of_registration():
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first = nn.Linear(3, 2), nn.Linear(3, 3)
            self.unused = nn.Linear(7, 7)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.tanh(self.first(x)))

    found = seen(Backwards().double(), (draw(4, 3), draw(4, 2)), loss="mse", step=0.1)
    assert found.layer.values.tolist() == ["first", "last"]
    assert "unused.weight" in found.attrs["notes"]


def test_frozen_layers_do_not_move():
    network = Perceptron(depth=2, width=6, inputs=4, outputs=2).build(0, dtype=torch.float64)
    network.stem.requires_grad_(False)
    found = seen(network, (draw(8, 4), draw(8, 2)), loss="mse", step=0.2)
    assert "stem" not in found.layer.values
    assert found.gradient_shift.values[0] == 0


def test_only_the_layers_asked_for_and_several_batches():
    network = Perceptron(depth=3, width=6, inputs=4, outputs=2).build(0, dtype=torch.float64)
    x, y = draw(12, 4), draw(12, 2)
    whole = seen(network, (x, y), loss="mse", step=0.2)
    parts = [(x[:3], y[:3]), (x[3:], y[3:])]
    chosen = seen(network, parts, loss="mse", step=0.2, layers="blocks.2.*")
    assert chosen.layer.values.tolist() == ["blocks.2.weight"]
    expected = whole.gradient_shift.sel(layer="blocks.2.weight").item()
    assert chosen.gradient_shift.item() == pytest.approx(expected, rel=1e-10)


# The deep linear nets of Santurkar et al. 2018, section 2.3 ---------------------------------------


def deep_linear(norm: bool, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for number in range(25):
        linear = nn.Linear(10, 10, bias=False)
        nn.init.xavier_normal_(linear.weight)
        layers.append(linear)
        if norm and number < 24:
            layers.append(nn.BatchNorm1d(10))
    return nn.Sequential(*layers)


def trained(norm: bool, steps: list[int], seed: int = 0):
    """Cosines at layers 9, 17 and 24 at the named steps of gradient descent, and the loss at each."""
    network, every = deep_linear(norm, seed), 2 if norm else 1
    x, target = draw(1000, 10).float(), draw(10, 10, seed=1).float()
    y = x @ target.T
    places = [str((layer - 1) * every) for layer in (9, 17, 24)]

    def summed(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square().sum()

    optimiser, found = torch.optim.SGD(network.parameters(), lr=1e-7), {}
    for step in range(max(steps) + 1):
        if step in steps:
            cosines = seen(network, (x, y), loss=summed, step=1e-7).gradient_shift_cosine
            found[step] = cosines.sel(layer=places).values, summed(network(x), y).item()
        optimiser.zero_grad()
        summed(network(x), y).backward()
        optimiser.step()
    return found


def test_deep_linear_nets_without_norm_have_no_shift_in_the_gradient():
    """H2-a: cosine of G and G' at least .99 at layers 9, 17 and 24."""
    for cosines, _ in trained(norm=False, steps=[0, 150, 300]).values():
        assert (cosines >= 0.99).all()


@pytest.mark.slow
def test_deep_linear_nets_with_batch_norm_shift_more_and_learn_faster():
    """H2-b: the cosine is below .5 from step 500 on, and the loss lower than without norm.

    At layer 24 in every run. At layer 17 only on average over steps: three seeds show single steps up to .8, so
    the stronger sentence of H2-b (layer 17 at every step) was that of one run and is not asserted.
    """
    steps = [500, 750, 1000]
    plain, normed = trained(norm=False, steps=steps), trained(norm=True, steps=steps)
    for step in steps:
        assert (plain[step][0] >= 0.99).all()
        assert normed[step][0][2] < 0.5
        assert normed[step][1] < plain[step][1]
    assert sum(normed[step][0][1] for step in steps) / len(steps) < 0.5


# Laws ---------------------------------------------------------------------------------------------


def test_what_makes_no_sense_is_refused():
    network, batch = nn.Linear(2, 2).double(), (draw(3, 2), draw(3, 2))
    for settings in ({}, {"step": 0.1, "after": network}):
        with pytest.raises(ProbeError, match="either step"):
            shift_gradient(network, batch, loss="mse", **settings)
    for step in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ProbeError, match="above 0"):
            shift_gradient(network, batch, loss="mse", step=step)
    with pytest.raises(ProbeError, match="weight"):
        shift_gradient(network, batch, loss="mse", after={"weight": torch.zeros(3, 3)})
    with pytest.raises(ProbeError, match="no layer"):
        shift_gradient(network, batch, loss="mse", step=0.1, layers="conv*")
