"""Things named by where they are imported from: ``"pkg.module:name"`` and back."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from skipnorm.errors import StudyError, nearest

__all__ = ["load", "reference"]


def load(path: str) -> Any:
    """What ``"pkg.module:name"`` names; ``name`` may itself be dotted.

    Raises:
        StudyError: the text has another form, or the module or the name does not exist.

    >>> load("math:gcd")(12, 18)
    6
    """
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise StudyError(
            f"A function is named by its module, a colon and its name: expected "
            f"'pkg.module:function', found {path!r}."
        )
    found: Any = _module(module_name, path)
    for part in name.split("."):
        if not hasattr(found, part):
            public = sorted(word for word in vars(found) if not word.startswith("_"))
            raise StudyError(f"Nothing of that name in {module_name!r}: {nearest(part, public)}")
        found = getattr(found, part)
    return found


def reference(thing: Any) -> str:
    """The ``"pkg.module:name"`` under which another process finds this function or class.

    Raises:
        StudyError: it has no such name (a lambda, a function inside a function).

    >>> import math
    >>> reference(math.gcd)
    'math:gcd'
    >>> reference(lambda x: x)
    Traceback (most recent call last):
        ...
    skipnorm.errors.StudyError: A worker process cannot load '<lambda>': expected ...
    """
    name = getattr(thing, "__qualname__", None)
    module = getattr(thing, "__module__", None)
    if not name or not module or "<" in name:
        raise StudyError(
            f"A worker process cannot load {name or thing!r}: expected a function or class at the "
            f"top of a module, found {thing!r}. Define it with `def` in a module."
        )
    return f"{_lasting_name(module)}:{name}"


def _module(name: str, path: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        raise StudyError(
            f"There is no module {error.name!r}, wanted for {path!r}.{_neighbours(name)} "
            f"Looked in {sys.path[0] or 'the current directory'!r} and the installed packages."
        ) from error


def _neighbours(name: str) -> str:
    """The modules beside a missing one, where its parent exists."""
    parent, _, last = name.rpartition(".")
    try:
        folders = [Path(f) for f in import_module(parent).__path__] if parent else [Path.cwd()]
    except (ImportError, AttributeError):
        return ""
    found = {p.stem for f in folders for p in f.glob("*.py")}
    found |= {p.parent.name for f in folders for p in f.glob("*/__init__.py")}
    choices = sorted(stem for stem in found if not stem.startswith("_"))
    return f" Beside it: {nearest(last, choices)}" if choices else ""


def _lasting_name(module: str) -> str:
    """A script's functions belong to the file, not to the accident of running it."""
    if module not in ("__main__", "__mp_main__"):
        return module
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file).stem if file else module
