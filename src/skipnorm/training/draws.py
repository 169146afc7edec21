"""Random states of one's own: what runs in one neither reads nor changes anybody else's."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["Draws"]


class Draws:
    """Python's, numpy's and torch's global random states, as one user of them sees them.

    Within ``with draws():`` the global states are this user's; outside they are what they were.

    >>> mine = Draws(0)
    >>> with mine():
    ...     first = float(torch.rand(()))
    >>> with Draws(0)():
    ...     float(torch.rand(())) == first
    True
    """

    def __init__(self, seed: int, device: str = "cpu") -> None:
        self._device = torch.device(device)
        self._within = False
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Begin anew from this seed."""
        self._state: dict[str, Any] | None = None
        self._seed = seed

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Make these the global random states, and take them along at the end."""
        outside = self._found()
        if self._state is None:
            self._sow(self._seed)
        else:
            self._put(self._state)
        self._within = True
        try:
            yield
        finally:
            self._within = False
            self._state = self._found()
            self._put(outside)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; asked for within."""
        assert self._within
        return self._found()

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from what a checkpoint kept; said within."""
        assert self._within
        self._put(state)

    def _sow(self, seed: int) -> None:
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.default_generator.manual_seed(seed)  # torch.manual_seed wakes every backend
        if self._device.type == "cuda":
            with torch.cuda.device(self._device):
                torch.cuda.manual_seed(seed)

    def _found(self) -> dict[str, Any]:
        version, words, gauss = random.getstate()
        numbers: Any = np.random.get_state(legacy=False)  # noqa: NPY002
        cuda = torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None
        return {
            "python": (version, words, gauss),
            "numpy": {**numbers, "state": _plain(numbers["state"])},
            "torch": torch.get_rng_state(),
            "cuda": cuda,
        }

    def _put(self, state: dict[str, Any]) -> None:
        random.setstate(state["python"])
        numbers = state["numpy"]
        key = np.asarray(numbers["state"]["key"], dtype=np.uint32)
        np.random.set_state({**numbers, "state": {**numbers["state"], "key": key}})  # noqa: NPY002
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"], self._device)


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """Numbers as torch keeps them in a file that holds no code."""
    return {**state, "key": torch.from_numpy(state["key"].astype(np.int64))}
