"""Folders of images against the pixels that were written into them, by formats without loss."""

import importlib

import numpy as np
import pytest
import torch

from skipnorm.errors import TaskError
from skipnorm.tasks import ImageFolder

Image = pytest.importorskip("PIL.Image")


def pixels(seed: int, height: int = 6, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def laid(folder, classes=("cat", "ant"), count=5, **size):
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image = Image.fromarray(pixels(100 * label + number, **size))
            image.save(folder / name / f"{number}.png")
    return folder


def test_pixels_and_labels_in_alphabetical_order(tmp_path):
    task = ImageFolder(laid(tmp_path), test=0.0, validation=0.0, standardise=False)
    assert task.names == ("ant", "cat")
    inputs, labels = task.full("train")
    assert labels.tolist() == [0] * 5 + [1] * 5
    assert inputs.shape == (10, 3, 6, 6)
    first = torch.from_numpy(pixels(100)).permute(2, 0, 1)  # the first ant
    torch.testing.assert_close((inputs[0] * 255).round().byte(), first)


def test_parts_of_its_own(tmp_path):
    for part, count in (("train", 6), ("val", 2), ("test", 3)):
        laid(tmp_path / part, count=count)
    task = ImageFolder(tmp_path)
    assert [task.count(split) for split in ("train", "validation", "test")] == [12, 4, 6]
    (tmp_path / "test" / "cat").rename(tmp_path / "test" / "dog")
    with pytest.raises(TaskError, match="found cat, dog only in one of 'train' and 'test'"):
        ImageFolder(tmp_path, crop=1).full("train")


def test_size_takes_the_middle_and_grey_one_channel(tmp_path):
    laid(tmp_path, height=4, width=8)
    found = ImageFolder(tmp_path, size=4, standardise=False, test=0.0, validation=0.0)
    middle = torch.from_numpy(pixels(100, 4, 8)[:, 2:6]).permute(2, 0, 1)
    torch.testing.assert_close((found.full("train")[0][0] * 255).round().byte(), middle)
    assert ImageFolder(tmp_path, size=2, grey=True).inputs_shape == (1, 2, 2)


def test_images_of_two_sizes_are_refused_by_name(tmp_path):
    laid(tmp_path)
    Image.fromarray(pixels(0, 5, 6)).save(tmp_path / "cat" / "3.png")
    with pytest.raises(
        TaskError, match=r"3.png'.* expected 6 x 6 pixels .* found 5 x 6. Give size="
    ):
        ImageFolder(tmp_path).full("train")
    assert ImageFolder(tmp_path, size=6).inputs_shape == (3, 6, 6)


def test_damaged_images_are_refused_by_name(tmp_path):
    file = laid(tmp_path) / "ant" / "2.png"
    for data in (file.read_bytes()[:80], b"", b"no image"):
        file.write_bytes(data)
        with pytest.raises(TaskError, match=r"2.png': expected an image, found a file that Pillow"):
            ImageFolder(tmp_path).full("train")


def test_images_of_more_than_a_byte_are_refused_and_not_cut_off(tmp_path):
    for folder in ("ant", "cat"):
        (tmp_path / folder).mkdir()
        deep = Image.fromarray(np.array([[0, 300], [40_000, 65_535]], np.uint16))
        deep.save(tmp_path / folder / "0.png")
    with pytest.raises(TaskError, match="expected 8 bits per channel, found more"):
        ImageFolder(tmp_path, grey=True).full("train")


def test_folders_without_classes_are_refused(tmp_path):
    with pytest.raises(TaskError, match="found No such file"):
        ImageFolder(tmp_path / "none").full("train")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("no image")
    laid(tmp_path, classes=("ant",))
    with pytest.raises(TaskError, match="two classes or more, found ant"):
        ImageFolder(tmp_path).full("train")


def test_without_pillow_it_says_so(tmp_path, monkeypatch):
    real = importlib.import_module

    def blocked(name, *rest):
        if name.startswith("PIL"):
            raise ImportError(name)
        return real(name, *rest)

    laid(tmp_path)
    monkeypatch.setattr(importlib, "import_module", blocked)
    with pytest.raises(TaskError, match="pip install pillow"):
        ImageFolder(tmp_path).full("train")
