"""Whose call is it? The calls of modules and of their methods that are running, and what has been counted in each."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from torch import nn

from skipnorm.anatomy.sites import Address

__all__ = ["SEPARATOR", "Call", "Frame", "copied"]

SEPARATOR = "#"

Counts = defaultdict[str, int]


class Call:
    """One call of one module.

    Attributes:
        label: the module's path, with `#2` behind a module that is called for the second time within its caller's call.
        children: how often each module has been called within this call.
        methods: how often each method of the module has run within this call.
        named: how often each kind of site has been met within this call.
    """

    __slots__ = ("children", "label", "methods", "module", "named", "path")

    def __init__(self, module: nn.Module, path: str, label: str) -> None:
        self.module, self.path, self.label = module, path, label
        self.children: Counts = defaultdict(int)
        self.methods: Counts = defaultdict(int)
        self.named: Counts = defaultdict(int)

    def copy(self) -> "Call":
        """The same call with counters of its own."""
        twin = Call(self.module, self.path, self.label)
        twin.children, twin.methods = self.children.copy(), self.methods.copy()
        twin.named = self.named.copy()
        return twin


class Frame:
    """One activation of one method within a call, in which operations are counted for their addresses.

    `quiet`: nothing of what a tap looks for can happen in it.
    """

    __slots__ = ("call", "counts", "inputs", "method", "quiet")

    def __init__(
        self, call: Call, method: str, inputs: tuple[Any, ...] = (), *, quiet: bool = False
    ) -> None:
        self.call, self.method, self.inputs, self.quiet = call, method, inputs, quiet
        self.counts: Counts = defaultdict(int)

    def address(self, name: str) -> Address:
        """The address of the next operation of that name."""
        self.counts[name] += 1
        return Address(self.call.label, self.method, name, self.counts[name])


def copied(frames: Sequence[Frame]) -> list[Frame]:
    """The same frames with counters of their own, as they stand now."""
    calls = {frame.call: frame.call.copy() for frame in frames}
    twins = []
    for frame in frames:
        twin = Frame(calls[frame.call], frame.method, quiet=frame.quiet)
        twin.counts = frame.counts.copy()
        twins.append(twin)
    return twins
