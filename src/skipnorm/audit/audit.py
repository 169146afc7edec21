"""The outcome of an audit, as a value: rulings with their reasons, advice, and what was not tested."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skipnorm.audit.advice import Advice
from skipnorm.audit.contest import Score, Tuned
from skipnorm.audit.groups import Group
from skipnorm.audit.lesions import Lesions
from skipnorm.audit.rulings import Ruling, Standing
from skipnorm.audit.why import Change

if TYPE_CHECKING:
    import xarray as xr

    from skipnorm.anatomy.sites import Anatomy
    from skipnorm.audit.finding import Lint

__all__ = ["Answer", "Audit", "Control", "Trialled"]


@dataclass(frozen=True)
class Trialled:
    """An arm that was judged: how it was tuned, how it came out, and what changed at the start."""

    arm: str
    role: str
    what: str
    operations: tuple[str, ...]
    tuned: Tuned
    standing: Standing
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Answer:
    """What is known of a group: the ruling on its absence, and what may stand in for it."""

    group: Group
    ruling: Ruling
    removal: Trialled | None
    why: str
    substitutes: tuple[Trialled, ...] = ()


@dataclass(frozen=True)
class Control:
    """The edit that changes nothing: what was done, with how many seeds, and the largest difference found."""

    what: str
    seeds: int
    worst: float

    @property
    def exact(self) -> bool:
        """Whether there was no difference in any recorded number."""
        return self.worst == 0


@dataclass(frozen=True)
class Audit:
    """Which norms and skips of a network pull their weight. Prints as a table.

    Attributes:
        network: class name.
        task: the task's text.
        score: what effects are measured in: accuracy lost, or the logarithm of a ratio of losses.
        margin: the smallest effect that matters, on that scale.
        answers: one for each group, the widest first.
        additions: arms that try what the network has not.
        control: the edit that changes nothing.
        advice: the simplest variant that is as good or better; None where there is none.
        level: mean score of the original on the test samples.
        noise: its standard deviation over seeds.
        smallest: the smallest effect that this audit can tell from none, in four of five audits.
        course: steps, rates and seeds in words.
        left_out: what was not tested, with the reason.
        notes: what a reader should know.
        lint: what one look at the architecture has found.
        lesions: what the checkpoint says, where one was given.
        anatomy: the sites.
        folder: where its studies, this value and its page lie.
        seconds, budget: spent, and given; `seconds_a_seed` is what another seed of one group takes.
        command: what makes it again or goes on.
    """

    network: str
    task: str
    score: Score
    margin: float
    answers: tuple[Answer, ...]
    additions: tuple[Trialled, ...]
    control: Control | None
    advice: Advice | None
    level: float
    noise: float
    smallest: float
    course: str
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    lint: Lint
    lesions: Lesions | None
    anatomy: Anatomy
    folder: Path
    seconds: float
    budget: float
    command: str = ""
    rounds: tuple[str, ...] = field(default=(), repr=False)
    seconds_a_seed: float = math.nan

    @property
    def evidence(self) -> xr.Dataset:
        """Every judged training: scores and history over variant, seed and rate."""
        return self._gathered([self.folder / name for name in self.rounds])

    @property
    def initial(self) -> xr.Dataset:
        """Every mechanism of every arm before training, over variant and seed."""
        return self._gathered(sorted(self.folder.glob("initial-*")))

    def _gathered(self, folders: list[Path]) -> xr.Dataset:
        from skipnorm.evidence import gather
        from skipnorm.studies.manifest import read_manifest

        return gather(
            [path for each in folders for path in read_manifest(each).files if path.is_file()]
        )

    def __getitem__(self, name: str) -> Answer:
        """The answer for the group of this name; an unknown one raises KeyError with the nearest names."""
        from skipnorm.errors import nearest

        for answer in self.answers:
            if answer.group.name == name:
                return answer
        raise KeyError(nearest(name, [answer.group.name for answer in self.answers]))

    @property
    def rulings(self) -> dict[str, Ruling]:
        """The ruling on each group, by its name."""
        return {answer.group.name: answer.ruling for answer in self.answers}

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for json; what is not finite is None or, where infinite, text."""
        found = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name
            not in ("lint", "anatomy", "folder", "lesions", "advice", "answers", "additions")
        }
        found |= {
            "folder": str(self.folder),
            "lint": self.lint.to_dicts(),
            "sites": self.anatomy.to_dicts(),
            "answers": [asdict(answer) for answer in self.answers],
            "additions": [asdict(each) for each in self.additions],
            "lesions": None if self.lesions is None else asdict(self.lesions),
            "control": None
            if self.control is None
            else asdict(self.control) | {"exact": self.control.exact},
            "advice": None
            if self.advice is None
            else asdict(self.advice) | {"saving": self.advice.saving},
        }
        return dict(_plain(found))

    def __str__(self) -> str:
        from skipnorm.audit.table import as_text

        return as_text(self)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("infinity" if value > 0 else "-infinity")
    return value if isinstance(value, bool | int | float | str | type(None)) else str(value)
