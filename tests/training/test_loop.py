"""The loop. Truth: a plain PyTorch loop written by hand, bit for bit; recurrences on a quadratic bowl."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.subjects import DUMMY, Bowl, Points, Watched, busy, descend, itself, last
from torch import Tensor, nn
from torch.nn import functional as F

import skipnorm as sn
from skipnorm.errors import ProbeError, TrainingError
from skipnorm.networks.recipe import Perceptron
from skipnorm.tasks.digits import Digits
from skipnorm.training import Training
from skipnorm.training import learner as learners
from skipnorm.training.order import NOISE, number, permutation
from skipnorm.training.train import train

OPTIMIZERS: dict[str, tuple[dict[str, Any], Callable[[Any], torch.optim.Optimizer]]] = {
    "sgd": (
        {"rate": 0.1},
        lambda p: torch.optim.SGD(p, lr=0.1),
    ),
    "nesterov": (
        {"rate": 0.05, "settings": {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}},
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    ),
    "adam": (
        {"optimizer": "adam", "rate": 0.01, "settings": {"betas": (0.8, 0.99)}},
        lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.99)),
    ),
    "adamw": (
        {"optimizer": "AdamW", "rate": 0.01, "settings": {"weight_decay": 0.1}},
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    ),
    "by path": (
        {"optimizer": "torch.optim:RMSprop", "rate": 0.01},
        lambda p: torch.optim.RMSprop(p, lr=0.01),
    ),
    "function": (
        {"optimizer": lambda p, lr: torch.optim.Adagrad(p, lr=2 * lr), "rate": 0.01},
        lambda p: torch.optim.Adagrad(p, lr=0.02),
    ),
}


def same(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def batches(count: int = 7) -> list[tuple[Tensor, Tensor]]:
    made = torch.Generator().manual_seed(1)
    return [
        (torch.randn(16, 4, generator=made), torch.randint(0, 3, (16,), generator=made))
        for _ in range(count)
    ]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("clip", [None, 0.5])
def test_it_is_the_plain_loop(name: str, clip: float | None) -> None:
    settings, made = OPTIMIZERS[name]
    found = last(train(busy(), batches(), Training(steps=20, clip=clip, **settings), seed=3))

    network, losses, data = busy(), [], batches()
    optimizer = made(network.parameters())
    torch.manual_seed(number(3, NOISE))
    for step in range(20):
        inputs, targets = data[step % 7]
        optimizer.zero_grad()
        loss = F.cross_entropy(network(inputs), targets)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())

    assert found.losses.tolist() == losses
    assert same(found.network, network)


def test_it_is_the_plain_loop_on_a_task_with_a_schedule() -> None:
    task, recipe = Digits(flat=True), Perceptron(depth=2, width=16, norm="batch")
    training = Training(
        steps=25, batch=128, warmup=5, schedule="cosine", settings={"momentum": 0.9}
    )
    found = last(train(recipe.build(0), task, training, seed=2))

    network, losses, rates = recipe.build(0), [], []
    inputs, targets = task.full("train")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    course = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / 6, total_iters=5),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20),
        ],
        milestones=[5],
    )
    while len(losses) < 25:
        epoch = len(losses) // (len(inputs) // 128)
        order = torch.from_numpy(permutation(2, epoch, len(inputs)))
        for rows in order.split(128)[: len(inputs) // 128]:
            if len(losses) == 25:
                break
            loss = F.cross_entropy(network(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            rates.append(optimizer.param_groups[0]["lr"])
            course.step()

    assert found.losses.tolist() == losses
    assert found.rates.tolist() == rates
    assert same(found.network, network)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_on_a_bowl_is_a_power_of_a_matrix(nesterov: bool) -> None:
    """With v the velocity, (w, v) is multiplied by one matrix at every update (Sutskever 2013; torch's form)."""
    eigenvalue, rate, mu, steps = 3.0, 0.1, 0.9, 50
    g = eigenvalue
    look = (g + mu * g, mu * mu) if nesterov else (g, mu)  # what w is moved by: of w, of v
    step = np.array([[1 - rate * look[0], -rate * look[1]], [g, mu]])
    expected = np.linalg.matrix_power(step, steps) @ np.array([1.0, 0.0])
    settings = {"momentum": mu, "nesterov": nesterov}
    found = descend(Bowl(eigenvalue), steps=steps, rate=rate, settings=settings)
    assert found.network.w.item() == pytest.approx(expected[0], rel=1e-11)
    assert found.losses[0] == 1.5


def test_the_first_update_of_adam_is_the_rate_itself() -> None:
    """m / sqrt(v) is the sign of the gradient after bias correction (Kingma & Ba 2015); AdamW shrinks beside it."""
    adam = descend(Bowl(3.0), steps=1, optimizer="adam", rate=0.1)
    assert adam.network.w.item() == pytest.approx(1 - 0.1, rel=1e-8)
    decayed = descend(
        Bowl(3.0), steps=1, optimizer="adamw", rate=0.1, settings={"weight_decay": 0.5}
    )
    assert decayed.network.w.item() == pytest.approx(1 - 0.1 * 0.5 - 0.1, rel=1e-8)


def test_a_clipped_gradient_has_the_norm_that_was_asked_for() -> None:
    found = descend(Bowl(30.0, 40.0), steps=1, rate=1.0, clip=0.5)  # gradient (30, 40), norm 50
    assert found.network.w.tolist() == pytest.approx([1 - 0.3, 1 - 0.4], rel=1e-6)


def test_states_come_in_order_and_the_network_is_live() -> None:
    network = Bowl(1.0)
    states = train(network, DUMMY, Training(steps=4, rate=0.5), seed=0, at=(4, 0, 1), loss=itself)
    seen = [(s.step, s.network is network, network.w.item(), len(s.losses)) for s in states]
    assert seen == [(0, True, 1.0, 0), (1, True, 0.5, 1), (4, True, 0.0625, 4)]


def test_what_a_reader_does_between_states_changes_nothing() -> None:
    training = Training(steps=12, batch=12, rate=0.05, settings={"momentum": 0.9})
    alone = last(train(busy(), Points(), training, seed=0))
    for state in train(busy(), Points(), training, seed=0, at=range(13)):
        random.random(), np.random.rand(), torch.rand(3)  # noqa: NPY002
        sn.measure(state.network, (torch.randn(8, 4), torch.zeros(8, dtype=torch.long)))
        state.network.eval()
    state.network.train()
    assert alone.losses.tolist() == state.losses.tolist()
    assert same(alone.network, state.network)


def test_training_leaves_the_callers_random_states_alone() -> None:
    def found() -> tuple[Any, ...]:
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index] # noqa: NPY002

    before = found()
    last(train(busy(), Points(), Training(steps=3, batch=12), seed=0))
    assert found() == before


def test_gradients_are_computed_whatever_the_caller_does_without() -> None:
    training = Training(steps=5, batch=12)
    plain = last(train(busy(), Points(), training, seed=0))
    for without in (torch.no_grad, torch.inference_mode):
        network = busy()
        with without():
            assert (
                last(train(network, Points(), training, seed=0)).losses.tolist()
                == plain.losses.tolist()
            )


def test_frozen_parameters_stay() -> None:
    network = busy()
    network[0].requires_grad_(False)
    before = network[0].weight.clone()
    after = last(train(network, Points(), Training(steps=3, batch=12), seed=0))
    assert torch.equal(after.network[0].weight, before)
    with pytest.raises(TrainingError, match="require a gradient"):
        train(network.requires_grad_(False), batches(), seed=0)


class OwnLoss(nn.Module):
    """As a Hugging Face model: named inputs, and its loss among its outputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 3)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.linear(features)
        return (
            {"logits": logits}
            if labels is None
            else {"logits": logits, "loss": F.cross_entropy(logits, labels)}
        )


def test_a_network_may_return_its_own_loss_on_batches_that_are_dicts() -> None:
    pairs = batches(3)
    dicts = [{"features": inputs, "labels": targets} for inputs, targets in pairs]
    plain = OwnLoss().linear
    expected = last(train(plain, pairs, Training(steps=7), seed=0))
    found = last(train(OwnLoss(), dicts, Training(steps=7), seed=0))
    assert found.losses.tolist() == expected.losses.tolist()


def test_the_loss_may_be_named_or_a_function() -> None:
    pair = (torch.ones(5, 4), torch.zeros(5, 3))
    named = last(train(OwnLoss().linear, pair, Training(steps=4), seed=0, loss="mse"))
    given = last(train(OwnLoss().linear, pair, Training(steps=4), seed=0, loss=F.mse_loss))
    assert named.losses.tolist() == given.losses.tolist()
    with pytest.raises(ProbeError, match="cross_entropy"):
        last(train(OwnLoss().linear, pair, Training(steps=4), seed=0, loss="cross_entrop"))


def test_bf16_is_torchs_autocast() -> None:
    training = Training(steps=8, precision="bf16", rate=0.05)
    found = last(train(busy(), batches(), training, seed=0))
    network, losses, data = busy(), [], batches()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    torch.manual_seed(number(0, NOISE))
    for step in range(8):
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(network(data[step % 7][0]), data[step % 7][1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert found.losses.tolist() == losses
    assert (
        found.losses.tolist()
        != last(train(busy(), batches(), Training(steps=8, rate=0.05), seed=0)).losses.tolist()
    )


@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_scaled_loss_is_scaled_as_torch_does(
    monkeypatch: pytest.MonkeyPatch, clip: float | None
) -> None:
    """The scaler is for GPUs; torch has one for the CPU too, which shows that it is called as it should be."""
    monkeypatch.setattr(
        learners, "scaler_of", lambda _: torch.amp.GradScaler("cpu", init_scale=2.0**127)
    )

    def large(outputs: Tensor, targets: Tensor) -> Tensor:
        return 100 * F.cross_entropy(outputs, targets)

    training = Training(steps=40, rate=1e-3, clip=clip, schedule="cosine")
    found = last(train(busy(), batches(), training, seed=0, loss=large))

    network, losses, data = busy(), [], batches()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    course = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    scaler = torch.amp.GradScaler(
        "cpu", init_scale=2.0**127
    )  # overflows in float32, so updates are left out
    torch.manual_seed(number(0, NOISE))
    for step in range(40):
        loss = large(network(data[step % 7][0]), data[step % 7][1])
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        if clip is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        scaler.step(optimizer)
        scaler.update()
        if step == 0:
            assert scaler.get_scale() < 2.0**127
            with pytest.warns(UserWarning, match="lr_scheduler"):
                course.step()
        else:
            course.step()
        losses.append(loss.item())
    assert found.diverged is None
    assert found.losses.tolist() == losses
    assert same(found.network, network)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["full", "bf16", "fp16"])
def test_it_learns_on_a_gpu(precision: str) -> None:
    network = Watched(busy())
    network.network[4] = nn.Identity()  # its generator is on the CPU
    training = Training(
        steps=200, batch=25, precision=precision, device="cuda", optimizer="adam", rate=0.01
    )
    found = last(train(network, Points(), training, seed=0))
    assert network.shown[0].device.type == "cuda"
    assert found.diverged is None
    assert found.losses[-20:].mean() < found.losses[:5].mean()


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (Training(batch=9, optimizer="adm"), "Did you mean 'adam'"),
        (Training(batch=9, optimizer="lbfgs"), "expected one of"),
        (Training(batch=9, optimizer="no.such:thing"), "optimizer: There is no module 'no'"),
        (
            Training(batch=9, schedule="math:coss"),
            "schedule: Nothing of that name in 'math'.* 'cos'",
        ),
        (Training(batch=9, settings={"momentun": 0.9}), "momentun"),
        (Training(batch=9, settings={"nesterov": True}), "Nesterov"),
        (Training(batch=9, optimizer=lambda p, lr: 3), "expected a torch.optim.Optimizer"),
        (Training(batch=128), "at most 50 samples"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_first_update(
    training: Training, message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        train(busy(), Points(), training, seed=0)


@pytest.mark.parametrize("seed", [-1, 0.5])
def test_seeds_that_are_none(seed: Any) -> None:
    with pytest.raises(TrainingError, match="a seed as a whole number"):
        train(busy(), batches(), seed=seed)


def test_something_that_is_no_data() -> None:
    with pytest.raises(TrainingError, match="expected a task, a batch"):
        train(busy(), 3, seed=0)
    with pytest.raises(TrainingError, match="from 1 up"):
        train(busy(), batches(), seed=0, every=0)
