"""The palette can be told apart by everyone; sources: Machado 2009, WCAG 2.2, CIE 1976."""

import itertools

import numpy as np
import pytest

from skipnorm.figures import SERIES, twins
from skipnorm.figures.palette import INK, MUTED, PAPER, PREDICTED, series_marker

VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.072175],
        [0.0193339, 0.119192, 0.9503041],
    ]
)


def linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one: str, other: str) -> float:
    lights = sorted(float(linear(colour) @ TO_XYZ[1]) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


@pytest.mark.parametrize("shade", ["light", "dark"])
@pytest.mark.parametrize("vision", VISION)
def test_series_can_be_told_apart(shade: str, vision: str) -> None:
    seen = [lab(VISION[vision] @ linear(getattr(colour, shade))) for colour in SERIES]
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert min(distances) > 15


@pytest.mark.parametrize("shade", ["light", "dark"])
def test_series_stand_out_from_the_page_and_text_can_be_read(shade: str) -> None:
    page = getattr(PAPER, shade)
    assert min(contrast(getattr(colour, shade), page) for colour in (*SERIES, PREDICTED)) >= 3
    assert min(contrast(getattr(ink, shade), page) for ink in (INK, MUTED, *SERIES[:2])) >= 4.5


def test_every_colour_has_a_twin_and_no_two_share_one() -> None:
    pairs = twins()
    assert all(str(colour) in pairs for colour in (*SERIES, PAPER, INK, MUTED, PREDICTED))
    assert SERIES[0].wash() in pairs
    assert len(set(pairs.values())) == len(pairs)


def test_markers_differ_where_colours_begin_again() -> None:
    assert len({series_marker(index) for index in range(12)}) == 12
