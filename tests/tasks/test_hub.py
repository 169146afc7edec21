"""Hugging Face data sets against the rows they were made of; by a stand-in where there are none.

The stand-in has the four things that are asked of a data set (``column_names``, ``with_format``,
``len`` and a column by its name), so everything but opening a folder is tested without the library.
"""

import importlib.util

import numpy as np
import pytest
import torch

from skipnorm.errors import TaskError
from skipnorm.studies.identity import canonical
from skipnorm.tasks import Hub, named, task_of

INSTALLED = importlib.util.find_spec("datasets") is not None


class StandIn:
    """What is asked of a ``datasets.Dataset``."""

    def __init__(self, columns):
        self.columns = columns

    @classmethod
    def from_dict(cls, columns):
        return cls({name: list(each) for name, each in columns.items()})

    @property
    def column_names(self):
        return list(self.columns)

    def with_format(self, _format):
        return self

    def __getitem__(self, name):
        return self.columns[name]

    def __len__(self):
        return len(next(iter(self.columns.values())))


def real():
    if not INSTALLED:
        pytest.skip("the library datasets is not installed")
    return importlib.import_module("datasets").Dataset


@pytest.fixture(params=["stand-in", "datasets"])
def table(request):
    return StandIn.from_dict if request.param == "stand-in" else real().from_dict


VECTORS = np.random.default_rng(0).normal(size=(40, 3))
LABELS = np.arange(40) % 4


def test_rows_of_a_table(table):
    task = Hub(table({"x": VECTORS.tolist(), "label": LABELS.tolist()}), standardise=False)
    assert (task.classes, task.inputs_shape, task.loss) == (4, (3,), "cross_entropy")
    parts = [task.full(split) for split in ("train", "validation", "test")]
    assert [len(targets) for _, targets in parts] == [26, 6, 8]
    for inputs, targets in parts:
        for row, label in zip(inputs, targets, strict=True):
            place = int(np.abs(VECTORS - row.numpy()).sum(axis=1).argmin())
            torch.testing.assert_close(row, torch.from_numpy(VECTORS[place]).float())
            assert LABELS[place] == label


def test_parts_by_their_names(table):
    def rows(count):
        return table({"x": VECTORS[:count].tolist(), "y": VECTORS[:count, 0].tolist()})

    task = Hub({"train": rows(20), "valid": rows(5), "test": rows(9)})
    assert [task.count(split) for split in ("train", "validation", "test")] == [20, 5, 9]
    assert (task.classes, task.loss) == (None, "mse")
    assert isinstance(task_of({"train": rows(20)}), Hub)
    with pytest.raises(TaskError, match="a part called 'train', found tests"):
        Hub({"tests": rows(3)}).full("train")


def test_columns_are_found_or_named(table):
    data = table({"pixels": VECTORS.tolist(), "kind": LABELS.tolist(), "other": LABELS.tolist()})
    with pytest.raises(TaskError, match=r"inputs called image or .*found pixels, kind, other"):
        Hub(data).full("train")
    with pytest.raises(TaskError, match="Did you mean 'kind'"):
        Hub(data, inputs="pixels", targets="kid").full("train")
    task = Hub(data, inputs="pixels", targets="kind")
    assert task.classes == 4
    assert str(task) == f"Hub(<{type(data).__name__} of 40 rows>, inputs='pixels', targets='kind')"


def test_identity_is_the_content_and_the_settings(table):
    columns = {"x": VECTORS.tolist(), "label": LABELS.tolist()}
    one, again = Hub(table(columns)), Hub(table(columns))
    other = Hub(table({**columns, "x": (VECTORS + 1).tolist()}))
    assert canonical(one) == canonical(again) != canonical(other)
    assert canonical(one) != canonical(Hub(table(columns), test=0.3))


def test_text_and_ragged_columns_are_refused(table):
    data = table({"x": ["a", "b"] * 5, "y": [0, 1] * 5, "r": [[1.0], [1.0, 2.0]] * 5})
    with pytest.raises(TaskError, match=r"numbers or images, found <U1.* Characters"):
        Hub(data).full("train")
    with pytest.raises(TaskError, match=r"one shape, found \[\(1,\), \(2,\)\]"):
        Hub(data, inputs="r").full("train")


def test_without_the_library_it_says_so(monkeypatch):
    def blocked(name, *_rest):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", blocked)
    with pytest.raises(TaskError, match=r"pip install skipnorm\[hub\]"):
        Hub("mnist").full("train")


def test_a_folder_on_disk(tmp_path):
    data = real().from_dict({"x": VECTORS.tolist(), "label": LABELS.tolist()})
    data.save_to_disk(str(tmp_path / "set"))
    task = named(str(tmp_path / "set"))
    assert task.hash == Hub(data).hash
    with pytest.raises(TaskError, match="expected a folder that save_to_disk wrote"):
        Hub(str(tmp_path / "none")).full("train")


def test_images_are_decoded():
    library = importlib.import_module("datasets") if real() else None
    pixels = [np.full((4, 5, 3), value, np.uint8) for value in range(20)]
    features = library.Features({"image": library.Image(), "label": library.ClassLabel(2)})
    data = library.Dataset.from_dict({"image": pixels, "label": [0, 1] * 10}, features=features)
    task = Hub(data, standardise=False, validation=0.0, test=0.0)
    inputs, _ = task.full("train")
    assert inputs.shape == (20, 3, 4, 5)
    assert (inputs * 255).round()[:, 0, 0, 0].tolist() == list(range(20))


def test_images_with_a_palette_come_in_their_colours():
    """Numbers into a palette are names of colours, not brightness."""
    image = pytest.importorskip("PIL.Image").new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 250, 20, 30])
    task = Hub(
        StandIn({"image": [image] * 4, "label": [0, 1] * 2}),
        standardise=False, validation=0.0, test=0.0,
    )  # fmt: skip
    inputs, _ = task.full("train")
    assert (inputs[0, :, 0, 0] * 255).round().tolist() == [250, 20, 30]
