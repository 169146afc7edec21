"""The catalogue is complete, written by hand, and answers for unknown names.

Source of truth: the package itself, walked by machine: every function that makes a probe is in it.
"""

import importlib
import inspect
import pkgutil
from typing import Any

import pytest

import skipnorm.probes
from skipnorm.errors import ProbeError
from skipnorm.evidence.schema import DIMENSIONS
from skipnorm.probes import CATALOGUE, Probe, chosen, gradient, likeness, moments
from skipnorm.probes.passage import check_probes


def makers() -> set[str]:
    """The public functions of the package that return a probe."""
    found = set()
    for module in pkgutil.walk_packages(skipnorm.probes.__path__, "skipnorm.probes."):
        code = importlib.import_module(module.name)
        for name in code.__all__:
            value = getattr(code, name)
            if inspect.isfunction(value) and value.__annotations__.get("return") in (
                Probe,
                "Probe",
            ):
                found.add(name)
    return found


def test_every_probe_of_the_package_is_in_the_catalogue() -> None:
    assert {probe.name for probe in CATALOGUE} == makers()


def test_each_quantity_comes_from_one_probe_and_says_what_it_is() -> None:
    check_probes(CATALOGUE)
    for probe in CATALOGUE:
        assert probe.quantities
        assert probe.cost
        for quantity in probe.quantities:
            assert set(quantity.dims) <= set(DIMENSIONS)
            assert len(quantity.meaning) > 20


def test_names_and_values_may_be_mixed() -> None:
    own, known = likeness(samples=4), {probe.name: probe for probe in CATALOGUE}
    assert chosen(["moments", own]) == (known["moments"], own)
    assert chosen("gradient") == (known["gradient"],)
    assert chosen(own) == (own,)
    assert chosen(()) == ()
    assert chosen(name for name in ["flow"]) == (known["flow"],)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ProbeError, match=r"probe: .*'momets'.*Did you mean 'moments'"):
        chosen("momets")


@pytest.mark.parametrize(
    "wrong",
    [5, moments, [moments], [None], object()],
    ids=["a number", "a function", "functions", "nothing", "an object"],
)
def test_what_is_no_probe_is_refused(wrong: Any) -> None:
    with pytest.raises(ProbeError, match="probe"):
        chosen(wrong)


def test_two_probes_with_one_quantity_are_refused() -> None:
    with pytest.raises(ProbeError, match=r"found \['gradient_cosine', 'gradient_mean_square'\]"):
        check_probes([gradient(), gradient()])


def test_two_settings_of_one_probe_are_refused_when_measured() -> None:
    import torch

    with pytest.raises(ProbeError, match=r"kurtosis.*Leave one of them out"):
        skipnorm.measure(
            torch.nn.ReLU(), torch.ones(2, 2), probes=[likeness(samples=2), likeness(samples=3)]
        )
