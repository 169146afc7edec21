"""What holds for every probe of sites on every network, beyond what every probe owes (`test_every_probe.py`).

Source of truth: the laws of `design.md`: a measurement is a pure function of network and batch, says
what it declares, and hides nothing that has diverged.
"""

import gc
import random
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.checkpoint
import xarray as xr
from tests.laws.subjects import SUBJECTS, Subject, residual_perceptron, series, unet
from tests.laws.traces import assert_same_state, snapshot, with_gradients
from tests.probes.recording import inner, record
from torch import Tensor, nn

import skipnorm as sn
from skipnorm.evidence.schema import Quantity, check
from skipnorm.probes import CATALOGUE, PORTS, Flow, Probe

every_probe = pytest.mark.parametrize("probe", CATALOGUE, ids=lambda probe: probe.name)
every_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.__name__)


def measured(subject: Subject, probes: Any) -> xr.Dataset:
    return sn.measure(subject.network, subject.batch, loss=subject.loss, probes=probes)


# A pure function ----------------------------------------------------------------------------------


@every_subject
def test_alone_as_together_with_the_others(subject: Callable[[], Subject]) -> None:
    """What a probe reads does not depend on who else is reading."""
    case = subject()
    together = measured(case, None)
    for probe in CATALOGUE:
        alone = measured(case, probe)
        for name in alone.data_vars:
            xr.testing.assert_allclose(alone[name], together[name], rtol=1e-5, atol=1e-12)


class Boom(Exception):
    """Raised in the midst of a measurement."""


def explosive(where: str) -> Probe:
    """A probe that raises at its third reading of a kind."""
    left = {"value": 3, "gradient": 3, "flow": 1}

    def tick(kind: str) -> dict[str, float]:
        left[kind] -= 1
        if kind == where and left[kind] == 0:
            raise Boom(where)
        return {f"{kind}_read": 1.0}

    return Probe(
        "explosive",
        1,
        tuple(
            Quantity(f"{kind}_read", ("site", "port"), "1", "none", "definition") for kind in left
        ),
        on_value=lambda values, channels: tick("value"),
        on_gradient=lambda values, channels, memory: tick("gradient"),
        on_flow=lambda flow: tick("flow"),
    )


@every_subject
@pytest.mark.parametrize("where", ["value", "gradient", "flow", "targets"])
def test_nothing_changes_where_something_raises(where: str, subject: Callable[[], Subject]) -> None:
    case = with_gradients(subject())
    if where == "flow" and subject.__name__ in ("plain_perceptron", "images"):
        pytest.skip("has no skip")
    probes: Any = explosive(where)
    batch = case.batch
    if where == "targets" and not isinstance(batch, dict):
        batch = (batch[0], torch.ones(3, 7))
        probes = None
    before = snapshot(case.network)
    raised = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about sizes that do not match
        try:
            sn.measure(case.network, batch, loss=case.loss, probes=probes)
        except (Boom, sn.SkipnormError, RuntimeError, ValueError):
            raised = True
    assert raised or (where == "targets" and isinstance(batch, dict))
    assert_same_state(before, snapshot(case.network))


def test_a_probe_that_raises_is_not_blamed_on_the_network() -> None:
    case = residual_perceptron()
    with pytest.raises(Exception, match="value") as raised:
        measured(case, explosive("value"))
    assert "should fail in the same way" not in str(raised.value)


# What is declared is what comes -------------------------------------------------------------------


@every_probe
def test_dimensions_units_and_names_are_the_declared(probe: Probe) -> None:
    evidence = measured(residual_perceptron(), probe)
    check(evidence)
    for quantity in probe.quantities:
        variable = evidence[quantity.name]
        assert variable.dims == quantity.dims
        assert variable.attrs["unit"] == quantity.unit
        assert variable.attrs["meaning"] == quantity.meaning
        assert variable.attrs["source"] == quantity.source
        assert variable.dtype == np.float64
    extra = set(evidence.data_vars) - {quantity.name for quantity in probe.quantities}
    assert extra == ({"gradient_growth"} if probe.name == "gradient" else set())
    assert list(evidence.port.values) == list(PORTS)
    assert str(probe) in evidence.attrs["probes"]


@every_subject
@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_sites_come_in_the_order_of_the_anatomy(mode: bool, subject: Callable[[], Subject]) -> None:
    case = subject()
    case.network.train(mode)
    args, named = case.inputs
    anatomy = sn.anatomy(case.network, *args, **named)
    evidence = measured(case, None)
    assert list(evidence.site.values) == [site.name for site in anatomy]
    for name in ("kind", "nature", "operation", "module", "index"):
        assert list(evidence[name].values) == [getattr(site, name) for site in anatomy]


@every_subject
def test_every_port_of_every_site_has_a_number(subject: Callable[[], Subject]) -> None:
    """Input and output of norms and activations; both sides and the sum of skips; nothing else."""
    evidence = measured(subject(), None)
    for site in evidence.site.values:
        one = evidence.sel(site=site)
        ports = {"shortcut", "branch"} if one.kind == "skip" else {"input"}
        for port in PORTS:
            there = port in ports | {"output"}
            for name in ("mean_square", "gradient_mean_square"):
                assert np.isnan(float(one[name].sel(port=port))) != there, (site, port, name)
        assert np.isnan(float(one.flow_total)) != (one.kind == "skip"), site


# Divergence is a result ---------------------------------------------------------------------------


@every_subject
@pytest.mark.parametrize("poison", [float("nan"), float("inf")], ids=["nan", "inf"])
def test_what_diverges_is_reported(poison: float, subject: Callable[[], Subject]) -> None:
    """Where a signal (or its gradient) is not finite, so is every number about its size."""
    case = subject()
    case.network.eval()
    weights = [each for each in case.network.parameters() if each.dim() > 1]
    with torch.no_grad():
        weights[len(weights) // 2][0, 0] = poison
    found = record(case.network, case.batch, loss=case.loss, flows=True)
    evidence = measured(case, None)
    sick = 0
    for kind, tensors in (("mean_square", found.values), ("gradient_mean_square", found.gradients)):
        for place, tensor in tensors.items():
            site, port = place.split(":")
            number = float(evidence[kind].sel(site=site, port=port))
            assert np.isfinite(number) == bool(tensor.isfinite().all()), place
            assert np.isnan(number) == bool(tensor.isnan().any()), place
            sick += not np.isfinite(number)
    assert sick
    for place, tensor in found.values.items():
        site, port = place.split(":")
        numbers = evidence.sel(site=site, port=port)
        if not tensor.isfinite().all():
            for name in ("channel_squared_mean", "channel_variance", "effective_rank"):
                assert not np.isfinite(float(numbers[name])), (place, name)
            assert not np.isfinite(float(numbers.kurtosis)), place
    for site, flow in found.flows.items():
        for name in ("total", "shortcut", "branch"):
            healthy = bool(getattr(flow, name).isfinite().all())
            assert np.isfinite(float(evidence[f"flow_{name}"].sel(site=site))) == healthy


def test_a_vanishing_gradient_is_not_zero() -> None:
    """1e-25 times the loss: 1e-50 times the mean square, though float32 ends at 1e-45.

    Source of truth: linearity of the gradient. The gradient itself is well within float32.
    """
    case = residual_perceptron()
    plain = measured(case, "gradient")

    def faint(outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(outputs, targets) * 1e-25

    seen = sn.measure(case.network, case.batch, loss=faint, probes="gradient")
    expected = plain.gradient_mean_square * 1e-50
    xr.testing.assert_allclose(seen.gradient_mean_square, expected, rtol=1e-3, atol=0)
    xr.testing.assert_allclose(seen.gradient_cosine, plain.gradient_cosine, rtol=1e-3)
    xr.testing.assert_allclose(seen.gradient_growth, plain.gradient_growth, rtol=1e-3)


def test_a_large_signal_is_not_infinite() -> None:
    """A signal of 1e25 is a float32; its mean square of 1e50 is a number, not a divergence."""
    network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU())
    x = torch.randn(6, 4)
    small = sn.measure(network, (x, x), probes=["moments", "likeness"])
    large = sn.measure(network, (x * 1e25, x), probes=["moments", "likeness"])
    for name, power in (
        ("mean_square", 2),
        ("channel_squared_mean", 2),
        ("channel_variance", 2),
        ("kurtosis", 0),
        ("sample_correlation", 0),
        ("effective_rank", 0),
    ):
        xr.testing.assert_allclose(large[name], small[name] * 1e25**power, rtol=1e-3)


# Two at once; and what remains --------------------------------------------------------------------


def test_two_threads_do_not_mix() -> None:
    """Each measures its own network, many times over, while the other does the same."""
    cases = [residual_perceptron(), series()]
    expected = [measured(case, None) for case in cases]
    found: list[list[xr.Dataset]] = [[], []]
    failures: list[BaseException] = []

    def work(which: int) -> None:
        try:
            for _ in range(6):
                found[which].append(measured(cases[which], None))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for which in (0, 1):
        for each in found[which]:
            xr.testing.assert_allclose(each, expected[which])


def test_overlapping_measurements_leave_torch_as_it_was() -> None:
    """A begins, B begins, A ends, B ends: whoever ends last must not put back what A had changed."""
    begun, ended = threading.Event(), threading.Event()

    class First(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            begun.set()
            assert second_inside.wait(10)
            return super().forward(x)

    class Second(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            second_inside.set()
            assert ended.wait(10)
            return super().forward(x)

    second_inside = threading.Event()
    x = torch.randn(4, 4)

    def first() -> None:
        sn.measure(nn.Sequential(First(4, 4), nn.ReLU()), (x, x))
        ended.set()

    def second() -> None:
        assert begun.wait(10)
        sn.measure(nn.Sequential(Second(4, 4), nn.ReLU()), (x, x))

    original = torch.utils.checkpoint.CheckpointFunction
    fast_path = torch.backends.mha.get_fastpath_enabled()
    try:
        threads = [threading.Thread(target=each) for each in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ended.is_set()
        assert torch.utils.checkpoint.CheckpointFunction is original
        assert torch.backends.mha.get_fastpath_enabled() == fast_path
    finally:
        torch.utils.checkpoint.CheckpointFunction = original
        torch.backends.mha.set_fastpath_enabled(fast_path)


@every_probe
@pytest.mark.parametrize("subject", [residual_perceptron, unet], ids=lambda each: each.__name__)
def test_the_network_can_be_forgotten(probe: Probe, subject: Callable[[], Subject]) -> None:
    """No tensor, hook or graph of a measurement holds a network alive once it is let go."""
    case = subject()
    measured(case, probe)
    left = [weakref.ref(each) for each in (*case.network.parameters(), case.batch[0])]
    del case
    gc.collect()
    assert not any(reference() is not None for reference in left)


@every_probe
def test_no_tensor_remains(probe: Probe) -> None:
    case = unet()
    measured(case, probe)
    gc.collect()
    before = sum(issubclass(type(each), Tensor) for each in gc.get_objects())
    for _ in range(3):
        measured(case, probe)
    gc.collect()
    assert sum(issubclass(type(each), Tensor) for each in gc.get_objects()) <= before


@every_probe
def test_memory_of_graphs_is_given_back(probe: Probe) -> None:
    """The saved tensors of a graph are no Python objects: a custom function knows when they die."""
    alive: list[weakref.ref[Any]] = []

    class Watched(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            kept = torch.ones_like(x)
            ctx.kept = kept
            alive.append(weakref.ref(kept))
            return x * kept

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return gradient * ctx.kept

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.act = nn.Linear(4, 4), nn.Tanh()

        def forward(self, x: Tensor) -> Tensor:
            return torch.lerp(x, Watched.apply(self.act(self.fc(x))), 0.5)

    network, x = Watching(), torch.randn(3, 4)
    sn.measure(network, (x, x), loss=inner, probes=probe)
    gc.collect()
    assert len(alive) >= 1
    assert not any(reference() is not None for reference in alive)


# State that modules really hold -------------------------------------------------------------------


class Holder(nn.Module):
    """Holds one piece of state, which each forward changes."""

    def __init__(self, held: Any, change: Callable[[Any], Any]) -> None:
        super().__init__()
        self.fc, self.held, self.change = nn.Linear(4, 4), held, change

    def forward(self, x: Tensor) -> Tensor:
        self.change(self.held)
        return torch.relu(self.fc(x))


def drawn(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return torch.rand(3, generator=generator).tolist()
    return [generator.random() for _ in range(3)]


GENERATORS: dict[str, Callable[[], Any]] = {
    "torch": lambda: torch.Generator().manual_seed(0),
    "numpy": lambda: np.random.default_rng(0),
    "numpy, old": lambda: np.random.RandomState(0),
    "python": lambda: random.Random(0),
}


@pytest.mark.parametrize("make", GENERATORS.values(), ids=list(GENERATORS))
def test_a_generator_of_the_network_goes_on_where_it_was(make: Callable[[], Any]) -> None:
    """Stochastic depth draws from a generator of its own: that is a random state, too."""
    network, x = Holder(make(), drawn), torch.randn(3, 4)
    sn.measure(network, (x, x))
    assert drawn(network.held) == drawn(make())


def test_arrays_and_queues_of_the_network_are_put_back() -> None:
    from collections import Counter, OrderedDict, defaultdict, deque

    held = {
        "array": np.zeros(3),
        "queue": deque([1, 2], maxlen=2),
        "counter": Counter("a"),
        "order": OrderedDict(a=1),
        "default": defaultdict(list, a=[1]),
        "deep": {"a": [{"b": [torch.zeros(2)]}]},
    }

    def change(held: dict[str, Any]) -> None:
        held["array"] += 1
        held["queue"].append(3)
        held["counter"]["a"] += 1
        held["order"]["b"] = 2
        held["default"]["a"].append(2)
        held["deep"]["a"][0]["b"][0] += 1

    network, x = Holder(held, change), torch.randn(3, 4)
    sn.measure(network, (x, x))
    assert held["array"].tolist() == [0, 0, 0]
    assert list(held["queue"]) == [1, 2]
    assert held["counter"] == {"a": 1}
    assert held["order"] == {"a": 1}
    assert held["default"] == {"a": [1]}
    assert held["deep"]["a"][0]["b"][0].tolist() == [0, 0]


class ActNorm(nn.Module):
    """Kingma & Dhariwal 2018: its first batch initialises its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(4)), nn.Parameter(torch.zeros(4))
        self.ready = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.ready:
            self.shift.data.copy_(-x.mean(0))
            self.scale.data.copy_(1 / x.std(0))
            self.ready = True
        return self.scale * (x + self.shift)


@pytest.mark.parametrize("look", ["anatomy", "measure"])
def test_parameters_set_by_the_first_batch_are_still_to_be_set(look: str) -> None:
    network, x = nn.Sequential(nn.Linear(4, 4), ActNorm(), nn.ReLU()), torch.randn(6, 4)
    if look == "anatomy":
        sn.anatomy(network, x)
    else:
        sn.measure(network, (x, x))
    assert network[1].scale.tolist() == [1, 1, 1, 1]
    assert network[1].shift.tolist() == [0, 0, 0, 0]
    assert not network[1].ready


class Reversible(torch.autograd.Function):
    """As in RevNets: its backward runs the block again and calls `backward` within."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, block: nn.Module, *weights: Tensor) -> Tensor:
        ctx.block = block
        ctx.save_for_backward(x)
        with torch.no_grad():
            return block(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            ctx.block(x).backward(gradient)
        return (x.grad, None, *[None for _ in ctx.block.parameters()])


def test_gradients_that_a_backward_within_accumulates_are_taken_back() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block, self.act = nn.Linear(4, 4), nn.Tanh()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(Reversible.apply(x, self.block, *self.block.parameters()))

    network, x = Network(), torch.randn(3, 4)
    kept = {}
    for name, parameter in network.named_parameters():
        parameter.grad = torch.ones_like(parameter)
        kept[name] = parameter.grad
    sn.measure(network, (x, x))
    for name, parameter in network.named_parameters():
        assert parameter.grad is kept[name]
        assert torch.equal(parameter.grad, torch.ones_like(parameter))


@pytest.mark.parametrize("look", ["anatomy", "measure"])
def test_hooks_of_the_user_see_the_network_run_once(look: str) -> None:
    """A hook that collects outputs gets those of this batch, and none of any trial behind its back."""

    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.sin(x)

    network, x = nn.Sequential(nn.Linear(4, 4), Odd(), nn.ReLU()), torch.randn(3, 4)
    calls: list[str] = []
    for name, module in network.named_modules():
        module.register_forward_pre_hook(lambda *_, name=name: calls.append(f"{name} in"))
        module.register_forward_hook(lambda *_, name=name: calls.append(f"{name} out"))
    sn.anatomy(network, x) if look == "anatomy" else sn.measure(network, (x, x))
    assert calls == [" in", "0 in", "0 out", "1 in", "1 out", "2 in", "2 out", " out"]


@pytest.mark.parametrize("probes", ["moments", None], ids=["forward", "both"])
def test_the_batch_stays_as_it_is(probes: Any) -> None:
    """A network that writes into its inputs and takes things out of their containers."""

    class Greedy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, parts: list[Tensor], options: dict[str, Tensor]) -> Tensor:
            x = parts.pop()
            x.relu_()
            options["seen"] = x
            return self.fc(x) + options.pop("bias")

    x = torch.randn(3, 4)
    parts, options = [x], {"bias": torch.ones(3, 4)}
    kept = x.clone()
    sn.measure(Greedy(), ((parts, options), torch.ones(3, 4)), loss="mse", probes=probes)
    assert len(parts) == 1
    assert list(options) == ["bias"]
    assert torch.equal(x, kept)


def test_the_ledger_survives_an_assigned_data() -> None:
    """`parameter.data = ...` in forward, as weight clipping is often written."""

    class Clipped(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            self.weight.data = self.weight.data.clamp(-0.1, 0.1)
            return super().forward(x)

    network, x = nn.Sequential(Clipped(4, 4), nn.ReLU()), torch.randn(3, 4)
    kept = network[0].weight.detach().clone()
    sn.measure(network, (x, x))
    assert torch.equal(network[0].weight, kept)


def test_a_network_that_asks_its_input_for_gradients() -> None:
    """wav2vec 2.0 and HuBERT set `requires_grad = True` on their input when they train."""

    class Asking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x.requires_grad = True
            return torch.relu(self.fc(x))

    evidence = sn.measure(Asking(), (torch.randn(3, 4), torch.randn(3, 4)))
    assert evidence.gradient_mean_square.sel(port="output").notnull().all()


def test_flow_given_to_a_probe_has_three_parts_of_one_shape() -> None:
    case = unet()
    shapes: list[Any] = []

    def on_flow(flow: Flow) -> dict[str, float]:
        shapes.append({part.shape for part in (flow.total, flow.shortcut, flow.branch)})
        return {"seen": 1.0}

    quantity = Quantity("seen", ("site",), "1", "none", "definition")
    measured(case, Probe("shapes", 1, (quantity,), on_flow=on_flow))
    assert shapes
    assert all(len(each) == 1 for each in shapes)
