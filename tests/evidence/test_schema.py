"""The schema refuses what it does not allow, and says which variable or dimension it means."""

import numpy as np
import pytest
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.evidence import DIMENSIONS, Quantity, check, label

GROWTH = Quantity("growth", ("seed", "site"), "1", "growth per layer", "Yang 2019, Thm 8")
COORDS = {"seed": [0, 1, 2], "site": ["a", "b"], "kind": ("site", ["norm", "skip"])}


def test_a_label_carries_every_word_of_its_quantity() -> None:
    evidence = label({"growth": np.ones((3, 2))}, [GROWTH], COORDS, {"python": "3.11"})
    assert evidence["growth"].attrs == {
        "unit": "1",
        "meaning": "growth per layer",
        "source": "Yang 2019, Thm 8",
    }
    assert evidence["growth"].dims == ("seed", "site")
    assert evidence["kind"].dims == ("site",)
    assert evidence.attrs == {"python": "3.11"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"growht": np.ones((3, 2))}, "Did you mean 'growth'"),
        ({}, "quantity without a value"),
        ({"growth": np.ones((2, 3))}, r"expected the shape \(3, 2\).*found \(2, 3\)"),
    ],
)
def test_a_mismatch_is_named(values: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(EvidenceError, match=message):
        label(values, [GROWTH], COORDS, {})


def test_a_dimension_without_labels_is_named() -> None:
    with pytest.raises(EvidenceError, match=r"'site'.*no labels"):
        label({"growth": np.ones((3, 2))}, [GROWTH], {"seed": [0, 1, 2]}, {})
    bare = xr.Dataset({"growth": ("seed", [1.0])})
    with pytest.raises(EvidenceError, match="'seed' has no labels"):
        check(bare)


def test_repeated_labels_are_named() -> None:
    with pytest.raises(EvidenceError, match="'seed' has the label 1 more than once"):
        label({"growth": np.ones((3, 2))}, [GROWTH], {**COORDS, "seed": [0, 1, 1]}, {})


@pytest.mark.parametrize("field", ["unit", "meaning", "source"])
def test_a_quantity_must_say_what_it_is(field: str) -> None:
    words = {"unit": "1", "meaning": "m", "source": "s", field: " "}
    with pytest.raises(EvidenceError, match=f"'x' leaves its {field} empty"):
        Quantity("x", (), **words)
    evidence = label({"growth": np.ones((3, 2))}, [GROWTH], COORDS, {})
    del evidence["growth"].attrs[field]
    with pytest.raises(EvidenceError, match=f"'growth' states no {field}"):
        check(evidence)


def test_names_and_dimensions_of_a_quantity_are_checked() -> None:
    with pytest.raises(EvidenceError, match="identifier"):
        Quantity("two words", (), "1", "m", "s")
    with pytest.raises(EvidenceError, match="Did you mean 'variant'"):
        Quantity("x", ("varient",), "1", "m", "s")


def test_only_numbers_truths_and_text_are_evidence() -> None:
    words = {"unit": "1", "meaning": "m", "source": "s"}
    good = xr.Dataset({"a": ((), True, words), "b": ((), "text", words), "c": ((), 1, words)})
    check(good)
    with pytest.raises(EvidenceError, match="'d' holds complex128"):
        check(good.assign(d=((), 1j, words)))


def test_the_dimensions_are_a_closed_list() -> None:
    assert len(set(DIMENSIONS)) == len(DIMENSIONS)
    assert {"variant", "seed", "step", "site", "port", "case"} <= set(DIMENSIONS)
