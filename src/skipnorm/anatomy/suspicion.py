"""What looks like a site but cannot be seen to be one: it is named, never silently absent."""

import re
from collections.abc import Sequence

from torch import Tensor, nn

from skipnorm.anatomy.frames import Call
from skipnorm.anatomy.node import Node
from skipnorm.anatomy.operations import Operation
from skipnorm.anatomy.preserve import Ledger
from skipnorm.anatomy.sighting import Sighting

__all__ = ["Suspicions"]

_NORM_BY_NAME = re.compile(r"(?<!no)(?<!nolayer)norm")


class Suspicions:
    """Modules that are called like norms, and operands that come from nowhere."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._calls: list[Call] = []
        self._sentences: list[str] = []

    def called(self, call: Call) -> None:
        """A module has been called on a signal."""
        if _NORM_BY_NAME.search(type(call.module).__name__.lower()):
            self._calls.append(call)

    def summed(
        self, op: Operation, operands: Sequence[Tensor], nodes: Sequence[Node | None], call: Call
    ) -> None:
        """A signal has been added to (or put beside) something: where does that come from?"""
        for tensor, node in zip(operands, nodes, strict=True):
            known = (
                node is not None or isinstance(tensor, nn.Parameter) or self._ledger.holds(tensor)
            )
            like_a_signal = tensor.is_floating_point() and tensor.dim() > 1
            if not known and like_a_signal and tensor.shape == operands[0].shape:
                self._sentences.append(
                    f"{call.label or type(call.module).__name__} ({op.name}): one operand came from a call that cannot "
                    "be seen (a scripted function or an extension); write it as ordinary torch calls"
                )

    def notes(self, sightings: Sequence[Sighting]) -> tuple[str, ...]:
        """A sentence for each suspicion that no site has settled."""
        normed = [sighting.call.label for sighting in sightings if sighting.finding.kind == "norm"]
        sentences = list(self._sentences)
        for call in self._calls:
            if not any(
                label == call.label or label.startswith(f"{call.label}.") for label in normed
            ):
                kind = type(call.module).__name__
                sentences.append(
                    f"{call.label or kind} ({kind}): called like a norm, but no normalisation was recognised in it"
                )
        return tuple(dict.fromkeys(sentences))
