"""The simplest variant that did as well or better, what it saves, and the code that makes it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any

from skipnorm.audit.arms import Arm
from skipnorm.audit.rulings import Standing
from skipnorm.errors import StudyError
from skipnorm.reference import reference

if TYPE_CHECKING:
    from skipnorm.audit.costs import Cost

__all__ = ["Advice", "code_of", "simplest"]


@dataclass(frozen=True)
class Advice:
    """What to do instead, with its proof.

    Attributes:
        arm: the variant's name.
        what: in words.
        rate: the learning rate that was chosen for it.
        effect: what it costs against the original, with the ends of its interval.
        before, after: costs of the original and of the variant; None where they were not measured.
        code: a module that makes it; empty where the network has no name that code could use.
    """

    arm: str
    what: str
    rate: float
    effect: float
    low: float
    high: float
    before: Cost | None
    after: Cost | None
    code: str

    @property
    def saving(self) -> dict[str, float]:
        """Shares saved, by what is saved."""
        if self.before is None or self.after is None:
            return {}
        return self.before.saving(self.after)


def simplest(
    arms: Sequence[Arm], standings: Mapping[str, Standing], parts: int, margin: float
) -> Arm | None:
    """The arm to recommend, of those that were run; None where the network is best left as it is.

    One that is better by more than the margin, if there is one: the best. Else, of those that are as good
    or better, the one that leaves the fewest norms and skips, if it leaves fewer than there are.

    Args:
        arms: all that were judged.
        standings: how each came out.
        parts: norms and skips of the original.
        margin: the smallest effect that matters.
    """
    known = [(arm, standings[arm.name]) for arm in arms if arm.name in standings]
    better = [(found.effect, arm.keeps, arm) for arm, found in known if found.high < -margin]
    if better:
        return min(better, key=lambda each: each[:2])[2]
    good = [
        (arm.keeps, found.effect, arm)
        for arm, found in known
        if found.ruling in ("idle", "harmful") and arm.keeps < parts and not found.diverged
    ]
    return min(good, key=lambda each: each[:2])[2] if good else None


def code_of(arm: Arm, model: Any, place: str, task: str) -> str:
    """A module whose `build` gives the variant that was measured.

    Args:
        arm: the variant.
        model: the recipe of the network.
        place: where its function is imported from, as `pkg.module:build`; empty for a recipe.
        task: what it was measured on, for the docstring.
    """
    try:
        imports, made = _network(model, place)
    except StudyError:
        return ""
    names = {type(each).__name__ for each in arm.operations} | {"operate"}
    ours = [line for line in imports if line.startswith("from skipnorm import ")]
    names |= {line.removeprefix("from skipnorm import ") for line in ours}
    listed = "".join(f"    {_sown(each)},\n" for each in arm.operations)
    lines = [
        f'"""{arm.name[:1].upper()}{arm.name[1:]}, audited by skipnorm on {task}.',
        "",
        f"{arm.what[:1].upper()}{arm.what[1:]}.",
        '"""',
        "",
        "import torch",
        *(line for line in imports if line not in ours),
        f"from skipnorm import {', '.join(sorted(names))}",
        "",
        "",
        "def operations(seed=0):",
        '    """What is done to the network, in order."""',
        "    return (",
        listed.rstrip("\n").replace("\n", "\n    ").replace("    ", "        ", 1),
        "    )",
        "",
        "",
        "def build(inputs, seed=0):",
        '    """The altered network; `inputs` is a batch as the network is called with."""',
        "    torch.manual_seed(seed)",
        f"    network = {made}",
        "    return operate(network, *operations(seed), inputs=inputs, keep_original=False)",
        "",
    ]
    return "\n".join(lines)


def _sown(operation: Any) -> str:
    text = repr(operation)
    return text[:-1] + ", seed=seed)" if type(operation).__name__ == "Reinitialize" else text


def _network(model: Any, place: str) -> tuple[list[str], str]:
    """The imports that the network needs, and the expression that builds it."""
    if place and ":" in place and not place.startswith(("timm:", "hf:")):
        module, _, name = place.partition(":")
        first = name.split(".")[0]
        call = f"original.{name.partition('.')[2]}" if "." in name else "original"
        imports = [f"from {module} import {first} as original"]
        if hasattr(model, "build") and not _is_function_model(model):
            return imports, f"{call}.build(seed)"
        return imports, _first(model, f"{call}()")
    if is_dataclass(model):
        module, _, name = reference(type(model)).partition(":")
        home = "skipnorm" if module.startswith("skipnorm.networks") else module
        return [f"from {home} import {name}"], f"{model!r}.build(seed)"
    raise StudyError("the network has no name")


def _is_function_model(model: Any) -> bool:
    from skipnorm.audit.models import Model

    return isinstance(model, Model)


def _first(model: Any, call: str) -> str:
    """The network alone, where the function returns it with its inputs."""
    import torch

    from skipnorm.reference import load

    function = load(model.build_) if isinstance(model.build_, str) else model.build_
    hint = inspect.signature(function).return_annotation if callable(function) else None
    if "tuple" in str(hint).lower():
        return f"{call}[0]"
    with torch.random.fork_rng(devices=[]):
        made = function()
    return f"{call}[0]" if isinstance(made, tuple) else call


def shown(share: float) -> str:
    """A saving in print.

    >>> shown(0.125), shown(-0.031)
    ('12 % less', '3 % more')
    >>> shown(0.001)
    'as before'
    """
    if not math.isfinite(share):
        return "unknown"
    if abs(share) < 0.005:
        return "as before"
    word = "less" if share >= 0 else "more"
    return f"{abs(share):.0%} {word}".replace("%", " %")
