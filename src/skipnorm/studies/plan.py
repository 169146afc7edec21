"""A study as the list of its trials, each with a key and a place on disk."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skipnorm.studies.identity import canonical, digest, source_of
from skipnorm.studies.study import Study, Variant

__all__ = ["Trial", "plan"]


@dataclass(frozen=True)
class Trial:
    """One variant drawn with one seed: what a worker is handed, whole and picklable.

    ``key`` is the reading key: it changes when anything does that the numbers depend on.
    """

    name: str
    variant: Variant
    seed: int
    probes: Any
    key: str

    def __str__(self) -> str:
        """As messages call it."""
        return f"{self.name!r} with seed {self.seed}"

    def evidence_file(self, folder: Path) -> Path:
        """Where its numbers are kept."""
        return folder / "trials" / _folder_name(self.name) / f"{self.seed}-{self.key}.nc"

    def failure_file(self, folder: Path) -> Path:
        """Where it is recorded that and why it failed, until it succeeds."""
        return folder / "failed" / _folder_name(self.name) / f"{self.seed}-{self.key}.json"


def plan(study: Study) -> tuple[Trial, ...]:
    """Every trial of a study, seed by seed, so that an interrupted study still holds whole pairs.

    Raises:
        StudyError: a recipe, task or probe has no lasting name.
    """
    read = canonical(_probes(study.probes))
    texts = {name: _training_text(variant) for name, variant in study.variants.items()}
    return tuple(
        Trial(
            name=name,
            variant=variant,
            seed=seed,
            probes=study.probes,
            key=_reading_key(texts[name], variant, seed=seed, read=read),
        )
        for seed in study.seeds
        for name, variant in study.variants.items()
    )


def _training_text(variant: Variant) -> str:
    return f"network={canonical(variant.network)}\ntask={canonical(variant.task)}"


def _reading_key(training: str, variant: Variant, *, seed: int, read: str) -> str:
    training_key = digest([training, f"seed={seed}"])
    return digest(
        [
            f"training={training_key}",
            "step=initial",
            f"batch={variant.batch} dtype={variant.dtype}",
            f"probes={read}",
            f"reduce={source_of(variant.reduce)}",
        ]
    )


def _probes(probes: Any) -> tuple[str, ...]:
    """The probes that will really be read, with version and settings; the default ones too."""
    from skipnorm.probes import chosen

    return tuple(map(str, chosen(probes)))


def _folder_name(name: str) -> str:
    """The variant's name as a folder; two names never share one."""
    plain = re.sub(r"[^A-Za-z0-9._=-]+", "-", name).strip("-.") or "variant"
    return plain if plain == name else f"{plain}-{digest([name])[:6]}"
