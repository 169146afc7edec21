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


@contextmanager
def at_work(tap: Checkpointed) -> Iterator[None]:
    """The tap watches what this thread does."""
    _AT_WORK.taps.append(tap)
    try:
        yield
    finally:
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


@contextmanager
def torch_prepared() -> Iterator[None]:
    """Let torch's checkpointing ask the tap at work, and make no fused call that would hide norms and skips."""
    global _users, _fast_path
    with _asking():
        with _lock:
            if not _users:
                _fast_path = torch.backends.mha.get_fastpath_enabled()
                torch.backends.mha.set_fastpath_enabled(False)
            _users += 1
        try:
            yield
        finally:
            with _lock:
                _users -= 1
                if not _users:
                    torch.backends.mha.set_fastpath_enabled(_fast_path)


@contextmanager
def _asking() -> Iterator[None]:
    """Torch's two checkpointing functions ask the tap at work in their thread."""
    global _askers
    with _lock:
        _askers += 1
        _module.CheckpointFunction = _Reentrant  # type: ignore[misc, assignment]
        _module._checkpoint_without_reentrant_generator = _generator  # type: ignore[assignment]
    try:
        yield
    finally:
        with _lock:
            _askers -= 1
            if not _askers:
                _module.CheckpointFunction = _reentrant  # type: ignore[misc]
                _module._checkpoint_without_reentrant_generator = _modern


class _Reentrant:
    @staticmethod
    def apply(run: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        tap = _AT_WORK.taps[-1] if _AT_WORK.taps else None
        if tap is None:
            return _reentrant.apply(run, preserve, *args)  # type: ignore[no-untyped-call]
        if tap.straight:
            return run(*args)
        again = tap.remembered(run, runs_first=True)
        return _reentrant.apply(again, preserve, *args)  # type: ignore[no-untyped-call]


def _generator(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    tap = _AT_WORK.taps[-1] if _AT_WORK.taps else None
    if tap is None:
        return _modern(function, *args, **kwargs)
    if tap.straight:
        return iter((None,))
    return _modern(tap.remembered(function, runs_first=False), *args, **kwargs)
