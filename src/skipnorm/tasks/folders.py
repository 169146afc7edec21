"""Images in a folder for each class; decoded by Pillow, if it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import TaskError
from skipnorm.tasks.parted import Half, Parted, shared_out
from skipnorm.tasks.samples import Samples, Split

__all__ = ["ImageFolder"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}

#: What a part's folder may be called.
PARTS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True, repr=False, eq=False)
class ImageFolder(Parted):
    """Images in one subfolder per class, beneath ``train``, ``validation`` and ``test`` or without.

    ``path``: that folder. ``size``: side in pixels that every image is brought to, its shorter side
    scaled and its middle cut out; without it all must be of one size. ``grey``: one channel in
    place of three. Labels number the classes' names in alphabetical order.

    Raises:
        TaskError: no Pillow, no classes, parts with other classes, or an image that cannot be
            read or has another size than the first.

    >>> ImageFolder("flowers", size=32, crop=4, flip=True)
    ImageFolder(path='flowers', crop=4, flip=True, size=32)
    """

    path: str | Path = field(compare=False)
    size: int | None = field(default=None, kw_only=True)
    grey: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse an image without pixels."""
        super().__post_init__()
        if self.size is not None and self.size < 1:
            raise TaskError(f"ImageFolder: expected size in pixels from 1 up, found {self.size!r}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The classes' names, in the order of their labels."""
        return class_names(Path(self.path).expanduser())

    def read(self) -> Samples:
        """The samples, from the files: read once, and not again while an equal task is in use."""
        return self.kept(self._decoded)

    def _decoded(self) -> Samples:
        folder = Path(self.path).expanduser()
        names, parts = class_names(folder), parts_of(folder)
        halves: dict[Split, Half] = {}
        for split, place in parts.items():
            files = [
                (file, label) for label, name in enumerate(names) for file in images(place / name)
            ]
            pixels = decoded([file for file, _ in files], self.size, grey=self.grey)
            halves[split] = pixels, np.array([label for _, label in files], dtype=np.int64)
        return shared_out(halves, self.test, repr(str(folder)))


def parts_of(folder: Path) -> dict[Split, Path]:
    """The folder of each part; the folder itself where it is not parted."""
    found: dict[Split, Path] = {}
    for split, choices in PARTS.items():
        present = [folder / name for name in choices if (folder / name).is_dir()]
        if present:
            found[split] = present[0]
    return found if "train" in found else {"train": folder}


def class_names(folder: Path) -> tuple[str, ...]:
    """The names of the classes, the same in every part."""
    found = {split: classes_in(place) for split, place in parts_of(folder).items()}
    names = found["train"]
    if len(names) < 2:
        raise TaskError(
            f"{str(folder)!r}: expected a subfolder of images for each of two classes or more, found "
            f"{', '.join(names) or 'none'}. Images end in {', '.join(sorted(SUFFIXES))}."
        )
    for split, other in found.items():
        if other != names:
            odd = sorted(set(names) ^ set(other))
            raise TaskError(
                f"{str(folder)!r}: expected the same classes in every part, found {', '.join(odd)} "
                f"only in one of 'train' and {split!r}."
            )
    return names


def classes_in(place: Path) -> tuple[str, ...]:
    """The subfolders that hold images, by name."""
    try:
        inside = sorted(each for each in place.iterdir() if not each.name.startswith("."))
    except OSError as error:
        raise TaskError(
            f"Expected a folder of images at {str(place)!r}, found {error.strerror}."
        ) from error
    return tuple(each.name for each in inside if each.is_dir() and images(each))


def images(folder: Path) -> list[Path]:
    """The image files of a folder, in an order that is the same everywhere."""
    if not folder.is_dir():
        return []
    inside = (each for each in folder.iterdir() if each.suffix.lower() in SUFFIXES)
    return sorted(each for each in inside if not each.name.startswith("."))


def decoded(files: Sequence[Path], size: int | None, *, grey: bool) -> NDArray[np.uint8]:
    """All images as bytes, (samples, channels, height, width)."""
    pixels: list[NDArray[np.uint8]] = []
    for file in files:
        found = one_image(file, size, grey=grey)
        if pixels and found.shape != pixels[0].shape:
            raise TaskError(
                f"{str(file)!r}: expected {sides(pixels[0])} pixels as in {str(files[0])!r}, found "
                f"{sides(found)}. Give size= to bring all images to one size."
            )
        pixels.append(found)
    return np.stack(pixels)


def sides(image: NDArray[Any]) -> str:
    """Height x width."""
    return f"{image.shape[1]} x {image.shape[2]}"


def one_image(file: Path, size: int | None, *, grey: bool) -> NDArray[np.uint8]:
    """One image, (channels, height, width)."""
    pillow = pillow_image()
    try:
        with pillow.open(file) as opened:
            deep = opened.mode[0] in "IF"
            image = opened.convert("L" if grey else "RGB")
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and its own
        raise TaskError(
            f"{str(file)!r}: expected an image, found a file that Pillow cannot read: {error}. "
            "It is cut off or no image; fetch it again, or take it out of the folder."
        ) from error
    if deep:
        raise TaskError(
            f"{str(file)!r}: expected 8 bits per channel, found more (mode {opened.mode}), of which Pillow "
            "would cut off all above 255. Scale the images first, or save them as arrays in an .npz file."
        )
    if size is not None:
        short = min(image.size)
        left, top = ((side - short) // 2 for side in image.size)
        box = (left, top, left + short, top + short)
        image = image.resize((size, size), pillow.Resampling.BILINEAR, box=box)
    pixels: NDArray[np.uint8] = np.asarray(image, dtype=np.uint8)
    return pixels[None] if grey else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def pillow_image() -> Any:
    """Pillow's module of images; TaskError where it is not installed."""
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as missing:
        raise TaskError(
            "A folder of images is decoded by Pillow, which is not installed: try "
            "`pip install pillow`, or save the images as arrays in an .npz file."
        ) from missing
