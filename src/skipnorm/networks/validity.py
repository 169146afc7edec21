"""Which recipes make sense: every refusal says what was expected, found, and what to try."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from skipnorm.errors import NetworkError, nearest
from skipnorm.networks.vocabulary import ACTIVATIONS, INITIALIZERS, NORMS

if TYPE_CHECKING:
    from skipnorm.networks.recipe import ConvNet, OneLayer, Recipe, Stack

__all__ = ["check_convolution", "check_one_layer", "check_stack"]

#: Initialisers that are made for residual branches.
BRANCH_INITIALIZERS = ("fixup", "skipinit", "rezero", "nf")


def check_stack(recipe: Stack) -> None:
    """Refuse unknown names and fields that do not go together."""
    one_of(recipe, "norm", NORMS)
    one_of(recipe, "activation", ACTIVATIONS)
    one_of(recipe, "initializer", INITIALIZERS)
    if recipe.order is not None:
        one_of(recipe, "order", recipe.orders)
    at_least(recipe, 1, "width", "groups", "inputs", "outputs")
    at_least(recipe, 0, "depth")
    if not recipe.eps >= 0:
        raise refusal(recipe, f"expected eps >= 0, found {recipe.eps}")
    for name in ("branch_scale", "shortcut_scale"):
        if not math.isfinite(getattr(recipe, name)):
            raise refusal(recipe, f"expected a finite {name}, found {getattr(recipe, name)}")
    check_norm(recipe)
    check_scales(recipe)
    check_activation(recipe)
    if recipe.initializer == "nf":
        check_normaliser_free(recipe)


def check_norm(recipe: Stack) -> None:
    """Refuse norms that have nothing to normalise over."""
    if recipe.norm == "instance" and not hasattr(recipe, "dims"):
        raise refusal(
            recipe,
            "norm='instance' averages over the positions of one channel of one sample, and a "
            "perceptron's samples have no positions: try norm='layer', or a ConvNet",
        )
    if recipe.norm == "group" and recipe.width % recipe.groups:
        raise refusal(
            recipe,
            f"norm='group' splits the channels evenly: expected width divisible by groups, found "
            f"width={recipe.width} and groups={recipe.groups}. Try groups="
            f"{math.gcd(recipe.width, recipe.groups)}",
        )


def check_scales(recipe: Stack) -> None:
    """Refuse scales and initialisers of a branch that is not there, or that has its own scale."""
    if not recipe.residual:
        if recipe.initializer in BRANCH_INITIALIZERS:
            raise refusal(
                recipe,
                f"initializer={recipe.initializer!r} is made for residual branches: try "
                "residual=True, or initializer='he'",
            )
        if recipe.branch_scale != 1 or recipe.shortcut_scale != 1:
            raise refusal(
                recipe,
                "branch_scale and shortcut_scale weigh the two sides of a residual block: try "
                "residual=True",
            )
    elif recipe.initializer in ("fixup", "rezero") and recipe.branch_scale != 1:
        raise refusal(
            recipe,
            f"initializer={recipe.initializer!r} learns the scale of a branch from a start of its "
            f"own: expected branch_scale=1, found {recipe.branch_scale}. Try "
            "initializer='skipinit'",
        )


def check_activation(recipe: Stack) -> None:
    """Refuse concatenated ReLUs where the channels would not add up."""
    if recipe.initializer == "looks_linear" and recipe.activation != "crelu":
        raise refusal(
            recipe,
            "initializer='looks_linear' mirrors weights behind a concatenated ReLU: expected "
            f"activation='crelu', found {recipe.activation!r}",
        )
    order = recipe.placement
    # The norm keeps the number of channels, so what counts is whether a weight follows the act.
    doubled = last_of(order.branch) == "act" or "act" in order.after
    if recipe.residual and recipe.activation == "crelu" and doubled:
        fitting = [
            name
            for name, other in recipe.orders.items()
            if last_of(other.branch) == "weight" and "act" not in other.after
        ]
        raise refusal(
            recipe,
            "activation='crelu' doubles the channels, so no addition may follow it before a weight "
            f"layer: expected order to be one of {', '.join(map(repr, fitting))}",
        )


def last_of(steps: tuple[str, ...]) -> str:
    """The last step that is no norm."""
    return [step for step in steps if step != "norm"][-1]


def check_normaliser_free(recipe: Stack) -> None:
    """Refuse branches whose variance the normaliser-free bookkeeping does not know."""
    if recipe.norm != "none":
        raise refusal(
            recipe,
            "initializer='nf' (scaled weight standardisation) takes the place of a norm: expected "
            f"norm='none', found {recipe.norm!r}",
        )
    steps = [step for step in recipe.placement.branch if step != "norm"]
    if steps[0] != "act" or recipe.placement.after:
        raise refusal(
            recipe,
            "initializer='nf' scales every weight for the activation before it: expected a "
            "pre-activation order such as 'norm-act-weight' or 'full-preactivation', found "
            f"{recipe.order!r}",
        )


def check_convolution(recipe: ConvNet) -> None:
    """Refuse kernels and dimensions that no convolution has."""
    if recipe.dims not in (1, 2):
        raise refusal(recipe, f"expected dims 1 (series) or 2 (images), found {recipe.dims}")
    if recipe.kernel < 1 or recipe.kernel % 2 == 0:
        raise refusal(
            recipe, f"only an odd kernel keeps the size of the map, found {recipe.kernel}"
        )
    one_of(recipe, "padding", ("zeros", "circular"))


def check_one_layer(recipe: OneLayer) -> None:
    """Refuse what one layer cannot have."""
    at_least(recipe, 1, "inputs", "outputs")
    one_of(recipe, "activation", [name for name in ACTIVATIONS if name != "crelu"])
    one_of(recipe, "initializer", ("he", "glorot", "lecun", "orthogonal"))


def one_of(recipe: Recipe, field: str, choices: Iterable[str]) -> None:
    """Refuse an unknown name."""
    value = getattr(recipe, field)
    if value not in list(choices):
        raise NetworkError(f"{type(recipe).__name__}({field}=...): {nearest(str(value), choices)}")


def at_least(recipe: Recipe, least: int, *names: str) -> None:
    """Refuse numbers that are too small."""
    for name in names:
        value = getattr(recipe, name, least)
        if value < least:
            raise refusal(recipe, f"expected {name} >= {least}, found {value}")


def refusal(recipe: Recipe, sentence: str) -> NetworkError:
    """The error, with the kind of network it is about."""
    return NetworkError(f"{type(recipe).__name__}: {sentence}.")
