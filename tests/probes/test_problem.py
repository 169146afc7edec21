"""A network posed as a function of its parameters.

Source of truth: the network itself, called by hand; how many forwards there are, counted.
"""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skipnorm.errors import ProbeError
from skipnorm.probes.problem import Problem, batches_of, posed
from skipnorm.studies.verbs import scores, shift_gradient, smoothness


class Counted(nn.Module):
    """BatchNorm between two layers; counts its forwards where no ledger looks."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        CALLS.append(1)
        return self.last(torch.tanh(self.norm(self.first(x))))


CALLS: list[int] = []


def several(count: int) -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(5, 3, generator=draw).double(),
            torch.randint(2, (5,), generator=draw),
        )
        for _ in range(count)
    ]


def forwards(ask: Any) -> int:
    CALLS.clear()
    ask()
    return len(CALLS)


@pytest.mark.parametrize("name", ["losses", "gradient"])
def test_recalibrating_doubles_the_price_whatever_the_number_of_batches(name: str) -> None:
    network = Counted().double()
    for count in (1, 4, 8):
        with posed(network, several(count), statistics="recalibrated") as problem:
            assert forwards(getattr(problem, name)) == 2 * count


def test_recalibrated_losses_are_those_of_a_network_with_these_statistics() -> None:
    """Each batch once in training mode with cumulative averages, then all of them in evaluation mode."""
    network, batches = Counted().double(), several(3)
    twin = copy.deepcopy(network)
    twin.norm.momentum = None
    for x, _ in batches:
        twin(x)
    twin.eval()
    expected = [F.cross_entropy(twin(x), y) for x, y in batches]
    with posed(network, batches, statistics="recalibrated") as problem:
        torch.testing.assert_close(problem.losses(), torch.stack(expected).detach())
        found = problem.gradient()["first.weight"]
    torch.stack(expected).mean().backward()
    torch.testing.assert_close(found, twin.first.weight.grad)


def test_shift_gradient_recalibrates_once_for_all_batches() -> None:
    network = Counted().double()

    def ask(count: int) -> int:
        return forwards(
            lambda: shift_gradient(network, several(count), step=0.1, statistics="recalibrated")
        )

    assert ask(8) - ask(4) == ask(12) - ask(8)


def test_buffers_that_a_forward_writes_and_reads_start_afresh_at_every_call() -> None:
    """Spectral norm takes a step of power iteration in each forward: the loss is still a function of the weights."""
    network = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)), nn.Tanh())
    network = nn.Sequential(network, nn.Linear(4, 2)).double().train()
    batch = several(1)[0]
    expected = F.cross_entropy(copy.deepcopy(network)(batch[0]), batch[1]).item()
    with posed(network, batch) as problem:
        assert [problem.losses().item() for _ in range(3)] == [expected] * 3
    still = smoothness(network, batch, lengths=[1e-12], lr=1e-12)
    assert still.gradient_predictiveness.item() == pytest.approx(0, abs=1e-12)


def test_lists_that_are_several_batches_and_lists_that_are_one() -> None:
    x, y = torch.zeros(4, 3), torch.zeros(4, dtype=torch.long)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=2)
    assert len(batches_of(list(loader))) == 2
    assert len(batches_of(next(iter(loader)))) == 1
    assert len(batches_of([x])) == 1
    assert len(batches_of([x, x, x])) == 3
    assert len(batches_of([{"inputs": x}, {"inputs": x}])) == 2
    assert len(batches_of([(x, None), (x, None)])) == 2
    assert len(batches_of([[x, y], y])) == 1
    for other in (x, x[:2]):
        with pytest.raises(ProbeError, match="tuple: \\(inputs, targets\\)"):
            batches_of([x, other])


def test_what_needs_no_parameters_is_served_without_any() -> None:
    x, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    assert scores(nn.Identity(), (x, labels)).accuracy.item() == 0.5
    with pytest.raises(ProbeError, match="found none in Identity"):
        smoothness(nn.Identity(), (x, labels))
    with pytest.raises(ProbeError, match="Did you mean 'weight'"):
        smoothness(nn.Linear(2, 2), (x, labels), where="wieght")


def test_a_problem_without_varied_parameters_has_losses() -> None:
    batch = (torch.ones(2, 1), torch.zeros(2, 1))
    with posed(nn.Linear(1, 1), batch, where=None) as problem:
        assert isinstance(problem, Problem)
        assert problem.parameters == {}
        assert problem.losses().shape == (1,)
