"""The study that a command is about: an inquiry's, one in a file, or one in a module."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from skipnorm.errors import StudyError, nearest
from skipnorm.inquiries import CATALOGUE, Inquiry
from skipnorm.inquiries.inquiry import Scale
from skipnorm.studies.reference import load
from skipnorm.studies.study import Buildable, Study

__all__ = ["Asked", "asked", "asked_of_own", "inquiry_at"]

_OWN = "own"
"""What the source of an inquiry begins with that is asked of a network of one's own."""

_PAPER = "paper"
"""The same, of networks as published."""


@dataclass(frozen=True)
class Asked:
    """A study, and where its inquiry is found again if it belongs to one; else empty."""

    study: Study
    source: str = ""


def asked(target: str, *, scale: str) -> Asked:
    """The study meant by an inquiry's name, ``file.py``, ``file.py:name`` or ``pkg.module:name``.

    A name may stand for a `Study`, an `Inquiry`, or a function that returns one, of no argument or
    of the scale. A file that holds exactly one of them needs no name.

    Raises:
        StudyError: nothing of that name, or something else.
    """
    from skipnorm.inquiries import load as inquiry

    if _is_name(target):
        found = inquiry(target)
        if scale == "paper" and scale not in found.scales:
            from skipnorm.inquiries.paper import at_paper_scale

            return _of_inquiry(at_paper_scale(target), scale, f"{_PAPER};{target}")
        return _of_inquiry(found, scale, target, catalogued=True)
    found = _made(_found(target), scale)
    if isinstance(found, Inquiry):
        return _of_inquiry(found, scale, _lasting(target))
    if not isinstance(found, Study):
        raise StudyError(
            f"{target!r} should be a Study, an Inquiry, or a function that returns one; "
            f"found {type(found).__name__}."
        )
    return Asked(found)


def asked_of_own(
    name: str, network: str, task: str, *, scale: Scale, parts: Sequence[str] = ()
) -> Asked:
    """An inquiry asked of a network of one's own: ``pkg.module:build``, or a name of timm or Hugging Face.

    Norms and skips are taken out in turn, as far as it has them, or those ``parts`` alone.

    Raises:
        StudyError: that question cannot be asked of any network; no such network, task or part; or the network has
            nothing of that kind.
    """
    from skipnorm.audit.models import model_of
    from skipnorm.inquiries.own import PARTS, study_on
    from skipnorm.tasks import named

    chosen = named(task)
    recipe, _ = model_of(network, chosen)
    study = study_on(name, recipe, chosen, scale, parts or PARTS)  # refuses what makes no sense
    there = _parts_of(recipe, chosen)
    wanted = [part for part in parts or PARTS if part in there]
    if not wanted or len(wanted) < len(parts):
        raise StudyError(
            f"Nothing to take out of {network}: expected {' or '.join(parts or PARTS)}, found "
            f"{' and '.join(there) or 'neither'}. `skipnorm anatomy` shows what it has."
        )
    study = study_on(name, recipe, chosen, scale, wanted)
    return Asked(study, ";".join((_OWN, name, "+".join(wanted), network)))


def _parts_of(recipe: Buildable, task: Any) -> list[str]:
    """Which of norms and skips a network has."""
    from skipnorm.anatomy.discover import anatomy
    from skipnorm.tasks.losses import inputs_of

    args, named, _ = inputs_of(task.batch(2, 0))
    found = anatomy(recipe.build(0), *args, **named)
    return [name for name, sites in (("norms", found.norms), ("skips", found.skips)) if sites]


def inquiry_at(source: str) -> Inquiry:
    """The inquiry that a study's folder says it belongs to.

    Raises:
        StudyError: it is no longer there.
    """
    from skipnorm.inquiries import load as inquiry

    if source.startswith(f"{_PAPER};"):
        from skipnorm.inquiries.paper import at_paper_scale

        return at_paper_scale(source.split(";")[1])
    if source.startswith(f"{_OWN};"):
        from skipnorm.inquiries.own import on_network

        _, name, parts, network = source.split(";", 3)
        return on_network(name, None, None, parts=parts.split("+"), label=network)
    if _is_name(source):
        return inquiry(source)
    found = _made(_found(source), "quick")
    if not isinstance(found, Inquiry):
        raise StudyError(
            f"{source!r} should still be the Inquiry that the study belongs to; found "
            f"{type(found).__name__}."
        )
    return found


def _of_inquiry(inquiry: Inquiry, scale: str, source: str, *, catalogued: bool = False) -> Asked:
    if scale not in inquiry.scales:
        raise StudyError(
            f"The inquiry {inquiry.name!r} is not made for the scale {scale!r}: expected one of "
            f"{', '.join(inquiry.scales)}."
        )
    study = inquiry.study(scale)
    if catalogued and study.name != inquiry.name:
        raise StudyError(
            f"A page finds an inquiry by its study: expected a study named {inquiry.name!r} from "
            f"the inquiry {inquiry.name!r}, found {study.name!r}. Give them one name."
        )
    return Asked(study, source)


def _is_name(target: str) -> bool:
    return ":" not in target and not target.endswith(".py")


def _split(target: str) -> tuple[Path, str] | None:
    """The file and the name in ``file.py`` or ``file.py:name``; None for any other form."""
    if target.endswith(".py"):
        return Path(target), ""
    before, colon, name = target.rpartition(".py:")
    return (Path(f"{before}.py"), name) if colon else None


def _lasting(target: str) -> str:
    """The target as it is found from any folder."""
    parts = _split(target)
    if parts is None:
        return target
    path, name = parts
    return f"{path.absolute()}:{name}" if name else str(path.absolute())


def _found(target: str) -> Any:
    parts = _split(target)
    if parts is None:
        return load(target)
    path, name = parts
    module = _imported(path)
    if name:
        return load(f"{module.__name__}:{name}")
    held = {key: value for key, value in vars(module).items() if _is_answer(value)}
    if len(held) != 1:
        raise StudyError(
            f"{str(path)!r} should hold one Study or Inquiry, or say which: expected "
            f"{path}:NAME, found {', '.join(held) or 'none'}."
        )
    return next(iter(held.values()))


def _is_answer(value: Any) -> bool:
    return isinstance(value, Study | Inquiry)


def _imported(path: Path) -> Any:
    """A file as a module of its own name, so that worker processes import it like any other."""
    if not path.is_file():
        beside = sorted(each.name for each in path.parent.glob("*.py"))
        names = [*beside, *(entry.name for entry in CATALOGUE)]
        raise StudyError(f"There is no file {str(path)!r}: {nearest(path.name, names)}")
    folder = str(path.parent.absolute())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = import_module(path.stem)
    found = getattr(module, "__file__", None)
    if found is None or Path(found).resolve() != path.resolve():
        raise StudyError(
            f"{str(path)!r} has the name of another module: expected to import {path.stem!r} from "
            f"it, found {found}. Rename the file."
        )
    return module


def _made(found: Any, scale: str) -> Any:
    if _is_answer(found) or not callable(found):
        return found
    needed = [
        parameter
        for parameter in inspect.signature(found).parameters.values()
        if parameter.default is parameter.empty
    ]
    return found(scale) if needed else found()
