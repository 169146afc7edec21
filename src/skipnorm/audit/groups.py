"""Which sites are asked about together: all of a kind, a stage, a family, or one alone."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from skipnorm.anatomy.sites import Anatomy, Norm, Site, Skip
from skipnorm.errors import StudyError

__all__ = ["KINDS", "Group", "groups_of"]

Kind = Literal["norms", "shortcuts", "branches"]
KINDS: tuple[Kind, ...] = ("norms", "shortcuts", "branches")

WORDS = ("whole", "stages", "families", "single")
"""What can be asked for by word; anything else is a glob over the names of sites."""

_STAGES = range(2, 5)
_FEW = 3
"""Sites of a kind up to which each is asked about alone, unless something else is asked for."""


@dataclass(frozen=True)
class Group:
    """Sites that are taken out together.

    Attributes:
        name: such as `all norms`, `norms of layer3` or `branch of layer1.0.add`.
        kind: of a skip, `shortcuts` asks for the way around and `branches` for the block.
        sites: their names, in order of execution.
        level: 0 all of a kind, 1 a part of them, 2 one alone; each level is a family of questions.
    """

    name: str
    kind: Kind
    sites: tuple[str, ...]
    level: int


def groups_of(
    anatomy: Anatomy, asked: Sequence[str] | None = None, ignore: Sequence[str] = ()
) -> tuple[Group, ...]:
    """The groups of an anatomy, the widest first; no two of a kind hold the same sites.

    Args:
        anatomy: of the network.
        asked: `"whole"`, `"stages"`, `"families"`, `"single"`, or globs over names of sites, each a
            group of its own. By default all of these where they say something new; single sites
            only where a kind has few.
        ignore: globs over names of sites that are left as they are.

    Raises:
        StudyError: no norms and no skips, or a glob that no site matches.
    """
    norms = tuple(site for site in anatomy.norms if not _matches(site, ignore))
    skips = tuple(site for site in anatomy.skips if not _matches(site, ignore))
    if not norms and not skips:
        left = " that is not ignored" if ignore and (anatomy.norms or anatomy.skips) else ""
        unseen = "".join(f" Not seen: {note}." for note in anatomy.unseen[:3])
        raise StudyError(
            f"An audit asks which norms and skips a network needs: expected at least one{left}, found "
            f"none in {anatomy.network} ({anatomy.summary}).{unseen}"
        )
    found: list[Group] = []
    for kind in KINDS:
        sites: tuple[Site, ...] = norms if kind == "norms" else skips
        found += [each for each in _of_kind(kind, sites, asked) if each.sites]
    if asked is not None:
        _all_match(asked, (*norms, *skips))
    return _distinct(sorted(found, key=lambda group: group.level))


def _of_kind(kind: Kind, sites: tuple[Site, ...], asked: Sequence[str] | None) -> list[Group]:
    words = WORDS[:3] if asked is None else asked
    found: list[Group] = []
    for word in words:
        if word == "whole" and kind != "branches":
            found.append(Group(f"all {kind}", kind, _names(sites), 0))
        elif word == "stages":
            found += _parts(kind, _stages(sites))
        elif word == "families" and kind == "norms":
            families = dict.fromkeys(site.family for site in sites if isinstance(site, Norm))
            parts = {f"family {f}": [s for s in sites if s.nature == f] for f in families}
            found += _parts(kind, parts)
        elif word == "single":
            found += _single(kind, sites)
        elif word not in WORDS:
            chosen = [site for site in sites if _matches(site, (word,))]
            found += _parts(kind, {word: chosen})
    if asked is None and 1 < len(sites) <= _FEW:
        found += _single(kind, sites)
    return found


def _single(kind: Kind, sites: Sequence[Site]) -> list[Group]:
    word = {"norms": "norm", "shortcuts": "shortcut of", "branches": "branch of"}[kind]
    return [Group(f"{word} {site.name}", kind, (site.name,), 2) for site in sites]


def _parts(kind: Kind, parts: dict[str, list[Site]]) -> list[Group]:
    named = {name: sites for name, sites in parts.items() if sites}
    found = []
    for name, sites in named.items():
        alone = len(sites) == 1
        found += (
            _single(kind, sites) if alone else [Group(f"{kind} of {name}", kind, _names(sites), 1)]
        )
    return found


def _stages(sites: Sequence[Site]) -> dict[str, list[Site]]:
    """By the shortest prefix of module paths that parts them into a few; else by thirds of the depth."""
    deepest = max((site.name.count(".") for site in sites), default=0)
    for depth in range(1, deepest + 1):
        prefixes: dict[str, list[Site]] = {}
        for site in sites:
            prefixes.setdefault(".".join(site.name.split(".")[:depth]), []).append(site)
        large = max(map(len, prefixes.values()))
        if len(prefixes) in _STAGES and large < len(sites) - 1:
            return prefixes
        if len(prefixes) >= _STAGES.stop:
            break
    if len(sites) <= _FEW:
        return {}
    third = -(-len(sites) // 3)
    words = ("the first third", "the middle third", "the last third")
    return {w: list(sites[third * k : third * (k + 1)]) for k, w in enumerate(words)}


def _distinct(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Each set of sites once for each kind, under its widest name."""
    kept: dict[tuple[str, tuple[str, ...]], Group] = {}
    for group in groups:
        kept.setdefault((group.kind, group.sites), group)
    return tuple(kept.values())


def _names(sites: Sequence[Site]) -> tuple[str, ...]:
    return tuple(site.name for site in sites)


def _matches(site: Site, patterns: Sequence[str]) -> bool:
    return any(site.name == each or fnmatch.fnmatchcase(site.name, each) for each in patterns)


def _all_match(asked: Sequence[str], sites: Sequence[Norm | Skip] | Sequence[Site]) -> None:
    from skipnorm.errors import nearest

    for pattern in asked:
        if pattern not in WORDS and not any(_matches(site, (pattern,)) for site in sites):
            names = [*WORDS, *(site.name for site in sites)]
            raise StudyError(f"groups: {nearest(pattern, names)}")
