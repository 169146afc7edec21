"""Keys: equal settings share one, different settings never do. Truth: what equality means."""

import functools
import math
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skipnorm.errors import StudyError
from skipnorm.studies.identity import canonical, digest, source_of
from skipnorm.studies.reference import load, reference


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    width: int = 64
    label: str = field(default="", compare=False)


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    depth: int = 8
    scales: tuple[float, ...] = ()
    version = 2


@dataclass
class Mutable:
    depth: int = 8


def test_defaults_are_omitted_at_every_level():
    assert canonical(Outer()) == canonical(Outer(inner=Inner(width=64), depth=8, scales=()))
    assert canonical(Outer(inner=Inner(width=3))).endswith(
        "Outer@2(inner=" + __name__ + ":Inner(width=3))"
    )


def test_what_does_not_compare_does_not_count():
    assert canonical(Inner(label="x")) == canonical(Inner(label="y"))


def test_a_version_renames():
    later = dataclass(frozen=True)(type("Outer", (Outer,), {"version": 3, "__module__": __name__}))
    assert canonical(later()) == canonical(Outer()).replace("@2", "@3")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(values, values)
def test_different_values_have_different_texts(one, other):
    same = repr(one) == repr(other) or (one == other and isinstance(one, dict))
    assert (canonical(one) == canonical(other)) == same


def test_the_order_of_a_mapping_does_not_matter_that_of_a_tuple_does():
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})
    assert canonical((1, 2)) != canonical((2, 1))


def test_numpy_scalars_are_the_numbers_they_hold():
    assert canonical(np.float64(0.1)) == canonical(0.1)
    assert canonical(np.int32(3)) == canonical(3)
    assert canonical(np.str_("a")) == canonical("a")


def test_functions_classes_partials_and_enums_are_named_by_where_they_live():
    assert canonical(math.gcd) == "math:gcd"
    assert canonical(Path) == "pathlib:Path"
    assert canonical(functools.partial(math.gcd, 4)) == "partial(math:gcd, (4), {})"
    assert canonical(Colour.RED) == f"{__name__}:Colour.RED"


def test_a_task_is_named_by_its_content():
    class Task:
        def __init__(self, content: str) -> None:
            self.hash = content

    Task.__qualname__ = "Task"
    assert canonical(Task("a1")) != canonical(Task("b2"))


@pytest.mark.parametrize("value", [Mutable(), np.zeros(3), lambda x: x, object()])
def test_what_has_no_lasting_name_is_refused(value):
    with pytest.raises(StudyError, match="expected"):
        canonical(value)


def test_editing_a_function_changes_what_is_keyed_by_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    texts = []
    for number, body in enumerate(["return x", "return 2 * x"]):
        (tmp_path / f"edited{number}.py").write_text(f"def f(x):\n    {body}\n")
        texts.append(source_of(f"edited{number}:f").replace(str(number), "", 1))
    assert digest([texts[0]]) != digest([texts[1]])


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("math", "expected 'pkg.module:function'"),
        ("math:gdc", "Did you mean 'gcd'"),
        ("skipnorm.studies.stdy:Study", "Did you mean 'study'"),
        ("no_such_package.module:f", "no module 'no_such_package'"),
    ],
)
def test_a_wrong_reference_is_answered_with_what_there_is(path, says):
    with pytest.raises(StudyError, match=says):
        load(path)


def test_an_import_error_inside_a_module_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "broken_inside.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        load("broken_inside:f")


def test_reference_and_load_are_inverse():
    assert load(reference(canonical)) is canonical
