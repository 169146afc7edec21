"""Example inputs for a network, from the command line: ``8x3x32x32``, ``ids=2x16:int64<100``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skipnorm.errors import StudyError, nearest
from skipnorm.studies.reference import load

if TYPE_CHECKING:
    import torch

__all__ = ["Calling", "Draw", "inputs_for", "parse"]

_FORM = re.compile(
    r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<shape>\d+(?:x\d+)*)(?::(?P<dtype>\w+)(?:<(?P<limit>\d+))?)?"
)
_DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "bool")


@dataclass(frozen=True)
class Draw:
    """A random tensor to be: standard normal, integers below a limit, or fair coins."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    limit: int | None = None
    name: str | None = None

    def tensor(self, generator: torch.Generator) -> torch.Tensor:
        """One draw of it."""
        import torch

        dtype: torch.dtype = getattr(torch, self.dtype)
        if self.dtype.startswith(("int", "bool")):
            limit = self.limit or 2  # a coin has two sides
            return torch.randint(limit, self.shape, generator=generator).to(dtype)
        return torch.randn(self.shape, generator=generator).to(dtype)


@dataclass(frozen=True)
class Calling:
    """How a network is called: its positional and its named inputs."""

    positional: tuple[Any, ...] = ()
    named: tuple[tuple[str, Any], ...] = ()


def parse(text: str) -> Draw:
    """What ``[name=]SHAPE[:dtype[<limit]]`` asks for.

    Raises:
        StudyError: another form, an unknown dtype, integers without a limit, or a limit without
            integers.

    >>> parse("8x3x32x32").shape
    (8, 3, 32, 32)
    >>> parse("input_ids=2x16:int64<100")
    Draw(shape=(2, 16), dtype='int64', limit=100, name='input_ids')
    """
    match = _FORM.fullmatch(text.replace(" ", ""))
    if match is None:
        raise StudyError(
            f"An input is a shape such as 8x3x32x32, 2x16:int64<100 or ids=2x16:int64<100, or a "
            f"function pkg.module:inputs that returns one; found {text!r}."
        )
    dtype = match["dtype"] or "float32"
    if dtype not in _DTYPES:
        raise StudyError(f"The input {text!r} has an unknown dtype: {nearest(dtype, _DTYPES)}")
    limit = int(match["limit"]) if match["limit"] else None
    if limit is not None and not dtype.startswith("int"):
        raise StudyError(
            f"Only integers have a limit: expected {text.partition('<')[0]!r}, or int64<{limit}, "
            f"found {text!r}."
        )
    if dtype.startswith("int") and not limit:
        raise StudyError(
            f"The integers of the input {text!r} need a limit: expected {text}<N with N the "
            "number of different values (the vocabulary), found none."
        )
    shape = tuple(map(int, match["shape"].split("x")))
    return Draw(shape, dtype, limit, match["name"])


def inputs_for(texts: Sequence[str], *, seed: int) -> Calling:
    """The inputs that the command line asks for, drawn with a seed or made by functions."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    positional: list[Any] = []
    named: list[tuple[str, Any]] = []
    for text in texts:
        if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", text):
            made = as_calling(load(text)())
            positional += made.positional
            named += made.named
            continue
        draw = parse(text)
        if draw.name:
            named.append((draw.name, draw.tensor(generator)))
        else:
            positional.append(draw.tensor(generator))
    return Calling(tuple(positional), tuple(named))


def as_calling(inputs: Any) -> Calling:
    """A tensor, a tuple of positional inputs or a mapping of named ones, as a call."""
    if isinstance(inputs, list | tuple):
        return Calling(tuple(inputs))
    if hasattr(inputs, "items"):
        return Calling(named=tuple(inputs.items()))
    return Calling((inputs,))
