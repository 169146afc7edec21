"""Trials on a Ray cluster: a task each, tried again where a node or a worker dies.

Needs ``skipnorm[ray]``. The cluster is the one that the environment names (``RAY_ADDRESS``), else one
that runs on this machine, else a new one of this machine's cores.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from skipnorm.errors import StudyError, nearest
from skipnorm.studies.afield import APART, Token, luggage, serve, token, unpacked
from skipnorm.studies.claims import Claim
from skipnorm.studies.errand import Errand
from skipnorm.studies.outcome import Outcome, failure
from skipnorm.studies.plan import Trial
from skipnorm.studies.workers import pickled

__all__ = ["on_ray"]

Storage = Literal["auto", "shared", "sent"]
_STORAGE = ("auto", "shared", "sent")


def on_ray(
    work: Callable[[Trial], Outcome],
    trials: Sequence[Trial],
    *,
    cpus: float = 1.0,
    gpus: float = 0.0,
    retries: int = 3,
    storage: Storage = "auto",
) -> Iterator[Outcome]:
    """Every trial as a task of a Ray cluster; with settings: ``partial(on_ray, gpus=0.5)``.

    Args:
        work: what to do with a trial.
        trials: the trials.
        cpus: cores that a trial occupies; it computes with one thread all the same.
        gpus: GPUs, or the share of one, that a trial occupies.
        retries: how often a trial is begun again because its worker or node died.
        storage: ``"shared"``: workers write into the study's folder, which all nodes have;
            ``"sent"``: they are sent what a trial builds on and send their files back, and this
            process writes them; ``"auto"``: each worker looks whether it sees the study's folder.

    Raises:
        StudyError: Ray is not installed, no cluster answers, or a trial cannot be sent.
    """
    if storage not in _STORAGE:
        raise StudyError(f"There is no such storage: {nearest(storage, _STORAGE)}")
    ray = _ray()
    with _cluster(ray), token(work, storage) as proof:
        _warn_of_shortage(ray.cluster_resources(), cpus=cpus, gpus=gpus)
        task = ray.remote(serve).options(
            num_cpus=cpus, num_gpus=gpus, max_retries=retries, name="skipnorm trial"
        )
        yield from _Flights(ray, task, work, proof).outcomes(trials, cpus=cpus, gpus=gpus)


class _Flights:
    """The tasks that are on their way, each with its trial and the claim on it."""

    def __init__(
        self, ray: ModuleType, task: Any, work: Callable[[Trial], Outcome], proof: Token
    ) -> None:
        self._ray, self._task, self._work, self._proof = ray, task, work, proof
        self._flying: dict[Any, tuple[Trial, Claim | None]] = {}
        self._with_luggage = proof.storage == "sent"

    def outcomes(self, trials: Sequence[Trial], *, cpus: float, gpus: float) -> Iterator[Outcome]:
        """The outcome of every trial, in the order in which they land."""
        waiting = deque(trials)
        try:
            while waiting or self._flying:
                most = _ahead(self._ray.cluster_resources(), cpus=cpus, gpus=gpus)
                while waiting and len(self._flying) < most:
                    outcome = self._start(waiting.popleft())
                    if outcome is not None:
                        yield outcome
                landed, _ = (
                    self._ray.wait(list(self._flying), timeout=1) if self._flying else ([], 0)
                )
                for flight in landed:
                    outcome = self._land(flight)
                    if outcome is not None:
                        yield outcome
        finally:
            self._abandon()

    def _start(self, trial: Trial) -> Outcome | None:
        """Send a trial off, or say at once what has become of it."""
        claim = None
        if isinstance(self._work, Errand):
            try:
                claim = self._work.claim(trial)
            except StudyError as error:
                return failure(trial, error)
            if claim is None:
                return Outcome(trial, "elsewhere")
            settled = self._work.settled(trial)
            if settled is not None:
                claim.release()
                return settled
        try:
            self._send(trial, claim)
        except BaseException:
            if claim is not None:
                claim.release()
            raise
        return None

    def _send(self, trial: Trial, claim: Claim | None) -> None:
        order = pickled((self._work, trial, self._proof))
        packed = isinstance(self._work, Errand) and self._with_luggage
        taken = luggage(self._work, trial) if packed else None  # type: ignore[arg-type]
        self._flying[self._task.remote(order, _paths(), taken)] = (trial, claim)

    def _land(self, flight: Any) -> Outcome | None:
        """What became of a trial; None if it had to be sent again, with luggage."""
        trial, claim = self._flying.pop(flight)
        try:
            status, reason, details, diverged, files = pickle.loads(self._ray.get(flight))
            if status == APART:
                self._with_luggage = True
                self._send(trial, claim)
                claim = None
                return None
            outcome = Outcome(trial, status, reason, details, diverged)
            apart = files and isinstance(self._work, Errand)
            return unpacked(self._work, outcome, files) if apart else outcome  # type: ignore[arg-type]
        except self._ray.exceptions.RayError as error:
            first = (str(error).strip().splitlines() or [""])[0]
            lost = StudyError(f"The Ray task was lost ({type(error).__name__}): {first}")
            return failure(trial, lost)
        finally:
            if claim is not None:
                claim.release()

    def _abandon(self) -> None:
        """Call off what is still on its way, as after an interrupt."""
        for flight, (_, claim) in self._flying.items():
            with suppress(Exception):
                self._ray.cancel(flight)
            if claim is not None:
                claim.release()
        self._flying.clear()


def _ray() -> ModuleType:
    # Ray would otherwise hide the GPUs from tasks that ask for none, and say that it will stop so.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise StudyError(
            f"Ray cannot be imported ({error}): expected the extra `skipnorm[ray]`. Install it "
            "with `pip install 'skipnorm[ray]'`, or use executor='processes'."
        ) from error
    module: ModuleType = ray
    return module


@contextmanager
def _cluster(ray: ModuleType) -> Iterator[None]:
    """Connected to the cluster; a connection that was there before is used and left open."""
    if ray.is_initialized():
        yield
        return
    try:
        with _own_sigterm():
            ray.init(log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        address = os.environ.get("RAY_ADDRESS", "")
        raise StudyError(
            f"No Ray cluster answers: expected one at RAY_ADDRESS={address!r}, found "
            f"{type(error).__name__}: {error}. Start one (`ray start --head`), or unset "
            "RAY_ADDRESS to use this machine alone."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """What answers SIGTERM is as before: Ray would end the program on the spot."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _slots(resources: Mapping[str, float], *, cpus: float, gpus: float) -> int:
    """How many trials the cluster can do at a time, as it is now.

    >>> _slots({"CPU": 8.0, "GPU": 1.0}, cpus=1, gpus=0.5)
    2
    """
    wanted = {"CPU": cpus, "GPU": gpus}
    return min(
        (int(resources.get(name, 0.0) // need) for name, need in wanted.items() if need > 0),
        default=64,
    )


def _ahead(resources: Mapping[str, float], *, cpus: float, gpus: float) -> int:
    """How many tasks to have on their way: some wait, so that no node does and a cluster may grow."""
    return 2 * _slots(resources, cpus=cpus, gpus=gpus) + 8


def _warn_of_shortage(resources: Mapping[str, float], *, cpus: float, gpus: float) -> None:
    if not _slots(resources, cpus=cpus, gpus=gpus):
        warnings.warn(
            f"The Ray cluster has no room for a trial yet: expected {cpus:g} CPUs and {gpus:g} "
            f"GPUs on a node, found {resources.get('CPU', 0.0):g} and "
            f"{resources.get('GPU', 0.0):g} on all of them. Waiting for a node to join.",
            stacklevel=3,
        )


def _paths() -> list[str]:
    """Where this process imports from, for workers that start elsewhere."""
    return [str(Path(path).absolute()) for path in sys.path if not path.endswith(".zip")]
