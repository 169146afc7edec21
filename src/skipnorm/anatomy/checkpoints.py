"""Gradient checkpointing computes a second time what the forward pass computed: who made those calls?

A recomputation starts without its callers. So while a network is tapped, torch's two checkpointing functions are
told to keep the frames that were running when the checkpoint was made, and to put them back for the recomputation;
or, for a tap that only looks, to run straight through. In threads where no tap is at work they are what they always
were.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
import torch.utils.checkpoint

__all__ = ["Checkpointed", "at_work", "run_straight", "torch_prepared"]


class Checkpointed(Protocol):
    """A tap, as far as checkpoints are concerned.

    Attributes:
        straight: whether checkpointed functions simply run.
    """

    straight: bool

    def remembered(self, function: Callable[..., Any], *, runs_first: bool) -> Callable[..., Any]:
        """The function, with the frames of this moment around it whenever it runs again."""


class _AtWork(threading.local):
    def __init__(self) -> None:
        self.taps: list[Checkpointed] = []


_AT_WORK = _AtWork()
_lock, _users, _askers, _fast_path = threading.Lock(), 0, 0, True
_module = torch.utils.checkpoint
_reentrant = _module.CheckpointFunction
_modern = _module._checkpoint_without_reentrant_generator


class at_work:
    """The tap watches what this thread does."""

    def __init__(self, tap: Checkpointed) -> None:
        self._tap = tap

    def __enter__(self) -> None:
        _AT_WORK.taps.append(self._tap)

    def __exit__(self, *error: object) -> None:
        _AT_WORK.taps.pop()


class _Straight:
    """A tap that watches nothing."""

    straight = True

    def remembered(self, function: Callable[..., Any], *, runs_first: bool) -> Callable[..., Any]:
        return function


@contextmanager
def run_straight() -> Iterator[None]:
    """Checkpointed functions simply run in this thread.

    For whoever differentiates a network with other parameters in place of its own: computed again after the forward
    pass, a function would find the network's own parameters, and the gradient would be silently wrong.
    """
    with _asking(), at_work(_Straight()):
        yield


class torch_prepared:
    """Let torch's checkpointing ask the taps at work, and make no fused call that would hide norms and skips."""

    def __enter__(self) -> None:
        global _users, _fast_path
        with _lock:
            _ask()
            if not _users:
                _fast_path = torch.backends.mha.get_fastpath_enabled()
                torch.backends.mha.set_fastpath_enabled(False)
            _users += 1

    def __exit__(self, *error: object) -> None:
        global _users
        with _lock:
            _users -= 1
            if not _users:
                torch.backends.mha.set_fastpath_enabled(_fast_path)
            _ask_no_more()


@contextmanager
def _asking() -> Iterator[None]:
    with _lock:
        _ask()
    try:
        yield
    finally:
        with _lock:
            _ask_no_more()


def _ask() -> None:
    """Let torch's two checkpointing functions ask the taps at work in their thread."""
    global _askers
    _askers += 1
    _module.CheckpointFunction = _Reentrant  # type: ignore[misc, assignment]
    _module._checkpoint_without_reentrant_generator = _generator  # type: ignore[assignment]


def _ask_no_more() -> None:
    global _askers
    _askers -= 1
    if not _askers:
        _module.CheckpointFunction = _reentrant  # type: ignore[misc]
        _module._checkpoint_without_reentrant_generator = _modern


def _remembered(function: Callable[..., Any], *, runs_first: bool) -> Callable[..., Any]:
    """The function as every tap at work wants it to run again: the outermost one first, as in the forward pass."""
    for tap in reversed(_AT_WORK.taps):
        function = tap.remembered(function, runs_first=runs_first)
    return function


class _Reentrant:
    @staticmethod
    def apply(run: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        if any(tap.straight for tap in _AT_WORK.taps):
            return run(*args)
        again = _remembered(run, runs_first=True)
        return _reentrant.apply(again, preserve, *args)  # type: ignore[no-untyped-call]


def _generator(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if any(tap.straight for tap in _AT_WORK.taps):
        return iter((None,))
    return _modern(_remembered(function, runs_first=False), *args, **kwargs)
