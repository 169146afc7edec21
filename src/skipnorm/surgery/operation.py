"""An operation: a frozen value that says what is to be done, and at which sites."""

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

from skipnorm.anatomy.sites import Anatomy, Site
from skipnorm.errors import SurgeryError, nearest

if TYPE_CHECKING:
    from skipnorm.surgery.patient import Patient

__all__ = ["OfNorms", "Operation", "Where", "chosen"]

Where = str | Callable[[Site], bool] | Sequence[str | Site]
"""A glob over names of sites, a predicate, or sites (or globs) one by one."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Operation:
    """One alteration of a network. Its text is its class and the settings that differ from their defaults.

    Args:
        where: which sites: a glob over their names (`layer3.*`), a predicate on a `Site`, or several names, globs or
            sites. By default all that the operation can act on.
        expect: how many sites this must be. Without it, none at all is an error too.
    """

    where: Where = "*"
    expect: int | None = None

    changes: ClassVar[str] = "sites"
    """What the operation acts on, in the plural, for messages."""

    def __post_init__(self) -> None:
        """Bring equal choices to equal values."""
        if not isinstance(self.where, str) and not callable(self.where):
            names = (each.name if isinstance(each, Site) else each for each in self.where)
            object.__setattr__(self, "where", tuple(names))

    def candidates(self, patient: "Patient") -> Sequence[Site]:
        """The sites that this operation could act on, whatever `where` says."""
        raise NotImplementedError

    def apply(self, patient: "Patient", sites: Sequence[Site]) -> None:
        """Alter the patient, which is a copy already, at these sites; raise SurgeryError rather than do part of it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """The canonical text: class and non-default settings."""
        named = ((field, getattr(self, field.name)) for field in fields(self))
        given = [f"{field.name}={value!r}" for field, value in named if value != field.default]
        return f"{type(self).__name__}({', '.join(given)})"


@dataclass(frozen=True, kw_only=True, repr=False)
class OfNorms(Operation):
    """An operation that can act on every norm."""

    changes: ClassVar[str] = "norms"

    def candidates(self, patient: "Patient") -> Sequence[Site]:
        """Every norm."""
        return patient.anatomy.norms


def chosen(operation: Operation, candidates: Sequence[Site], anatomy: Anatomy) -> tuple[Site, ...]:
    """The sites that an operation means, in order of execution.

    Raises:
        SurgeryError: none, or another number than `expect`; or a name among `where` that is no site's.
    """
    found = _matching(operation.where, candidates)
    if not found and isinstance(operation.where, str) and operation.expect is None:
        raise SurgeryError(
            f"{operation}: expected {operation.changes} that match, found none. "
            + _listed(operation, candidates, anatomy)
        )
    if isinstance(operation.where, tuple):
        _all_known(operation, candidates, anatomy)
    if operation.expect is None and not found:
        raise SurgeryError(
            f"{operation}: expected {operation.changes} that the predicate accepts, found none. "
            + _listed(operation, candidates, anatomy)
        )
    if operation.expect is not None and len(found) != operation.expect:
        names = ", ".join(site.name for site in found) or "none"
        raise SurgeryError(
            f"{operation}: expected {operation.expect} {operation.changes}, found {len(found)}: {names}. "
            + _listed(operation, candidates, anatomy)
        )
    return tuple(found)


def _matching(where: Where, candidates: Iterable[Site]) -> list[Site]:
    if callable(where):
        return [site for site in candidates if where(site)]
    patterns = (where,) if isinstance(where, str) else where
    return [site for site in candidates if any(_matches(site.name, str(each)) for each in patterns)]


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def _all_known(operation: Operation, candidates: Sequence[Site], anatomy: Anatomy) -> None:
    names = [site.name for site in candidates]
    for pattern in operation.where:  # type: ignore[union-attr]
        if not any(_matches(name, str(pattern)) for name in names):
            raise SurgeryError(
                f"{operation}: among its {operation.changes}, {nearest(str(pattern), names)} "
                + _listed(operation, candidates, anatomy)
            )


def _listed(operation: Operation, candidates: Sequence[Site], anatomy: Anatomy) -> str:
    names = [site.name for site in candidates]
    if not names:
        return f"{anatomy.network} has no {operation.changes} at all ({anatomy.summary})."
    more = f", ... ({len(names)} in all)" if len(names) > 20 else ""
    return f"There are: {', '.join(names[:20])}{more}."
