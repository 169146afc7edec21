"""A verdict at a glance: its interval against the predicted band, as a drawing in the card."""

import math
from dataclasses import dataclass

from markupsafe import Markup, escape

from skipnorm.evidence.wording import number
from skipnorm.verdicts import Verdict

_LEFT, _RIGHT = 22.0, 78.0


@dataclass(frozen=True)
class Ruler:
    """Where numbers lie between the two sides of the drawing, in per cent of its width."""

    low: float
    high: float
    log: bool

    def place(self, value: float) -> float:
        """The position of a value; what lies beyond the sides is put at them."""
        if math.isnan(value):
            return 50.0
        if math.isinf(value):
            return 100.0 if value > 0 else 0.0
        if self.log and value <= 0:
            return 0.0
        low, high, at = (
            map(math.log, (self.low, self.high, value))
            if self.log
            else (
                self.low,
                self.high,
                value,
            )
        )
        return min(max(_LEFT + (_RIGHT - _LEFT) * (at - low) / (high - low), 0.0), 100.0)


def glance(verdict: Verdict) -> Markup:
    """The deciding case as an SVG: the predicted band, the interval on it, the effect as a dot.

    Ends that are infinite run off the side. The drawing is decoration for the eye, hidden from
    screen readers: the card says the same in words.
    """
    row = next(row for row in verdict.cases if row["case"] == verdict.case)
    band = (row["predicted_low"], row["predicted_high"])
    ruler = _ruler([verdict.effect, verdict.low, verdict.high, *band], verdict.claim.scale == "log")
    start, end = ruler.place(band[0]), ruler.place(band[1])
    parts = [
        '<svg class="glance" width="100%" height="46" aria-hidden="true" focusable="false">',
        '<line class="axis" x1="0%" x2="100%" y1="15" y2="15"/>',
        f'<rect class="band" x="{start:.2f}%" y="3" width="{end - start:.2f}%" height="24"/>',
        *_edges(band, ruler),
        *_interval(verdict, ruler),
        "</svg>",
    ]
    return Markup("".join(parts))


def _ruler(values: list[float], log: bool) -> Ruler:
    finite = [value for value in values if math.isfinite(value)]
    log = log and all(value > 0 for value in finite)
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if low < high:
        return Ruler(low, high, log)
    return Ruler(low / 2, low * 2, True) if log else Ruler(low - 1.0, low + 1.0, False)


def _edges(band: tuple[float, float], ruler: Ruler) -> list[str]:
    drawn = []
    for edge, anchor, shift in ((band[0], "end", 2), (band[1], "start", -2)):
        if math.isfinite(edge):
            at = ruler.place(edge)
            alone = not all(map(math.isfinite, band))
            apart = alone or ruler.place(band[1]) - ruler.place(band[0]) > 40
            where = "middle" if apart else anchor
            drawn.append(f'<line class="edge" x1="{at:.2f}%" x2="{at:.2f}%" y1="1" y2="29"/>')
            drawn.append(
                f'<text x="{at:.2f}%" dx="{0 if apart else shift}" y="43" '
                f'text-anchor="{where}">{escape(number(edge))}</text>'
            )
    return drawn


def _interval(verdict: Verdict, ruler: Ruler) -> list[str]:
    drawn = []
    if not math.isnan(verdict.low):
        low, high = ruler.place(verdict.low), ruler.place(verdict.high)
        drawn.append(f'<line class="whisker" x1="{low:.2f}%" x2="{high:.2f}%" y1="15" y2="15"/>')
        for end, at in ((verdict.low, low), (verdict.high, high)):
            if math.isfinite(end):
                drawn.append(
                    f'<line class="whisker" x1="{at:.2f}%" x2="{at:.2f}%" y1="9" y2="21"/>'
                )
    if math.isfinite(verdict.effect):
        drawn.append(
            f'<circle class="effect" cx="{ruler.place(verdict.effect):.2f}%" cy="15" r="5.5"/>'
        )
    return drawn
