"""Characters of a text, each to be told from those before it: a small language model's task."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import TaskError
from skipnorm.tasks.files import Stamp, contents, stamp
from skipnorm.tasks.images import Kept
from skipnorm.tasks.samples import Samples, check_share

if TYPE_CHECKING:
    import torch

__all__ = ["Characters"]


@dataclass(frozen=True, repr=False, eq=False)
class Characters(Kept):
    """A text in pieces of ``context`` characters, each character's target being the next one.

    ``path``: a file in UTF-8. The last ``test`` of its characters are the test part, the last
    ``validation`` of the others the validation part; a piece with its targets lies within one part,
    so that no character is in two. Inputs and targets are int64 (samples, context), numbers into
    ``alphabet``, the characters of the whole text in order of their code points. Pieces do not
    overlap in their targets; an end that fills no piece is left out.

    Raises:
        TaskError: no such file, no UTF-8, or a part too short for one piece.

    >>> Characters("book.txt", context=128)
    Characters(path='book.txt', context=128)
    """

    path: str | Path = field(compare=False)
    context: int = 64
    test: float = field(default=0.1, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse empty pieces and shares that are none."""
        super().__post_init__()
        check_share(self, "test", self.test)
        if isinstance(self.context, bool) or not isinstance(self.context, int) or self.context < 1:
            raise TaskError(f"Characters: expected a context from 1 up, found {self.context!r}.")

    @property
    def alphabet(self) -> str:
        """Every character that occurs, in the order of its number."""
        return read_text(stamp(self.path))[0]

    @property
    def classes(self) -> int:
        """How many different characters there are."""
        return len(self.alphabet)

    @property
    def inputs_shape(self) -> tuple[int, ...]:
        """One piece."""
        return (self.context,)

    @property
    def hash(self) -> str:
        """SHA-256 of the file's text in UTF-8, as `sha256sum` prints it."""
        return read_text(stamp(self.path))[2]

    def read(self) -> Samples:
        """The pieces."""
        return read_pieces(stamp(self.path), self.context, self.validation, self.test)

    def arrays(self) -> Samples:
        """All pieces, those to validate apart."""
        if self.sha256 is not None and self.hash != self.sha256.lower():
            raise TaskError(
                f"{self!r}: expected a text with the SHA-256 {self.sha256}, found {self.hash}. Fetch "
                "the file again, or, if this is the text you mean, write this number."
            )
        return self.read()

    def shown(self, inputs: torch.Tensor) -> torch.Tensor:
        """Numbers of characters, as they are."""
        return inputs

    def text(self, numbers: Any) -> str:
        """The characters that these numbers stand for."""
        return "".join(self.alphabet[int(number)] for number in np.asarray(numbers).ravel())


@lru_cache(maxsize=4)
def read_text(file: Stamp) -> tuple[str, NDArray[np.int64], str]:
    """Alphabet, numbers of the characters, and hash of a text."""
    data = contents(file.path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TaskError(
            f"{file.path!r}: expected text in UTF-8, found the byte {data[error.start]:#04x} at "
            f"position {error.start}. Convert it, for example with iconv -t UTF-8."
        ) from error
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    found, numbers = np.unique(codes, return_inverse=True)
    numbers = numbers.astype(np.int64).ravel()
    return "".join(map(chr, found.tolist())), numbers, hashlib.sha256(data).hexdigest()


@lru_cache(maxsize=4)
def read_pieces(file: Stamp, context: int, validation: float, test: float) -> Samples:
    """The pieces of every part."""
    _, numbers, _ = read_text(file)
    learnt = round(len(numbers) * (1 - test))
    trained = round(learnt * (1 - validation))
    bounds = {
        "train": (0, trained),
        "validation": (trained, learnt),
        "test": (learnt, len(numbers)),
    }
    arrays: dict[str, NDArray[np.int64]] = {}
    for split, (start, end) in bounds.items():
        inputs, targets = pieces(numbers[start:end], context)
        if start < end and not len(inputs):
            raise TaskError(
                f"{file.path!r}: expected at least {context + 1} characters in the {split} part, "
                f"found {end - start} of {len(numbers)} in all. Take a smaller context."
            )
        arrays[f"{split}_inputs"], arrays[f"{split}_targets"] = inputs, targets
    return Samples(arrays)


def pieces(numbers: NDArray[np.int64], context: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Inputs and targets, the targets one further on.

    >>> [each.tolist() for each in pieces(np.arange(6), 2)]
    [[[0, 1], [2, 3]], [[1, 2], [3, 4]]]
    """
    count = max(len(numbers) - 1, 0) // context
    used = count * context
    inputs, targets = numbers[:used], numbers[1 : used + 1]
    return inputs.reshape(count, context).copy(), targets.reshape(count, context).copy()
