"""Operations as they are asked for on a command line: `--swap-norm none`, `--do "CutSkips(where='layer3.*')"`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from skipnorm.errors import SurgeryError, nearest

if TYPE_CHECKING:
    from skipnorm.surgery import Operation

__all__ = ["OPERATIONS", "InOrder", "operation"]

OPERATIONS = {
    "CutSkips": "where",
    "DropBranches": "where",
    "ScaleSkips": "branch",
    "AddSkips": "where",
    "PermuteBlocks": "order",
    "SwapNorm": "to",
    "FoldNorm": "where",
    "MoveNorm": "to",
    "InsertNorm": "to",
    "FreezeAffine": "where",
    "RemoveAffine": "where",
    "FreezeStatistics": "where",
    "NoisyNorm": "where",
    "Reinitialize": "scheme",
    "StandardizeWeights": "where",
}
"""Every operation, and which of its settings its short form gives."""


def _short(name: str) -> str:
    """The option that stands for an operation.

    >>> _short("CutSkips")
    '--cut-skips'
    """
    words = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)
    return f"-{words}"


_SHORT = {_short(name): name for name in OPERATIONS}


class InOrder(TyperCommand):
    """A command whose short forms (`--cut-skips GLOB`) become `--do CutSkips(...)` where they stand.

    So operations of different kinds keep the order in which they were written.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line, spelled out."""
        known = {each for param in self.params for each in (*param.opts, *param.secondary_opts)}
        known |= {*_SHORT, *ctx.help_option_names}
        return super().parse_args(ctx, list(_spelled(args, known)))


def _spelled(args: Sequence[str], known: set[str]) -> Iterator[str]:
    rest = iter(args)
    for word in rest:
        name, given, value = word.partition("=")
        if name.startswith("--") and len(name) > 2 and name not in known:
            long = sorted(each for each in known if each.startswith("--"))
            raise typer.BadParameter(f"There is no such option: {nearest(name, long)}")
        if name not in _SHORT:
            yield word
            continue
        if not given:
            value = next(rest, "")
        if not value or value.startswith("--"):
            setting = OPERATIONS[_SHORT[name]]
            example = "'*'" if setting == "where" else setting.upper()
            raise typer.BadParameter(f"{name} needs a value, such as {name} {example}.")
        yield "--do"
        yield f"{_SHORT[name]}({OPERATIONS[_SHORT[name]]}={_literal(value, _SHORT[name])!r})"


def _literal(value: str, name: str) -> Any:
    """A number or a tuple where the setting is one, else the text itself."""
    setting = OPERATIONS[name]
    try:
        if setting == "branch":
            return float(value)
        return ast.literal_eval(value) if setting == "order" else value
    except (ValueError, SyntaxError) as error:
        if setting == "order":
            return value
        raise typer.BadParameter(f"{_short(name)} needs a number, found {value!r}.") from error


def operation(text: str) -> Operation:
    """The operation that a text such as `CutSkips(where='layer3.*', expect=2)` asks for. Nothing is evaluated.

    Raises:
        SurgeryError: another form, an unknown operation or setting, or a value that the operation refuses.

    >>> operation("ScaleSkips(branch=0.5)")
    ScaleSkips(branch=0.5)
    """
    import skipnorm.surgery

    name, settings = _parts(text)
    if name not in OPERATIONS:
        raise SurgeryError(f"There is no such operation: {nearest(name, OPERATIONS)}")
    kind: type[Operation] = getattr(skipnorm.surgery, name)
    known = {field.name: field for field in fields(kind)}
    for setting in settings:
        if setting not in known:
            raise SurgeryError(f"{name} has no such setting: {nearest(setting, known)}")
    missing = [
        each.name
        for each in known.values()
        if each.default is MISSING and each.default_factory is MISSING and each.name not in settings
    ]
    if missing:
        raise SurgeryError(f"{name} needs {', '.join(missing)}: expected {name}({missing[0]}=...).")
    try:
        return kind(**settings)
    except (TypeError, ValueError) as error:
        raise SurgeryError(
            f"{text}: expected settings that {name} can take, found {error}."
        ) from error


def _parts(text: str) -> tuple[str, dict[str, Any]]:
    """Name and settings, read as Python's grammar has them."""
    try:
        asked = ast.parse(text.strip(), mode="eval").body
        if isinstance(asked, ast.Name):
            return asked.id, {}
        if isinstance(asked, ast.Call) and isinstance(asked.func, ast.Name) and not asked.args:
            given = {each.arg: ast.literal_eval(each.value) for each in asked.keywords}
            return asked.func.id, {str(name): value for name, value in given.items()}
    except (SyntaxError, ValueError):
        pass
    raise SurgeryError(
        "An operation is its name with settings by name, which are plain values: expected a form such as "
        f"CutSkips(where='layer3.*'), found {text!r}."
    )
