"""Models by the name that timm or Hugging Face knows them by, with fresh weights. Both are optional."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from skipnorm.errors import StudyError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["HubModel", "hub_recipe"]


@dataclass(frozen=True)
class HubModel:
    """A model of `library` (timm or transformers) by its name, as a recipe: without pretrained weights."""

    library: str
    name: str
    classes: int | None
    channels: int

    def build(self, seed: int) -> nn.Module:
        """A fresh network."""
        import torch

        torch.manual_seed(seed)
        return _timm(self) if self.library == "timm" else _transformers(self)


def hub_recipe(name: str, task: Any) -> HubModel:
    """The recipe for `timm:resnet18`, `hf:owner/model`, or a bare name of either.

    Raises:
        StudyError: the library is not installed or does not know the name.
    """
    word, colon, rest = name.partition(":")
    bare = rest if colon else name
    shape = tuple(getattr(task, "inputs_shape", ()))
    channels = shape[0] if len(shape) == 3 else 3
    library = {"timm": "timm", "hf": "transformers"}.get(word if colon else "")
    if library is None:
        library = "transformers" if "/" in bare else "timm"
    recipe = HubModel(library, bare, getattr(task, "classes", None), channels)
    _library(recipe)
    return recipe


def _library(recipe: HubModel) -> Any:
    try:
        found = import_module(recipe.library)
    except ImportError as error:
        raise StudyError(
            f"{recipe.name!r} is no 'pkg.module:build', so it should be the name of a model of "
            f"{recipe.library}, which is not installed: pip install {recipe.library}, or name a function "
            "as 'pkg.module:build'."
        ) from error
    if recipe.library == "timm" and not found.is_model(recipe.name):
        raise StudyError(
            f"timm knows no model {recipe.name!r}; timm.list_models('*{recipe.name[:4]}*') lists those "
            "with such names. A function of your own is named as 'pkg.module:build'."
        )
    return found


def _timm(recipe: HubModel) -> nn.Module:
    made: nn.Module = _library(recipe).create_model(
        recipe.name, pretrained=False, num_classes=recipe.classes or 0, in_chans=recipe.channels
    )
    return made


def _transformers(recipe: HubModel) -> nn.Module:
    library = _library(recipe)
    try:
        config = library.AutoConfig.from_pretrained(recipe.name)
    except OSError as error:
        raise StudyError(
            f"transformers found no configuration {recipe.name!r}: {error}. Give the folder of one, or "
            "build the model in a function of your own and name it as 'pkg.module:build'."
        ) from error
    if recipe.classes is not None:
        config.num_labels = recipe.classes
    if hasattr(config, "num_channels"):
        config.num_channels = recipe.channels
    kind = (
        "AutoModelForImageClassification"
        if hasattr(config, "num_channels")
        else "AutoModelForCausalLM"
    )
    made: nn.Module = getattr(library, kind).from_config(config)
    return made
