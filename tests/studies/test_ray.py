"""Ray: the same study gives the same evidence on a cluster of several nodes, also when some die.

Truth: the in-process executor, bit for bit. The cluster is Ray's own test cluster: every node has a
process group of its own on this machine.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from skipnorm.cli.main import Ending
from skipnorm.errors import StudyError
from skipnorm.networks.recipe import Perceptron
from skipnorm.studies.errand import Errand
from skipnorm.studies.on_ray import _ahead, _slots, _warn_of_shortage, on_ray
from skipnorm.studies.outcome import Outcome
from skipnorm.studies.plan import plan
from skipnorm.studies.run import run
from skipnorm.studies.status import status
from skipnorm.studies.study import Study, Variant
from skipnorm.tasks import Gaussian

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'skipnorm[ray]'")

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without cores and a node of one core, as the environment's cluster; some add nodes."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_worker_niceness", "0")  # other tests run beside
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        made = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
        )
        made.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", made.address)
        yield made
        made.shutdown()


@pytest.fixture
def connected(cluster: Any) -> Iterator[Any]:
    """One connection for several calls: an executor uses what it finds and leaves it open."""
    ray.init(log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()


@pytest.fixture
def toywork(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import toywork

    return toywork


@pytest.fixture
def small_study() -> Study:
    """Two real variants, two seeds: small enough to be measured several times."""
    task = Gaussian(4, covector=3)
    variants = {
        f"{norm} {depth}": Variant(
            Perceptron(width=8, depth=depth, norm=norm, inputs=4, outputs=3), task, batch=6
        )
        for norm, depth in (("none", 2), ("batch", 3))
    }
    return Study("small", variants, seeds=range(2))


def ended(outcomes: list[Outcome]) -> list[tuple[int, str]]:
    return sorted((outcome.trial.seed, outcome.status) for outcome in outcomes)


def test_the_same_study_gives_the_same_evidence_in_both_ways_of_storing(
    small_study: Study, connected: Any, tmp_path: Path
) -> None:
    here = run(small_study, tmp_path / "here", progress="off")
    for storage in ("auto", "sent"):
        there = run(
            small_study,
            tmp_path / storage,
            executor=partial(on_ray, storage=storage),
            progress="off",
        )
        assert here.drop_attrs(deep=False).identical(there.drop_attrs(deep=False))
        assert status(tmp_path / storage).complete
        assert not list((tmp_path / storage).rglob(".shared-*"))
        assert not [path for path in (tmp_path / storage / "claims").rglob("*.1")]
    assert ray.is_initialized()


def test_a_dead_worker_is_replaced_and_what_it_raises_is_an_outcome(
    toyworld: Any, toywork: Any, connected: Any, tmp_path: Path
) -> None:
    trials = plan(toyworld.study(a=1))
    dying = partial(toywork.die_once, marks=str(tmp_path))
    assert ended(list(on_ray(dying, trials))) == [(s, "finished") for s in range(3)]
    assert len(list(tmp_path.glob("died-*"))) == 3
    lost = list(on_ray(toyworld.die_on_one, trials, retries=0))
    assert ended(lost) == [(0, "finished"), (1, "failed"), (2, "finished")]
    (one,) = [outcome for outcome in lost if outcome.status == "failed"]
    assert "Ray task was lost (WorkerCrashedError)" in one.reason
    found = list(on_ray(toyworld.raise_on_one, trials))
    assert ended(found) == [(0, "finished"), (1, "failed"), (2, "finished")]
    assert "raise_on_one" in next(outcome.details for outcome in found if outcome.details)
    with pytest.raises(StudyError, match="cannot be sent"):
        list(on_ray(lambda trial: Outcome(trial, "finished"), trials))


def test_a_trial_in_other_hands_is_left_to_them(
    toyworld: Any, connected: Any, tmp_path: Path
) -> None:
    trials = plan(toyworld.study(a=1))
    errand = Errand(tmp_path)
    claim = errand.claim(trials[0])
    assert claim is not None
    trials[1].evidence_file(tmp_path).parent.mkdir(parents=True)
    trials[1].evidence_file(tmp_path).write_text("there")
    assert ended(list(on_ray(errand, trials[:2]))) == [(0, "elsewhere"), (1, "kept")]


HELD = """
import time
from dataclasses import dataclass
from pathlib import Path
import skipnorm as sn
from skipnorm.tasks import Gaussian

@dataclass(frozen=True)
class Held:
    def build(self, seed):
        while seed and Path(__file__).with_name("hold").exists():
            time.sleep(0.1)
        return sn.Perceptron(width=4, depth=1, inputs=4, outputs=3).build(seed)

variant = sn.Variant(Held(), Gaussian(4, covector=3), batch=4)
study = sn.Study("held", {"one": variant}, seeds=range(2), probes="moments")
"""


def test_the_program_on_a_cluster_is_terminated_cleanly_and_goes_on(
    cluster: Any, tmp_path: Path
) -> None:
    (tmp_path / "held.py").write_text(HELD)
    (tmp_path / "hold").touch()
    words = [sys.executable, "-m", "skipnorm", "run", "held.py", "--on", "ray"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, cwd=tmp_path, **pipes) as running:
        while not list(tmp_path.rglob("0-*.nc")):
            assert running.poll() is None, running.communicate()
            time.sleep(0.1)
        running.terminate()
        out, err = running.communicate(timeout=60)
    assert running.returncode == Ending.TERMINATED, err
    assert out == ""
    assert (
        "Terminated. Finished trials are kept; go on with:\n  skipnorm run held.py --on ray" in err
    )
    assert "Traceback" not in err
    assert status(tmp_path / "runs/held").counts["missing"] == 1
    (tmp_path / "hold").unlink()
    done = subprocess.run(words, cwd=tmp_path, check=False, **pipes)
    assert done.returncode == Ending.DONE, done.stderr
    assert "held: 2 of 2 trials done" in done.stdout
    assert "held: 2/2 trials" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert not list(tmp_path.rglob("claims/**/*.1"))


@pytest.mark.slow
def test_a_node_that_dies_midway_costs_no_trial(
    toywork: Any, cluster: Any, tmp_path: Path, small_study: Study
) -> None:
    here = run(small_study, tmp_path / "here", progress="off")
    extra = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    slow = partial(toywork.slowly, marks=str(tmp_path / "there"), seconds=1.0)
    outcomes = []

    def killing(work: Any, trials: Any) -> Iterator[Outcome]:
        for outcome in on_ray(partial(slow, work), trials):
            if not outcomes:
                cluster.remove_node(extra, allow_graceful=False)
            outcomes.append(outcome)
            yield outcome

    there = run(small_study, tmp_path / "there", executor=killing, progress="off")
    assert here.drop_attrs(deep=False).identical(there.drop_attrs(deep=False))
    begun = list((tmp_path / "there").glob("begun-*"))
    assert len(begun) > len(outcomes) == len(plan(small_study))  # some were begun again


def test_what_a_trial_occupies_bounds_how_many_are_on_their_way() -> None:
    resources = {"CPU": 16.0, "GPU": 2.0}
    assert _slots(resources, cpus=1, gpus=0) == 16
    assert _slots(resources, cpus=1, gpus=0.25) == 8
    assert _slots({"CPU": 16.0}, cpus=1, gpus=1) == 0
    assert _ahead({}, cpus=1, gpus=0) > 0  # a cluster that grows on demand must see a demand
    with pytest.warns(UserWarning, match="expected 1 CPUs and 1 GPUs on a node, found 16 and 0"):
        _warn_of_shortage({"CPU": 16.0}, cpus=1, gpus=1)


def test_an_unknown_storage_is_answered_with_the_nearest(toyworld: Any) -> None:
    with pytest.raises(StudyError, match="Did you mean 'shared'"):
        list(on_ray(toyworld.well, (), storage="shard"))


def test_without_ray_the_extra_is_named(toyworld: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(StudyError, match=r"skipnorm\[ray\]"):
        list(on_ray(toyworld.well, plan(toyworld.study(a=1))))
