"""The name that a trial earns by its settings: equal settings, equal key, nothing computed twice.

Two keys, so that measuring more does not mean training again: the *training key* says which state
of which network it is, the *reading key* what was read there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import partial
from hashlib import sha256
from typing import Any

from skipnorm.errors import StudyError
from skipnorm.studies.reference import load, reference

__all__ = ["canonical", "digest", "source_of"]

_PLAIN: tuple[Any, ...] = (bool, int, float, str, bytes, type(None))


def canonical(value: Any) -> str:
    """What this value is, in one line of text that equal values share.

    Settings left at their defaults are omitted, so a new setting with a default renames nothing.
    A class whose *meaning* changes while its settings do not says so by a number ``version``; a
    value with a content ``hash`` (a task) is named by it. Floats are written with all their
    digits, mappings and sets in sorted order. ``compare=False`` fields do not count.

    Raises:
        StudyError: the value has no such text: a mutable dataclass, an array, a lambda.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Net:
    ...     depth: int = 4
    ...     norm: str = "none"
    >>> canonical({"net": Net(depth=4, norm="batch"), "beta": 0.1})
    "{'beta': 0.1, 'net': Net(norm='batch')}"
    """
    if isinstance(value, Enum):
        return f"{_class_name(type(value))}.{value.name}"
    for kind in _PLAIN:
        if isinstance(value, kind):
            return str(kind.__repr__(value))
    if is_dataclass(value) and not isinstance(value, type):
        return _dataclass(value)
    if isinstance(value, Mapping):
        pairs = sorted((canonical(key), canonical(item)) for key, item in value.items())
        return "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}"
    if isinstance(value, Set):
        return "{" + ", ".join(sorted(map(canonical, value))) + "}"
    if isinstance(value, Sequence):
        return "(" + ", ".join(map(canonical, value)) + ")"
    return _named(value)


def digest(parts: Iterable[str]) -> str:
    """A short name for these lines of text: the first 16 hexadecimal digits of their SHA-256.

    Sixteen digits are 64 bits: among a million trials, two share a name with chance 3e-8.

    >>> digest(["a", "b"]) == digest(["a", "b"]) != digest(["ab"])
    True
    >>> len(digest([]))
    16
    """
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


def source_of(function: str | Callable[..., Any] | None) -> str:
    """The name and the source text of a function, so that editing it changes what is keyed by it.

    >>> source_of(None)
    ''
    """
    if function is None:
        return ""
    found = load(function) if isinstance(function, str) else function
    try:
        text = inspect.getsource(found)
    except (OSError, TypeError):
        text = ""
    return f"{reference(found)}\n{text}"


def _dataclass(value: Any) -> str:
    kind = type(value)
    if not kind.__dataclass_params__.frozen:
        raise StudyError(
            f"A study is made of values that cannot change: expected a frozen dataclass, found "
            f"{kind.__qualname__}. Write @dataclass(frozen=True)."
        )
    settings = [
        f"{field.name}={text}"
        for field in fields(value)
        if field.compare and (text := canonical(getattr(value, field.name))) != _default(field)
    ]
    content = getattr(value, "hash", None)
    mark = f"#{content}" if isinstance(content, str) else ""
    return f"{_class_name(kind)}({', '.join(settings)}){mark}"


def _default(field: Field[Any]) -> str | None:
    if field.default is not MISSING:
        return canonical(field.default)
    if field.default_factory is not MISSING:
        return canonical(field.default_factory())
    return None


def _class_name(kind: type) -> str:
    version = getattr(kind, "version", None)
    mark = f"@{version}" if isinstance(version, int | str) else ""
    module, _, name = reference(kind).partition(":")
    ours = module.split(".")[0] == "skipnorm"
    return f"{name}{mark}" if ours else f"{module}:{name}{mark}"


def _named(value: Any) -> str:
    """Functions, classes, partials, numpy scalars and torch dtypes: named by where they live."""
    if isinstance(value, partial):
        settings = f"{canonical(value.args)}, {canonical(value.keywords)}"
        return f"partial({canonical(value.func)}, {settings})"
    if isinstance(value, type) or inspect.isroutine(value):
        return reference(value)
    if isinstance(getattr(value, "hash", None), str):
        return f"{_class_name(type(value))}()#{value.hash}"
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return canonical(value.item())
    if type(value).__module__ == "torch" and type(value).__name__ in ("dtype", "device"):
        return str(value)
    raise StudyError(
        f"A value of type {type(value).__qualname__} has no lasting name: expected numbers, text, "
        f"tuples, mappings, frozen dataclasses or functions of a module, found {value!r}."
    )
