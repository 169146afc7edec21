"""The one palette: six series colours and four inks, each in a light and a dark twin.

The six can be told apart with normal vision and with every kind of colour blindness, and stand
out from the page by a contrast of three to one; a test measures both. Every series has a marker
of its own besides, so that colour never speaks alone. Figures are made in the light colours; the
page swaps each for its twin.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """One colour for paper and its twin for the dark."""

    light: str
    dark: str

    def __str__(self) -> str:
        return self.light

    def wash(self, strength: float = 0.16) -> str:
        """The light colour, transparent, for bands.

        >>> Colour("#102030", "#000000").wash(0.5)
        'rgba(16, 32, 48, 0.5)'
        """
        return _wash(self.light, strength)


SERIES = (
    Colour("#1b4a98", "#8fbcff"),
    Colour("#b23a16", "#ee6a3e"),
    Colour("#1aa179", "#35c792"),
    Colour("#b9509f", "#da62c0"),
    Colour("#a98614", "#f3dc7c"),
    Colour("#3d444d", "#8a919b"),
)
"""The colours of series, in order: blue, vermilion, green, pink, gold, slate."""

PAPER = Colour("#fbfaf7", "#141619")
INK = Colour("#22252a", "#e9e7e2")
MUTED = Colour("#62676f", "#a2a8b0")
GRID = Colour("#e6e2d9", "#2c3036")
PREDICTED = Colour("#8a7442", "#d9c48c")
"""What theory predicts, where it belongs to no one series."""

MARKERS = ("circle", "diamond", "square", "triangle-up", "cross", "star")
BAND = 0.16
SHADE = 0.22


def series_colour(index: int) -> Colour:
    """The colour of the series with this index; after six they begin again."""
    return SERIES[index % len(SERIES)]


def series_marker(index: int) -> str:
    """The marker of the series with this index; it differs where the colours begin again.

    >>> series_marker(0), series_marker(6)
    ('circle', 'circle-open')
    """
    marker = MARKERS[index % len(MARKERS)]
    return marker if (index // len(MARKERS)) % 2 == 0 else f"{marker}-open"


def twins() -> dict[str, str]:
    """The dark twin of every colour that a figure of ours may hold, washes included.

    >>> twins()["#1b4a98"]
    '#8fbcff'
    """
    pairs = {}
    for colour in (*SERIES, PAPER, INK, MUTED, GRID, PREDICTED):
        pairs[colour.light] = colour.dark
        for strength in (BAND, SHADE):
            pairs[_wash(colour.light, strength)] = _wash(colour.dark, strength)
    return pairs


def _wash(colour: str, strength: float) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {strength})"
