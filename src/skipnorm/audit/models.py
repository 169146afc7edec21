"""The network that is audited as a recipe: built from a function, a seed and nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skipnorm.audit.hubs import hub_recipe
from skipnorm.errors import StudyError
from skipnorm.reference import load, reference

if TYPE_CHECKING:
    from torch import nn

    from skipnorm.surgery import Operation

__all__ = ["Model", "Redrawn", "model_of"]


@dataclass(frozen=True)
class Model:
    """A function of no arguments that returns a network, as a recipe.

    Its weights depend on the seed because torch's random state is sown before the function is called.
    It is known by where it is imported from and by the text of its file: editing that trains anew.
    """

    build_: str | Callable[[], Any]
    text: str = field(default="", compare=False, repr=False)

    @property
    def hash(self) -> str:
        """Of the text of the file in which the function stands."""
        return sha256(self.text.encode()).hexdigest()

    def build(self, seed: int) -> nn.Module:
        """A fresh network."""
        import torch

        torch.manual_seed(seed)
        made = load(self.build_)() if isinstance(self.build_, str) else self.build_()
        network = made[0] if isinstance(made, tuple) else made
        if hasattr(network, "build") and not isinstance(network, torch.nn.Module):
            network = network.build(seed)
        if not isinstance(network, torch.nn.Module):
            raise StudyError(
                f"{self.build_!r} should return a torch.nn.Module, or a tuple that begins with one: "
                f"found {type(network).__name__}."
            )
        return network


@dataclass(frozen=True)
class Redrawn:
    """A network whose weights are drawn anew before anything else is done to it, by the trial's own seed."""

    model: Any
    redraw: Operation
    task: Any
    batch: int

    def build(self, seed: int) -> nn.Module:
        """The network, with weights of this seed."""
        from skipnorm.surgery import operate
        from skipnorm.tasks.losses import inputs_of

        network = self.model.build(seed)
        args, named, _ = inputs_of(self.task.batch(self.batch, seed))
        sown: Any = replace(self.redraw, seed=seed)  # type: ignore[call-arg]
        return operate(network, sown, inputs=named or args, keep_original=False)


def model_of(build: Any, task: Any) -> tuple[Any, str]:
    """The recipe of what a user gives, and the reference by which code can name it.

    A recipe of this library is itself; a function, or `"pkg.module:build"`, becomes a `Model`; a name
    of timm or of the Hugging Face hub a recipe that builds it with fresh weights.

    Raises:
        StudyError: none of these, or a function that cannot be imported from elsewhere.
    """
    given = build
    if isinstance(build, str):
        if ":" not in build or build.split(":")[0] in ("timm", "hf"):
            return hub_recipe(build, task), build
        given = load(build)
    if hasattr(given, "build") and not isinstance(given, type):
        return given, build if isinstance(build, str) else ""
    if not callable(given):
        raise StudyError(
            "Expected a function that returns a network, a recipe, 'pkg.module:build', or the name of a "
            f"model of timm or Hugging Face, found {type(given).__name__}."
        )
    _takes_nothing(given)
    place = build if isinstance(build, str) else reference(given)
    return Model(place if isinstance(build, str) else given, _text_of(given)), place


def _takes_nothing(function: Callable[..., Any]) -> None:
    from inspect import Parameter

    loose = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return
    needed = [
        each.name for each in parameters if each.default is each.empty and each.kind not in loose
    ]
    if needed:
        raise StudyError(
            f"{getattr(function, '__qualname__', function)} should build a network without arguments, but "
            f"it needs {', '.join(needed)}. Write a function that fills them in."
        )


def _text_of(function: Callable[..., Any]) -> str:
    """The text of its file; of itself where there is none."""
    try:
        file = inspect.getsourcefile(function)
        return Path(file).read_text(encoding="utf-8") if file else inspect.getsource(function)
    except (OSError, TypeError):
        return ""
