"""A run on disk, from which it goes on bit for bit: written whole or not at all, trusted only if whole and its own."""

import hashlib
import io
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from skipnorm.anatomy.tensors import tensors_in
from skipnorm.errors import TrainingError
from skipnorm.training.learner import Learner
from skipnorm.training.state import Divergence

__all__ = ["PATIENCE", "Kept"]

PATIENCE = 30.0
"""Seconds of training, and an update, that a kill may cost at most."""

_MARK = b"skipnorm checkpoint 1\n"


class Kept:
    """The file of one run: of this network, these batches, this training and this seed."""

    def __init__(self, path: Path, learner: Learner, seed: int) -> None:
        self._path, self._learner = Path(path), learner
        network = learner.network
        named = (*network.named_parameters(), *network.named_buffers())
        shapes = [f"{name} {each.dtype} {tuple(each.shape)}" for name, each in named]
        lines = [f"torch {torch.__version__}, seed {seed}", repr(learner.training), repr(network)]
        self._mark = "\n".join(lines + shapes)
        self._last: tuple[int, Any] = (0, None)
        self._since, self._took = time.monotonic(), 0.0

    @property
    def is_due(self) -> bool:
        """Whether much time has gone since the run was written or begun, also beside what writing takes."""
        return time.monotonic() - self._since > max(PATIENCE, 20 * self._took)

    def write(self) -> None:
        """Keep the run as it is now, unless the file has it already.

        Raises:
            TrainingError: the file cannot be written.
        """
        now = self._learner.step, self._learner.diverged
        if now == self._last:
            return
        begun = time.monotonic()
        buffer = io.BytesIO()
        torch.save({"mark": self._mark, **_content(self._learner)}, buffer)
        payload = buffer.getbuffer()
        try:
            _written(self._path, _MARK, hashlib.sha256(payload).digest(), payload)
        except OSError as error:
            raise TrainingError(
                f"could not write the checkpoint {self._path}: {error}; is the disk full or read-only? "
                "Nothing was changed there. Choose another place, or none."
            ) from error
        self._last, self._since = now, time.monotonic()
        self._took = self._since - begun

    def resume(self, latest: int) -> tuple[str, ...]:
        """Bring the run to where the file has it, if that is no later than step ``latest``.

        A file that is damaged or another run's is put aside under a name of its own.

        Returns:
            What a person should know of it.
        """
        if not self._path.is_file():
            return ()
        try:
            found = _read(self._path)
            if found["mark"] != self._mark:
                raise ValueError("it is of another network, training, seed or version of torch")
            if found["step"] > latest:
                return ()
            self._compare(found)
        except Exception as error:  # torch raises a different one for every kind of damage
            self._learner.batches.resume(0, None)
            return (self._aside(error),)
        _restore(self._learner, found)
        self._last = self._learner.step, self._learner.diverged
        return ()

    def _compare(self, found: dict[str, Any]) -> None:
        batches = self._learner.batches
        self._learner.batch = batches.resume(found["step"], found["place"])
        lost = found["diverged"] is not None  # it saw one batch more than it made updates
        if not lost and _digest(self._learner.batch) != found["batch"]:
            raise ValueError("other samples come now, or in another order")

    def _aside(self, error: Exception) -> str:
        aside = self._path.with_name(f"{self._path.name}.damaged")
        self._path.replace(aside)
        return f"the checkpoint {self._path.name} was put aside as {aside.name}: {error}"


def _content(learner: Learner) -> dict[str, Any]:
    return {
        "step": learner.step,
        "network": learner.network.state_dict(),
        "transient": _transient(learner.network),
        "generators": {n: each.get_state() for n, each in _generators(learner.network).items()},
        "optimizer": learner.optimizer.state_dict(),
        "schedule": None if learner.schedule is None else learner.schedule.state_dict(),
        "scaler": None if learner.scaler is None else learner.scaler.state_dict(),
        "draws": learner.draws.state(),
        "place": learner.batches.place(),
        "batch": _digest(learner.batch),
        "losses": torch.tensor(learner.losses, dtype=torch.float64),
        "rates": torch.tensor(learner.rates, dtype=torch.float64),
        "diverged": learner.diverged and (learner.diverged.step, learner.diverged.cause),
    }


def _restore(learner: Learner, found: dict[str, Any]) -> None:
    network = learner.network
    network.load_state_dict(found["network"])
    with torch.no_grad():
        for name, tensor in _transient(network).items():
            tensor.copy_(found["transient"][name])
    for name, generator in _generators(network).items():
        generator.set_state(found["generators"][name])
    learner.optimizer.load_state_dict(found["optimizer"])
    if learner.schedule is not None:
        learner.schedule.load_state_dict(found["schedule"])
    if learner.scaler is not None:
        learner.scaler.load_state_dict(found["scaler"])
    learner.draws.resume(found["draws"])
    learner.step = found["step"]
    learner.losses, learner.rates = found["losses"].tolist(), found["rates"].tolist()
    learner.diverged = Divergence(*found["diverged"]) if found["diverged"] else None


def _transient(network: nn.Module) -> dict[str, Tensor]:
    """The buffers that a state_dict leaves out."""
    kept = network.state_dict()
    return {name: buffer for name, buffer in network.named_buffers() if name not in kept}


def _generators(network: nn.Module) -> dict[str, torch.Generator]:
    """Random numbers that modules draw from generators of their own."""
    return {
        f"{path}.{name}": value
        for path, module in network.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, torch.Generator)
    }


def _digest(batch: Any) -> str:
    digest = hashlib.sha256()
    for tensor in tensors_in(batch):
        numbers = tensor.detach().cpu().contiguous().flatten()
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(numbers.view(torch.uint8).numpy().data if numbers.numel() else b"")
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    start = len(_MARK) + hashlib.sha256().digest_size
    mark, digest, payload = content[: len(_MARK)], content[len(_MARK) : start], content[start:]
    if mark != _MARK:
        raise ValueError("it is no checkpoint of skipnorm")
    if hashlib.sha256(payload).digest() != digest:
        raise ValueError("it is damaged")
    found: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    return found


def _written(path: Path, *parts: Any) -> None:
    """Whole or not at all: beside its destination, flushed, then renamed over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
