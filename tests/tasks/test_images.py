"""Standardisation against its definition, augmentation against padding and cropping by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from skipnorm.errors import TaskError
from skipnorm.studies.identity import canonical
from skipnorm.tasks import Npz
from skipnorm.tasks.augmentation import cropped, flipped
from skipnorm.tasks.images import channel_moments


@pytest.fixture
def path(tmp_path):
    numbers = np.random.default_rng(0)
    images = numbers.integers(0, 256, (50, 3, 6, 7), np.uint8)
    images[:, 2] = 9  # a channel without spread
    np.savez(tmp_path / "set.npz", x=images, y=np.arange(50) % 5)
    return str(tmp_path / "set.npz")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_moments_are_those_of_numpy(dtype):
    values = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 5)).astype(dtype)
    mean, spread = channel_moments(values)
    scale = 255 if dtype == np.uint8 else 1
    exact = values.astype(np.float64) / scale
    np.testing.assert_allclose(mean, exact.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(spread, exact.std(axis=(0, 2, 3)), rtol=1e-12)


@pytest.mark.parametrize("value", [0, 9, 251, 255])
def test_a_channel_without_spread_has_exactly_none(value):
    mean, spread = channel_moments(np.full((1777, 1, 31, 33), value, np.uint8))
    assert mean[0] == pytest.approx(value / 255, rel=1e-15)
    assert spread[0] == 1  # stands for none: nothing is divided by zero


def test_channels_of_the_training_part_are_standard_and_no_other(path):
    torch.set_default_dtype(torch.float64)
    try:
        task = Npz(path)
        inputs, _ = task.full("train")
        raw, _ = Npz(path, standardise=False).full("test")
        shown, _ = task.full("test")
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(inputs.mean(dim=(0, 2, 3)), torch.zeros(3).double())
    torch.testing.assert_close(
        inputs.var(dim=(0, 2, 3), correction=0), torch.tensor([1.0, 1.0, 0.0]).double()
    )
    mean, spread = (torch.from_numpy(each).view(-1, 1, 1) for each in task.moments())
    torch.testing.assert_close(raw * 1.0, shown * spread + mean)
    assert 0 <= float(raw.min()) <= float(raw.max()) <= 1
    assert abs(float(shown[:, :2].mean())) > 1e-6  # the test part keeps its own mean


def test_settings_are_part_of_the_identity_and_places_are_not(path, tmp_path):
    other = tmp_path / "copy.npz"
    other.write_bytes(Path(path).read_bytes())
    texts = [
        canonical(Npz(path, **settings))
        for settings in (
            {},
            {"crop": 1},
            {"flip": True},
            {"standardise": False},
            {"validation": 0.1},
        )
    ]
    assert len(set(texts)) == 5
    assert canonical(Npz(str(other))) == texts[0]
    assert Npz(str(other)) != Npz(path)
    assert "copy" not in canonical(Npz(str(other)))


def crops(image: torch.Tensor, padding: int) -> set[tuple[float, ...]]:
    padded = F.pad(image, [padding] * 4)
    _, height, width = image.shape
    places = range(2 * padding + 1)
    return {
        tuple(padded[:, top : top + height, left : left + width].flatten().tolist())
        for top in places
        for left in places
    }


def test_crops_are_every_crop_of_the_padded_image():
    image = torch.arange(1.0, 25).view(2, 3, 4)
    found = cropped(image.expand(600, 2, 3, 4), 1, torch.Generator().manual_seed(0))
    wanted = crops(image, 1)
    rows = [tuple(each) for each in found.flatten(1).tolist()]
    assert set(rows) == wanted
    counts = np.array([rows.count(each) for each in wanted])
    chi = float(((counts - 600 / 9) ** 2 / (600 / 9)).sum())
    assert chi < 26.1  # the .999 quantile of chi-squared with 8 degrees of freedom


def test_flips_are_of_the_last_axis_and_half_of_the_samples():
    images = torch.arange(12.0).view(1, 1, 3, 4).expand(1000, 1, 3, 4)
    found = flipped(images, torch.Generator().manual_seed(0))
    mirrored = (found == images.flip(-1)).flatten(1).all(dim=1)
    assert ((found == images).flatten(1).all(dim=1) ^ mirrored).all()
    assert abs(int(mirrored.sum()) - 500) < 52  # 3.3 standard deviations of sqrt(1000) / 2


def test_augmentation_draws_from_its_generator_alone(path):
    task = Npz(path, crop=2, flip=True)
    inputs, _ = task.full("train")
    state = torch.get_rng_state()
    one, again, other = (
        task.augment(inputs, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(inputs, task.full("train")[0])  # nothing was written into
    flat = Npz(path, crop=2, flip=True, flat=True)
    vectors = flat.augment(flat.full("train")[0], torch.Generator().manual_seed(0))
    assert torch.equal(vectors, one.flatten(1))


def test_no_augmentation_draws_nothing(path):
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    inputs, _ = Npz(path).full("train")
    assert Npz(path).augment(inputs, generator) is inputs
    assert torch.equal(generator.get_state(), before)


def test_refusals(path, tmp_path):
    with pytest.raises(TaskError, match="pixels of padding from 0 up, found -1"):
        Npz(path, crop=-1)
    np.savez(tmp_path / "flat.npz", x=np.eye(8), y=np.arange(8) % 2)
    with pytest.raises(TaskError, match="expected maps to crop"):
        Npz(tmp_path / "flat.npz", flip=True).augment(torch.zeros(2, 8), torch.Generator())
