"""Tasks by the words that a command line uses, and whatever a user has in place of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from skipnorm.errors import StudyError, TaskError, nearest
from skipnorm.reference import load
from skipnorm.tasks.batches import Batches
from skipnorm.tasks.cifar import Cifar10, Cifar100
from skipnorm.tasks.digits import Digits
from skipnorm.tasks.folders import ImageFolder
from skipnorm.tasks.hub import Hub
from skipnorm.tasks.idx import FashionMnist, Mnist
from skipnorm.tasks.mnist1d import Mnist1d
from skipnorm.tasks.npz import Npz
from skipnorm.tasks.synthetic import Gaussian
from skipnorm.tasks.task import Task
from skipnorm.tasks.text import Characters

__all__ = ["TASKS", "named", "task_of"]

#: Every task that needs no settings, by the name that a command line uses.
TASKS: dict[str, type[Task]] = {
    "digits": Digits,
    "mnist1d": Mnist1d,
    "gaussian": Gaussian,
    "mnist": Mnist,
    "fashion-mnist": FashionMnist,
    "cifar10": Cifar10,
    "cifar100": Cifar100,
}

#: Files that are a task by themselves.
FILES: dict[str, Callable[[str], Task]] = {".npz": Npz, ".txt": Characters}


def named(name: str) -> Any:
    """The task that a word names.

    A name of ``TASKS``; an ``.npz`` or ``.txt`` file; a folder of images; a folder that
    ``datasets`` wrote; or ``"pkg.module:name"``, whatever :func:`task_of` takes.

    Raises:
        TaskError: none of these.

    >>> named("digits"), named("samples.npz")
    (Digits(), Npz(path='samples.npz'))
    """
    if name in TASKS:
        return TASKS[name]()
    suffix = Path(name).suffix.lower()
    if suffix in FILES:
        return FILES[suffix](name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        stored = any((folder / each).is_file() for each in ("state.json", "dataset_dict.json"))
        return Hub(name) if stored else ImageFolder(name)
    if ":" not in name:
        raise TaskError(
            f"Unknown task: {nearest(name, TASKS)} It can also be an .npz or .txt file, a folder of "
            "images, or 'pkg.module:task'."
        )
    try:
        return task_of(load(name))
    except StudyError as error:
        raise TaskError(str(error)) from error


def task_of(thing: Any) -> Any:
    """The task that something is, makes, or can be taken for.

    A task (anything with ``batch`` and ``loss``) is itself; text is :func:`named`; a class or
    function is called without arguments; a data set of ``datasets`` is a ``Hub``, and a DataLoader
    or any iterable of batches becomes ``Batches``.

    Raises:
        TaskError: anything else.

    >>> task_of(Digits), task_of("digits")
    (Digits(), Digits())
    """
    if isinstance(thing, str):
        return named(thing)
    if not isinstance(thing, type):
        if callable(getattr(thing, "batch", None)) and hasattr(thing, "loss"):
            return thing
        if is_dataset(thing):
            return Hub(thing)
        if isinstance(thing, Iterable) and not isinstance(thing, Mapping | bytes):
            return Batches(thing)
    if callable(thing):
        return task_of(called(thing))
    raise TaskError(
        "Expected a task, its name, 'pkg.module:task', a DataLoader or an iterable of batches, found "
        f"{type(thing).__name__}."
    )


def is_dataset(thing: Any) -> bool:
    """Whether it is one of the library datasets, or a dict of parts of one."""
    parts = list(thing.values()) if isinstance(thing, Mapping) else [thing]
    wanted = ("column_names", "with_format")
    return bool(parts) and all(all(hasattr(part, name) for name in wanted) for part in parts)


def called(make: Callable[[], Any]) -> Any:
    """What a class or function without arguments makes."""
    from inspect import Parameter, signature

    kinds = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    try:
        parameters = signature(make).parameters.values()
    except (TypeError, ValueError):
        return make()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in kinds]
    if needed:
        raise TaskError(
            f"{getattr(make, '__qualname__', make)} should make a task without arguments, but it "
            f"needs {', '.join(needed)}. Write a function that fills them in."
        )
    return make()
