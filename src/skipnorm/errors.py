"""Every exception that skipnorm raises, as one tree.

SkipnormError
├── AnatomyError    a network cannot be looked at
├── SurgeryError    an operation cannot be applied
├── ProbeError      a quantity cannot be measured
├── NetworkError    a recipe makes no sense
├── TaskError       a task's samples are missing, damaged or asked for wrongly
├── TrainingError   a network cannot be trained as asked (one that diverges is no error)
├── StudyError      a study cannot be planned or run
├── EvidenceError   a result breaks the schema or cannot be read
└── ClaimError      a claim is ill-posed (an unproven one is no error: it is undecided)

A message says what was expected, what was found, and what to try.
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "AnatomyError",
    "ClaimError",
    "EvidenceError",
    "NetworkError",
    "ProbeError",
    "SkipnormError",
    "StudyError",
    "SurgeryError",
    "TaskError",
    "TrainingError",
    "nearest",
]


class SkipnormError(Exception):
    """Anything that skipnorm itself refuses or cannot do."""


class AnatomyError(SkipnormError):
    """The network cannot be looked at."""


class SurgeryError(SkipnormError):
    """The operation cannot be applied to this network."""


class ProbeError(SkipnormError):
    """The quantity cannot be measured on this network."""


class NetworkError(SkipnormError):
    """The recipe of a network makes no sense."""


class TaskError(SkipnormError):
    """The task's samples are missing, damaged or asked for wrongly."""


class TrainingError(SkipnormError):
    """The network cannot be trained as asked."""


class StudyError(SkipnormError):
    """The study cannot be planned or run."""


class EvidenceError(SkipnormError):
    """A result breaks the schema or cannot be read."""


class ClaimError(SkipnormError):
    """The claim is ill-posed."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """The choices for an unknown name, and the one that was probably meant.

    >>> nearest("layr", ["batch", "layer"])
    "expected one of 'batch', 'layer', found 'layr'. Did you mean 'layer'?"
    >>> nearest("x", ["batch", "layer"])
    "expected one of 'batch', 'layer', found 'x'."
    """
    known = list(choices)
    close = get_close_matches(name, known, n=1)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    return f"expected one of {', '.join(map(repr, known))}, found {name!r}.{guess}"
