"""A study as the list of its trials, each with its keys and a place on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from skipnorm.studies.identity import canonical, digest, source_of
from skipnorm.studies.study import Study, Variant
from skipnorm.training.steps import resolved

__all__ = ["Trial", "plan", "steps_of"]


@dataclass(frozen=True)
class Trial:
    """One variant drawn with one seed, at one learning rate: what a worker is handed, whole.

    ``key``, the reading key, changes when anything does that the numbers depend on;
    ``training_key`` when anything does that the trained network depends on.

    Attributes:
        name: of the variant.
        variant: with the learning rate of this trial in its training.
        seed: of weights, data and order of data.
        probes: what is read, as `questions` takes it.
        key: names its evidence.
        rate: its label along the dimension ``rate``, where its variant has a grid of rates.
        at: the steps after which the network is read, in order.
        training_key: names its saved states.
        group: names what its readings share with those of other steps and probes.
    """

    name: str
    variant: Variant
    seed: int
    probes: Any
    key: str
    rate: float | None = None
    at: tuple[int, ...] = (0,)
    training_key: str = ""
    group: str = ""

    def __str__(self) -> str:
        """As messages call it."""
        rate = "" if self.rate is None else f" at rate {self.rate:g}"
        return f"{self.name!r} with seed {self.seed}{rate}"

    def evidence_file(self, folder: Path) -> Path:
        """Where its numbers are kept."""
        return self._place(folder, "trials").with_suffix(".nc")

    def partial_file(self, folder: Path) -> Path:
        """Where that is kept which was read of it although a probe raised."""
        place = self._place(folder, "trials")
        return place.with_name(f"{place.name}.partial.nc")

    def failure_file(self, folder: Path) -> Path:
        """Where it is recorded that and why it failed, until it succeeds."""
        return self._place(folder, "failed").with_suffix(".json")

    def related_files(self, folder: Path) -> list[Path]:
        """What was read of the same states before, with other probes or after other steps."""
        place = self._place(folder, "trials")
        found = place.parent.glob(f"{self.seed}-{self.group}-*.nc") if self.group else ()
        return sorted(path for path in found if path.stem != place.name)

    def _place(self, folder: Path, room: str) -> Path:
        group = f"{self.group}-" if self.group else ""
        return folder / room / _folder_name(self.name) / f"{self.seed}-{group}{self.key}"


def plan(study: Study) -> tuple[Trial, ...]:
    """Every trial of a study, seed by seed, so that an interrupted study still holds whole pairs.

    Raises:
        StudyError: a recipe, task or probe has no lasting name.
        TrainingError: a network is to be read after more updates than it makes.
    """
    known: dict[int, str] = {}
    drafts = [
        (draft, f"{_training_text(draft.variant, known)}\nseed=")
        for name, variant in study.variants.items()
        for draft in _drafts(study, name, variant)
    ]
    texts = {id(draft.probes): _probes(draft.probes) for draft, _ in drafts}
    return tuple(
        _keyed(replace(draft, seed=seed), f"{text}{seed}", texts[id(draft.probes)])
        for index, seed in enumerate(study.seeds)
        for draft, text in drafts
        if draft.variant.seeds is None or index < draft.variant.seeds
    )


def steps_of(at: Any, variant: Variant) -> tuple[int, ...]:
    """After how many updates a variant is read, from what `Study` was told; 0 where it never learns.

    Raises:
        TrainingError: no step, an unknown name, or a step that the training does not reach.

    >>> steps_of(("initial", "end"), Variant(None, None))
    (0,)
    """
    return (0,) if variant.training is None else resolved(at, variant.training.steps)


def _drafts(study: Study, name: str, variant: Variant) -> Iterator[Trial]:
    """One trial for each learning rate, without seed and keys."""
    probes = study.probes if variant.probes is None else variant.probes
    for rate in variant.rates or (None,):
        training = variant.training
        if training is not None and rate is not None:
            training = training.with_rate(rate)
        one = replace(variant, training=training, rates=())
        at = steps_of(study.at, one)
        yield Trial(name, one, seed=0, probes=probes, key="", rate=rate, at=at)


def _keyed(draft: Trial, training: str, texts: tuple[str, ...]) -> Trial:
    variant, training_key = draft.variant, digest([training])
    shared = [training_key, f"batch={variant.batch}", f"reduce={source_of(variant.reduce)}"]
    steps = f"steps={draft.at}" if variant.training is not None else "step=initial"
    asked = "\n".join(sorted(texts))
    return replace(
        draft,
        key=digest([*shared, steps, f"probes={asked}", f"rate={draft.rate}"]),
        training_key=training_key,
        group=digest([*shared, f"rate={draft.rate}"])[:8],
    )


def _training_text(variant: Variant, known: dict[int, str]) -> str:
    """All that a trained network depends on, but for the seed."""
    task = known.setdefault(id(variant.task), canonical(variant.task))
    lines = [f"network={canonical(variant.network)}", f"task={task}", f"dtype={variant.dtype}"]
    if variant.operations:
        lines.append(f"operations={canonical(variant.operations)}")
    if variant.training is not None:
        lines.append(f"training={canonical(variant.training)}")
        lines += map(source_of, _functions(variant.training))
    elif variant.operations:  # made on the batch that is read
        lines.append(f"batch={variant.batch}")
    return "\n".join(lines)


def _functions(training: Any) -> Iterator[Any]:
    """The functions among its settings, given or named: editing one makes another training."""
    for field in fields(training):
        value = getattr(training, field.name)
        if callable(value) or (isinstance(value, str) and ":" in value):
            yield value


def _probes(probes: Any) -> tuple[str, ...]:
    """The probes that will really be read, with version and settings; the default ones too."""
    from skipnorm.studies.readings import questions

    return tuple(question.text for question in questions(probes))


def _folder_name(name: str) -> str:
    """The variant's name as a folder; two names never share one."""
    plain = re.sub(r"[^A-Za-z0-9._=-]+", "-", name).strip("-.") or "variant"
    return plain if plain == name else f"{plain}-{digest([name])[:6]}"
