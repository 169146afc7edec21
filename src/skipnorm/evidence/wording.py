"""Numbers as a reader wants them: as many digits as the interval deserves."""

import math

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, width: float | None = None) -> str:
    """A number in print: to two digits of its uncertainty, or to four of its own.

    Args:
        value: what to print; infinities and NaN are printed as such.
        width: how wide the interval around it is, if there is one (see `resolution`); one that is 0 or endless
            tells nothing and counts as none.

    >>> number(1.78823, width=0.018), number(1.5), number(2.5e-7), number(float("-inf"))
    ('1.788', '1.5', '2.5 × 10⁻⁷', '−∞')
    """
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if width is not None and not 0 < width < math.inf:
        width = None
    size = math.floor(math.log10(abs(value)))
    last = size - 3 if width is None else math.floor(math.log10(width)) - 1
    largest = max(abs(value), width or 0.0)
    if 1e-4 <= largest < 1e6:
        text = f"{value:.{min(max(-last, 0), 8)}f}"
        return _minus(text if width is not None else _shortened(text))
    text, _, power = f"{value:.{min(max(size - last, 0), 4)}e}".partition("e")
    mantissa = text if width is not None else _shortened(text)
    return f"{_minus(mantissa)} × 10{superscript(int(power))}"


def superscript(power: int) -> str:
    """A whole number as an exponent.

    >>> superscript(-12)
    '⁻¹²'
    """
    return str(power).translate(_SUPERSCRIPT)


def resolution(low: float, high: float) -> float | None:
    """The width of an interval where it tells how many digits matter, else None.

    It tells nothing where the interval is a point, is endless, or spans a factor of ten.

    >>> resolution(1.0, 1.5), resolution(0.1, 10.0), resolution(0.0, float("inf"))
    (0.5, None, None)
    """
    width = high - low
    spans = low * high > 0 and max(low / high, high / low) > 10
    return width if math.isfinite(width) and width > 0 and not spans else None


def span(low: float, high: float) -> str:
    """An interval in print.

    >>> span(1.7791, 1.7972), span(float("-inf"), 3.0), span(0.001, 12.0)
    ('1.779 to 1.797', '−∞ to 3', '0.001 to 12')
    """
    width = resolution(low, high)
    return f"{number(low, width)} to {number(high, width)}"


def percent(share: float) -> str:
    """A share in per cent, with no digit too many.

    >>> percent(0.95), percent(0.99166)
    ('95 %', '99.2 %')
    """
    return f"{100 * share:.3g} %"


def _shortened(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _minus(text: str) -> str:
    return text.replace("-", "−")
