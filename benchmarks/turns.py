"""Jobs that take turns, so that a drift of the machine's speed meets all of them, timed by the processor's own clock.

Other programs on the machine take processor time away, which that clock does not count, and caches, which it does: so
every round gives one quotient, of neighbours in time, and their median is what is reported.
"""

import statistics
import time
from collections.abc import Callable

Job = Callable[[], object]
Times = dict[str, list[float]]


def taking_turns(jobs: dict[str, Job], rounds: int, repeats: int = 1) -> Times:
    """Seconds of the processor per call of each job, round by round; an extra round in front is not counted."""
    times: Times = {name: [] for name in jobs}
    for round_ in range(rounds + 1):
        for name, job in jobs.items():
            start = time.process_time()
            for _ in range(repeats):
                job()
            if round_:
                times[name].append((time.process_time() - start) / repeats)
    return times


def ratio(times: Times, name: str, base: str) -> float:
    """How many times the base a job costs: the median over rounds."""
    return statistics.median(
        one / other for one, other in zip(times[name], times[base], strict=True)
    )


def milliseconds(times: Times, name: str) -> float:
    """What a job costs when nothing disturbs it: its quickest round."""
    return 1e3 * min(times[name])


def exponent(sizes: list[float], costs: list[float]) -> float:
    """The slope of log cost against log size, by least squares: 1 is linear, less is cheaper."""
    import numpy as np

    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])
