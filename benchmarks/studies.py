"""What a study costs beside its bare training loops, and what more processes gain: ratios in one run.

    python benchmarks/studies.py [overhead] [processes] [ray]     all of it, about ten minutes

The study trains a perceptron with batch norm on mnist1d and reads the default probes at the start and at the end;
a bare loop makes the same updates, bit for bit, which is asserted first. Overhead is taken in seconds of the processor,
one thread: the least of each over rounds in which both take turns (other programs only add), with the ratios of the
rounds beside it. Speed-ups are of wall time; beside them stands what the machine itself can do at that moment (two bare
processes against one), and what a trial takes of the processor here and there.
What a finished study costs to open is in `store.py`.
"""

import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import nn

import skipnorm as sn
from skipnorm.studies.executors import Executor, processes
from skipnorm.studies.progress import Tell
from skipnorm.training.order import permutation

STEPS, BATCH, RATE, SETTINGS = 1000, 128, 0.1, {"momentum": 0.9}
TASK = sn.Mnist1d(flat=True)
NET = sn.Perceptron(width=100, depth=4, norm="batch", inputs=40, outputs=10)


def study(seeds: int) -> sn.Study:
    training = sn.Training(steps=STEPS, rate=RATE, batch=BATCH, settings=SETTINGS)
    return sn.Study("cost", {"bn": sn.Variant(NET, TASK, training=training)}, seeds=range(seeds))


def bare(seed: int) -> nn.Module:
    """What anybody would write, with the loss of every update kept."""
    network = NET.build(seed).train()
    inputs, targets = TASK.full("train")
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, **SETTINGS)
    losses: list[float] = []
    epoch = 0
    while True:
        order = torch.from_numpy(permutation(seed, epoch, len(inputs)))
        epoch += 1
        for rows in order.split(BATCH)[: len(inputs) // BATCH]:
            loss = F.cross_entropy(network(inputs[rows]), targets[rows])
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if len(losses) == STEPS:
                return network


def ours(seeds: int, executor: str | Executor = "in_process", workers: int = 1) -> list[float]:
    """Seconds a trial: from call to return, once every worker has done one, and of the processor."""
    ends: list[float] = []

    @contextmanager
    def noting(name: str, total: int) -> Iterator[Tell]:
        yield lambda outcomes: ends.extend(time.perf_counter() for _ in outcomes)

    with tempfile.TemporaryDirectory() as folder:
        begun, before = time.perf_counter(), processor()
        sn.run(study(seeds), folder, executor=executor, progress=noting)
        whole, own = (time.perf_counter() - begun) / seeds, (processor() - before) / seeds
    ends.sort()
    return [whole, (ends[-1] - ends[workers - 1]) / max(1, seeds - workers), own]


def processor() -> float:
    """Seconds of the processor, of this process and of all its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def same_updates() -> None:
    """The study's networks are those of the bare loop, bit for bit."""
    (state,) = sn.train(NET.build(0), TASK, study(1).variants["bn"].training, seed=0, at="end")
    pairs = zip(state.network.parameters(), bare(0).parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def overhead(seeds: int = 4, rounds: int = 9) -> None:
    same_updates()
    ours(1)
    loops, whole = [], []
    for _ in range(rounds):
        start = time.process_time()
        for seed in range(seeds):
            bare(seed)
        loops.append((time.process_time() - start) / seeds)
        whole.append(ours(seeds)[2])
    ratios = [one / other for one, other in zip(whole, loops, strict=True)]
    print(
        f"study in-process / bare loops of {1e3 * min(loops) / STEPS:.2f} ms an update: "
        f"{min(whole) / min(loops):.3f} (bound 1.10), {1e3 * (min(whole) - min(loops)):.0f} ms a trial; "
        f"over rounds {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}"
    )


def loops(count: int) -> None:
    torch.set_num_threads(1)
    for seed in range(count):
        bare(seed)


def ceiling(count: int = 6) -> float:
    """How much faster two bare processes are than one, once torch is imported, on this machine now."""
    context = multiprocessing.get_context("fork")
    taken = []
    for several in (1, 2, 1, 2):
        pool = [context.Process(target=loops, args=(count,)) for _ in range(several)]
        begun = time.perf_counter()
        for process in pool:
            process.start()
        for process in pool:
            process.join()
        taken.append((time.perf_counter() - begun) / several)
    return (taken[0] + taken[2]) / (taken[1] + taken[3])


def speed_up(name: str, executor: str | Executor, bound: float, seeds: int = 40) -> None:
    before = ceiling()
    one, two = ours(seeds), ours(seeds, executor, workers=2)
    machine = (before + ceiling()) / 2
    print(
        f"{name}: {one[0] / two[0]:.2f} x as fast as in-process, start of the workers included "
        f"(bound {bound}); {one[1] / two[1]:.2f} once they run; bare processes {machine:.2f}; seconds of "
        f"the processor a trial {one[2]:.2f} in-process, {two[2]:.2f} there"
    )


def with_ray() -> None:
    if find_spec("ray") is None:
        print("Ray: not installed")
        return
    import ray

    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)  # a cluster stands already
    try:
        speed_up("Ray, two cores", "ray", 1.6)
    finally:
        ray.shutdown()


PARTS: dict[str, Callable[[], None]] = {
    "overhead": overhead,
    "processes": lambda: speed_up("two processes", partial(processes, workers=2), 1.75),
    "ray": with_ray,
}


def main() -> None:
    torch.set_num_threads(1)
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
