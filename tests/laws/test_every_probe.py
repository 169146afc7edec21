"""What every probe owes, of sites and of whole networks alike: each law walks all of them.

Source of truth: the principles of `design.md`: a measurement is a pure function of network, batch and settings; it
says what it declares and hides nothing. Numbers are those of the same network written another way, with the norm from
its definition.
"""

import copy
import importlib
import inspect
import pkgutil
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from tests.laws.asks import ASKS, VERBS, Ask
from tests.laws.subjects import SUBJECTS, Subject, forgetful, series
from tests.laws.traces import assert_same_state, snapshot, with_gradients
from tests.laws.written import written
from torch import Tensor, nn

import skipnorm as sn
import skipnorm.probes
from skipnorm.anatomy.tensors import tensors_in
from skipnorm.evidence.schema import check
from skipnorm.probes.findings import Findings
from skipnorm.studies import verbs

pytestmark = pytest.mark.filterwarnings("ignore")
every_ask = pytest.mark.parametrize("ask", ASKS, ids=str)
every_verb = pytest.mark.parametrize("ask", VERBS, ids=str)
every_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.__name__)
BY_BATCH = ("gradient_correlation", "input_gradient_autocorrelation")
"""Those that take the statistics of a batch as constants of the backward pass."""


# The walk is complete -----------------------------------------------------------------------------


def probes_of_networks() -> set[str]:
    """The public functions of the package that go from a network to findings."""
    found = set()
    for module in pkgutil.walk_packages(skipnorm.probes.__path__, "skipnorm.probes."):
        code = importlib.import_module(module.name)
        for name in code.__all__:
            value = getattr(code, name)
            if inspect.isfunction(value):
                signature = inspect.signature(value)
                returns = signature.return_annotation in (Findings, "Findings")
                if returns and next(iter(signature.parameters), "") == "network":
                    found.add(name)
    return found


def test_every_probe_of_a_network_is_a_verb_is_public_and_is_walked() -> None:
    walked = {ask.name for ask in VERBS}
    assert walked == probes_of_networks() == set(verbs.__all__)
    assert walked <= set(sn.__all__)


@every_ask
def test_every_setting_of_a_probe_is_walked(ask: Ask) -> None:
    """Each has a value that is refused, or a reason why there is none."""
    function = getattr(sn, ask.name) if ask in VERBS else sn.measure
    required = ("network", "batch", "batches_train")
    others = (*required, "progress") if ask in VERBS else (*required, "probes")
    settings = set(inspect.signature(function).parameters) - set(others)
    assert settings == {*ask.senseless, *ask.free}
    assert not set(ask.senseless) & set(ask.free)
    assert ("loss" in settings) == (ask.loss if ask in VERBS else True)


# A pure function, as declared ---------------------------------------------------------------------


def answered(ask: Ask, case: Subject) -> xr.Dataset | str:
    """What a probe says, or in which words it refuses."""
    try:
        return ask(case)
    except Exception as error:
        return str(error)


def assert_declared(evidence: xr.Dataset) -> None:
    check(evidence)
    for name, variable in evidence.data_vars.items():
        assert variable.dtype == np.float64 or variable.dtype.kind == "i", name
        assert len(variable.attrs["meaning"]) > 12, name
        assert set(variable.dims) <= set(evidence.coords), name


@every_subject
@every_ask
def test_same_answer_twice_no_trace_and_evidence(ask: Ask, subject: Callable[[], Subject]) -> None:
    """Whatever the random state: only what is read of sites (`measure`) draws from it, and leaves it as it was."""
    case = ask.fitted(with_gradients(subject()))
    batch, before = copy.deepcopy(case.batch), snapshot(case.network)
    first = answered(ask, case)
    assert_same_state(before, snapshot(case.network))
    for mine, kept in zip(tensors_in(case.batch), tensors_in(batch), strict=True):
        assert torch.equal(mine, kept)
        assert mine.grad is None
    if ask in VERBS:
        random.random(), torch.rand(3), np.random.rand(3)  # noqa: NPY002
    second = answered(ask, case)
    if isinstance(first, str) or isinstance(second, str):
        assert first == second
        assert ask.refuses.get(subject.__name__, "not expected to refuse") in first
    else:
        xr.testing.assert_identical(first, second)
        assert_declared(first)
        assert subject.__name__ not in ask.refuses


@every_verb
def test_what_is_found_is_declared_and_nothing_else(ask: Ask, monkeypatch: Any) -> None:
    """Dimensions, unit, meaning and source of each quantity are those that stand beside the numbers."""
    kept: list[Findings] = []
    passed_on = verbs.labelled
    monkeypatch.setattr(verbs, "labelled", lambda found: kept.append(found) or passed_on(found))
    evidence = ask(plain(ask))
    (found,) = kept
    assert [quantity.name for quantity in found.quantities] == list(evidence.data_vars)
    for quantity in found.quantities:
        variable = evidence[quantity.name]
        assert variable.dims == quantity.dims
        for field in ("unit", "meaning", "source"):
            assert variable.attrs[field] == getattr(quantity, field)
    assert set(found.settings.items()) <= set(evidence.attrs.items())
    assert all(note in evidence.attrs["notes"] for note in found.notes)
    assert "statistics" in evidence.attrs


def test_one_name_means_one_thing() -> None:
    """A quantity that several probes tell has the same unit in all of them.

    But for the length of a gradient that may be one to the input (`gradient_correlation`).
    """
    units: dict[str, dict[str, str]] = {}
    for ask in ASKS:
        for name, variable in ask(plain(ask)).data_vars.items():
            if (ask.name, name) != ("gradient_correlation", "gradient_norm"):
                units.setdefault(str(name), {})[ask.name] = variable.attrs["unit"]
    assert {name: each for name, each in units.items() if len(set(each.values())) > 1} == {}


def plain(ask: Ask, way: str = "plain", training: bool = True) -> Subject:
    inputs = 1 if ask.name == "input_gradient_autocorrelation" else 4
    return written(way, training=training, inputs=inputs, constant=ask.name in BY_BATCH)


# Something raises midway --------------------------------------------------------------------------


class Boom(Exception):
    """Raised in the midst of a measurement."""


class Fused(nn.Module):
    """A network that says when it is called; a function, so that no copy and no ledger puts its count back."""

    def __init__(self, network: nn.Module, tick: Callable[[], None]) -> None:
        super().__init__()
        self.network, self.tick, self.training = network, tick, network.training

    def forward(self, *args: Any, **named: Any) -> Any:
        self.tick()
        return self.network(*args, **named)


class Fuse:
    """Counts calls, and raises at the one that is named."""

    def __init__(self) -> None:
        self.calls, self.last = 0, 0

    def tick(self, *_: Any) -> None:
        self.calls += 1
        if self.calls == self.last:
            raise Boom


def blown(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def told(fuse: Fuse, ask: Ask, case: Subject, where: str) -> dict[str, Any]:
    """The settings, and the network, through which the fuse is called."""
    tick = fuse.tick
    if where == "progress":
        return {"progress": tick}
    if where == "loss":
        usual = F.mse_loss if case.loss == "mse" else F.cross_entropy

        def loss(outputs: Any, targets: Any) -> Tensor:
            tick()
            return usual(outputs, targets)

        return {"loss": loss}
    case.network = Fused(case.network, lambda: tick())
    return {}


def places() -> list[tuple[Ask, str]]:
    """Where each probe could be interrupted: in the network, in the loss that it computes, where it tells how far."""
    found = []
    for ask in ASKS:
        takes = (
            inspect.signature(getattr(sn, ask.name)).parameters if ask in VERBS else ask.senseless
        )
        found += [(ask, where) for where in ("loss", "progress") if where in takes]
        found.append((ask, "forward"))
    return found


@pytest.mark.parametrize("subject", [forgetful, series], ids=lambda subject: subject.__name__)
@pytest.mark.parametrize(("ask", "where"), places(), ids=str)
def test_no_trace_where_something_raises(
    ask: Ask, subject: Callable[[], Subject], where: str
) -> None:
    """At its first call, at one in the middle, and at the last that there is."""
    case, fuse = ask.fitted(with_gradients(subject())), Fuse()
    settings = told(fuse, ask, case, where)
    before = snapshot(case.network)
    ask(case, **settings)
    total = fuse.calls
    assert total
    for last in sorted({1, (total + 1) // 2, total}):
        fuse.calls, fuse.last = 0, last
        with pytest.raises(Exception) as raised:  # noqa: PT011
            ask(case, **settings)
        assert any(isinstance(error, Boom) for error in blown(raised.value)), raised.value
        assert_same_state(before, snapshot(case.network))


@pytest.mark.parametrize("ask", [ask for ask, where in places() if where == "progress"], ids=str)
def test_progress_grows_to_its_end(ask: Ask) -> None:
    told: list[tuple[int, int]] = []
    ask(plain(ask), progress=lambda done, total: told.append((done, total)))
    done, totals = zip(*told, strict=True)
    assert list(done) == sorted(done)
    assert len(set(totals)) == 1
    assert done[0] >= 0
    assert done[-1] == totals[-1] or ask.name == "paths"  # whose total is the most there can be


# However it is written, in whatever mode ----------------------------------------------------------


def numbers(evidence: xr.Dataset) -> dict[str, Any]:
    """All of them, but for those at norms: one written by hand may be none, or be one under another name."""
    if "site" in evidence.sizes and "kind" in evidence.coords:
        evidence = evidence.sel(site=evidence.kind != "norm")
    return {str(name): each.values for name, each in evidence.data_vars.items()}


def as_written(ask: Ask, way: str, training: bool) -> dict[str, Any]:
    """In training mode by the batch, in evaluation mode by running statistics."""
    settings = {"statistics": "as_is"} if ask.name in BY_BATCH and not training else {}
    return numbers(ask(plain(ask, way, training), **settings))


def assert_alike(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-7, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@every_ask
def test_right_in_place_in_either_mode_and_under_checkpointing(ask: Ask, training: bool) -> None:
    """The same numbers as with BatchNorm from its definition, out of place, nothing computed twice."""
    expected = as_written(ask, "by hand", training)
    for way in ("plain", "in place", "checkpointed", "checkpointed by re-entry"):
        if ask.name == "paths" and "re-entry" in way:
            continue  # has no gradients along paths then, and says so in its notes
        assert_alike(as_written(ask, way, training), expected)
    other = as_written(ask, "plain", not training)
    assert any(
        value.shape != other[name].shape or not np.allclose(value, other[name], equal_nan=True)
        for name, value in expected.items()
    ), "the modes differ"


@every_verb
def test_statistics_that_are_asked_for_do_not_depend_on_the_mode(ask: Ask) -> None:
    """`batch` is training mode and `running` evaluation mode, for a network without dropout."""

    def said(training: bool, statistics: str) -> dict[str, Any]:
        return numbers(ask(plain(ask, training=training), statistics=statistics))

    if ask.name not in BY_BATCH:  # those refuse statistics of the batch, unless detached
        batch = said(True, "as_is")
        for training in (True, False):
            np.testing.assert_equal(said(training, "batch"), batch)
    running = said(False, "as_is")
    for training in (True, False):
        np.testing.assert_equal(said(training, "running"), running)


@every_ask
def test_dropout_is_on_in_training_and_off_in_evaluation(ask: Ask) -> None:
    """With the running statistics of BatchNorm in both modes; in evaluation mode it is as if there were none."""

    def said(rate: float, training: bool) -> dict[str, Any]:
        case = plain(ask, training=False)
        case.network.head = nn.Sequential(nn.Dropout(rate), case.network.head).train(training)
        settings = {"statistics": "as_is"} if ask in VERBS else {}
        return numbers(ask(case, **settings))

    off, none = said(0.5, training=False), said(0.0, training=False)
    np.testing.assert_equal(off, none)
    if ask.name in BEFORE_DROPOUT:
        return
    on = said(0.5, training=True)
    assert any(not np.array_equal(on[name], off[name], equal_nan=True) for name in on)


BEFORE_DROPOUT = ("moments", "activation_summary", "likeness", "activation", "drift", "identical")
"""They read sites, and the dropout stands behind all of them."""


@every_verb
def test_networks_without_parameters(ask: Ask) -> None:
    """Served where nothing has to be varied; refused with a remedy elsewhere."""

    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.Tanh()

        def forward(self, x: Tensor) -> Tensor:
            return x + self.act(x).flip(1)

    x = torch.linspace(-1, 1, 18).reshape(6, 3)
    case = Subject(Bare(), (x, torch.tensor([0, 2, 1, 1, 0, 2])))
    settings = {"wrt": "input"} if ask.name == "gradient_correlation" else {}
    if ask.name in ("curvature", "landscape", "shift_gradient", "smoothness"):
        with pytest.raises(sn.ProbeError, match="with parameters to vary"):
            ask(case)
    else:
        assert_declared(ask(case, **settings))


# Nothing is hidden --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "poisoned"),
    [
        (ask, poisoned)
        for ask in ASKS
        for poisoned in ("weights", "batch")
        if (ask.name, poisoned) != ("input_gradient_autocorrelation", "batch")
    ],
    ids=str,
)
def test_not_a_number_in_is_reported(ask: Ask, poisoned: str) -> None:
    """Every quantity that depends on the poisoned signal holds no finite number."""
    case = plain(ask)
    if poisoned == "batch":
        case.batch[0].fill_(torch.nan)
    else:
        case.network.stem.weight.data.fill_(torch.nan)
    if f"{ask.name} {poisoned}" == "landscape weights":
        with pytest.raises(sn.ProbeError, match="the length nan"):
            ask(case)
        return
    evidence = ask(case)
    finite = {str(n) for n, each in evidence.data_vars.items() if np.isfinite(each.values).any()}
    assert finite <= set(ask.counts) < set(evidence.data_vars)


@every_ask
def test_settings_that_make_no_sense_are_refused_with_the_remedy(ask: Ask) -> None:
    for name, value in ask.senseless.items():
        case = plain(ask, training=False)
        others = {"step": None} if name == "after" else {}
        with pytest.raises(sn.SkipnormError) as raised:
            ask(case, **{name: value}, **others)
        assert_helpful(str(raised.value))


@every_verb
def test_settings_of_another_kind_are_refused(ask: Ask) -> None:
    """A text for a number, half of a whole number, one number for several: none of it reaches torch."""
    wrong = {int: ("three", 2.5, True), float: ("three", True), str: (3,), tuple: (3, "three")}
    for name, setting in inspect.signature(getattr(sn, ask.name)).parameters.items():
        for value in wrong.get(type(setting.default), ()):
            with pytest.raises(sn.SkipnormError) as raised:
                ask(plain(ask, training=False), **{name: value})
            assert_helpful(str(raised.value))


def assert_helpful(message: str) -> None:
    """What was expected, and what was found or what to do."""
    assert "expected" in message
    assert any(word in message for word in ("found", "Take", "Try"))
