"""The sites of a network: where a norm, an activation or a skip acts, and the list of them all."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import unified_diff
from typing import Any, Literal, NamedTuple

from skipnorm.anatomy.table import as_html, as_text

__all__ = ["Activation", "Address", "Anatomy", "Family", "Norm", "Site", "Skip"]

Family = Literal["batch", "layer", "group", "instance", "rms", "other"]


class Address(NamedTuple):
    """Where a site is met again in another run: a method of a module's call, and which call of what in it."""

    label: str
    method: str
    operation: str
    ordinal: int


@dataclass(frozen=True, kw_only=True)
class Site:
    """A place in a network that this science is about, in one execution.

    Attributes:
        name: stable and readable, such as `layer1.0.add`; a second one of the kind ends in `#2`.
        module: path of the module whose call holds the site, empty for the network itself.
        operation: the torch function that acts, or the class of a module that acts as one.
        index: order of execution among all sites, from 0.
        shape: of the output.
    """

    name: str
    module: str
    operation: str
    index: int
    shape: tuple[int, ...]
    address: Address = field(repr=False)
    operand: int = field(default=0, repr=False)

    @property
    def kind(self) -> str:
        """`norm`, `activation` or `skip`."""
        return type(self).__name__.lower()

    @property
    def nature(self) -> str:
        """What sets this site apart from others of its kind, in a word or two."""
        return ""


@dataclass(frozen=True, kw_only=True)
class Norm(Site):
    """A place where a signal is rescaled by its own statistics."""

    family: Family

    @property
    def nature(self) -> str:
        """The family."""
        return self.family


@dataclass(frozen=True, kw_only=True)
class Activation(Site):
    """A pointwise non-linearity; a `gate` is one whose output multiplies another signal."""

    gate: bool = False

    @property
    def nature(self) -> str:
        """Whether it gates another signal."""
        return "gate" if self.gate else ""


@dataclass(frozen=True, kw_only=True)
class Skip(Site):
    """A place where a signal meets an earlier version of itself.

    Attributes:
        shortcut: `identity` where no weighted operation lies on the shortcut, `projection` where one does.
        merge: `add` or `concat`.
        shortcuts: which terms of the sum (or concatenation) came by a shortcut.
        branch: which term came by the residual branch.
    """

    shortcut: Literal["identity", "projection"]
    merge: Literal["add", "concat"]
    shortcuts: tuple[int, ...]
    branch: int

    @property
    def nature(self) -> str:
        """The kind of shortcut, and how it is merged where that is not by addition."""
        return self.shortcut if self.merge == "add" else f"{self.shortcut}, {self.merge}"


@dataclass(frozen=True)
class Anatomy:
    """Every norm, activation and skip of a network in order of execution.

    Prints as an aligned table, and as HTML in a notebook; of more than 20 sites, repeated blocks are folded.

    Attributes:
        network: class name of the network.
        sites: all of them.
        unseen: what looks like a site but could not be looked into, a sentence each. Never silently absent.
    """

    network: str
    sites: tuple[Site, ...]
    unseen: tuple[str, ...] = ()

    @property
    def norms(self) -> tuple[Norm, ...]:
        """The places where a signal is rescaled by its own statistics."""
        return tuple(site for site in self.sites if isinstance(site, Norm))

    @property
    def activations(self) -> tuple[Activation, ...]:
        """The pointwise non-linearities."""
        return tuple(site for site in self.sites if isinstance(site, Activation))

    @property
    def skips(self) -> tuple[Skip, ...]:
        """The places where a signal meets an earlier version of itself."""
        return tuple(site for site in self.sites if isinstance(site, Skip))

    def __len__(self) -> int:
        return len(self.sites)

    def __iter__(self) -> Iterator[Site]:
        return iter(self.sites)

    def __getitem__(self, name: str) -> Site:
        """The site of that name; an unknown one raises KeyError with the nearest names."""
        from skipnorm.errors import nearest

        for site in self.sites:
            if site.name == name:
                return site
        raise KeyError(nearest(name, [site.name for site in self.sites]))

    def to_dicts(self) -> list[dict[str, Any]]:
        """One plain dict a site, for json or a data frame."""
        return [_row(site) for site in self.sites]

    def diff(self, other: "Anatomy") -> str:
        """What `other` has gained (+) and lost (-) against this one, a line a site; empty where nothing changed."""
        mine, theirs = ([_sentence(site) for site in each.sites] for each in (self, other))
        lines = list(unified_diff(mine, theirs, n=0, lineterm=""))[2:]
        return "\n".join(line for line in lines if not line.startswith("@@"))

    @property
    def summary(self) -> str:
        """The counts in one line."""
        return " · ".join(
            _count(name, [site.nature for site in sites])
            for name, sites in (
                ("norm", self.norms),
                ("activation", self.activations),
                ("skip", self.skips),
            )
        )

    def __str__(self) -> str:
        return as_text(f"{self.network}: {self.summary}", self.to_dicts(), self.unseen)

    def _repr_html_(self) -> str:
        return as_html(f"{self.network}: {self.summary}", self.to_dicts(), self.unseen)


def _count(noun: str, natures: list[str]) -> str:
    kinds = Counter(nature for nature in natures if nature)
    detail = ", ".join(f"{number} {nature}" for nature, number in kinds.items())
    plural = noun if len(natures) == 1 else noun + "s"
    return f"{len(natures)} {plural}" + (f" ({detail})" if detail else "")


def _row(site: Site) -> dict[str, Any]:
    row: dict[str, Any] = {"index": site.index, "name": site.name, "kind": site.kind}
    row |= {"nature": site.nature, "operation": site.operation, "shape": site.shape}
    row |= {"module": site.module}
    if isinstance(site, Norm):
        row["family"] = site.family
    if isinstance(site, Activation):
        row["gate"] = site.gate
    if isinstance(site, Skip):
        row |= {"shortcut": site.shortcut, "merge": site.merge}
    return row


def _sentence(site: Site) -> str:
    return f"{site.name}: {site.kind} {site.nature}".rstrip() + f" {tuple(site.shape)}"
