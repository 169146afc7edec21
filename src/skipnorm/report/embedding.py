"""Data inside HTML that no content can break out of."""

import json
import re
from typing import Any

from markupsafe import Markup

_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def json_text(value: Any) -> Markup:
    r"""A value as JSON that is safe inside a script element, whatever text it holds.

    >>> print(json_text({"name": "</script>"}))
    {"name":"\u003c/script\u003e"}
    """
    return guarded(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def guarded(text: str) -> Markup:
    """JSON text, made safe inside a script element; its meaning stays the same."""
    for letter, escape in _ESCAPES.items():
        text = text.replace(letter, escape)
    return Markup(text)


def slug(text: str) -> str:
    """A text as an anchor: lower case, with dashes between its words.

    >>> slug("BN-ReLU: rate (B=8)")
    'bn-relu-rate-b-8'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
