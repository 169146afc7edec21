"""How much do the scores of an audit scatter over seeds? Trains, and measures what `audit_rates.py` simulates with.

    python benchmarks/audit_noise.py            trains and prints the spreads: about three minutes of one core
    python benchmarks/audit_noise.py --write    the same, into benchmarks/audit_noise.json

An audit's own contest chooses a rate for each network and trains it with the seeds that are judged; nothing is
simulated here. Kept are the test scores of every seed, of networks as they are and with all norms or all shortcuts
taken out. Of two ways to take norms out the one is kept that the audit judges.
"""

import argparse
import json
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import skipnorm as sn
from skipnorm.audit.arms import ORIGINAL
from skipnorm.audit.budget import Course, Purse
from skipnorm.audit.contest import Contest
from skipnorm.audit.judging import Docket
from skipnorm.audit.outset import default_rates, default_training
from skipnorm.audit.subject import subject_of
from skipnorm.evidence.outcomes import outcomes

FILE = Path(__file__).with_name("audit_noise.json")
SEEDS, STEPS = 24, 200
SCORES = ("accuracy", "loss")

SUBJECTS = {
    "digits, residual, batch norm": (
        sn.Perceptron(depth=4, width=32, residual=True, norm="batch"),
        sn.Digits(flat=True),
    ),
    "digits, plain and deep, batch norm": (
        sn.Perceptron(depth=12, width=32, norm="batch"),
        sn.Digits(flat=True),
    ),
    "mnist1d, residual, layer norm": (
        sn.Perceptron(inputs=40, depth=4, width=32, residual=True, norm="layer"),
        sn.Mnist1d(flat=True),
    ),
    "mnist1d, plain, batch norm": (
        sn.Perceptron(inputs=40, depth=3, width=32, norm="batch"),
        sn.Mnist1d(flat=True),
    ),
}

Scores = dict[str, list[float | None]]


def measured(recipe: sn.Perceptron, task: object, seeds: int, steps: int) -> dict[str, Scores]:
    """Test scores of a network and of what is left of it, seed by seed; None where a run diverged."""
    subject = subject_of(recipe, task, ("whole",), (), None)
    plan = default_training(subject.anatomy, task)
    removals = tuple(arm for arm in subject.arms if arm.role == "removal")
    course = Course(steps, default_rates(plan, None), removals, (), seeds)
    with tempfile.TemporaryDirectory() as folder:
        purse = Purse(math.inf, time.monotonic)
        contest = Contest(subject.model, task, plan, "accuracy", Path(folder), purse)
        docket = Docket(subject, contest, course, 0.02, tuple(range(seeds)))
        docket.wave(removals, 1)
    arms = [ORIGINAL, *(arm.name for arm in docket.judged)]
    return {score: {arm: _ended(contest, arm, score) for arm in arms} for score in SCORES}


def _ended(contest: Contest, arm: str, score: str) -> list[float | None]:
    ended = outcomes(contest.rounds[0], f"test_{score}").sel(variant=arm)
    return [round(value, 6) if np.isfinite(value) else None for value in ended.max("rate").values]


def report(found: dict[str, dict[str, Scores]]) -> str:
    """A line for each comparison: spread of its effect, its tails, runs that diverged."""
    lines = []
    for name, scores in found.items():
        for score, arms in scores.items():
            for arm in arms:
                if arm != ORIGINAL:
                    lines.append(f"{name}: {score}, {arm}: {_described(arms, arm, score)}")
    return "\n".join(lines)


def _described(arms: Scores, arm: str, score: str) -> str:
    one, two = (np.array(arms[name], float) for name in (ORIGINAL, arm))
    one, two = (one, two) if score == "accuracy" else (np.log(two), np.log(one))
    both = np.isfinite(one - two)
    effect = (one - two)[both]
    spread = effect.std(ddof=1)
    apart = math.hypot(one[both].std(ddof=1), two[both].std(ddof=1))
    shape = (effect - effect.mean()) / effect.std()
    return (
        f"effect {effect.mean():+.4f}, spread {spread:.4f} ({spread / apart:.2f} of that unpaired), skewness "
        f"{(shape**3).mean():+.1f}, kurtosis {(shape**4).mean():.1f}, {int((~both).sum())} of {len(both)} diverged"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"into {FILE.name}")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.process_time()
    found = {name: measured(*pair, SEEDS, STEPS) for name, pair in SUBJECTS.items()}
    seconds = time.process_time() - begun
    print(report(found))
    print(f"{seconds:.0f} seconds of process time")
    if not chosen.write:
        return
    how = {
        "how": "python benchmarks/audit_noise.py --write",
        "what": "test scores at the rate that the audit chose, seed by seed; null where a run diverged",
        "updates": STEPS,
        "seeds": SEEDS,
        "core_seconds": round(seconds),
        "torch": torch.__version__.partition("+")[0],
        "networks": {name: f"{recipe!r} on {task!r}" for name, (recipe, task) in SUBJECTS.items()},
    }
    FILE.write_text(_text({**how, "scores": found}), "utf-8")


def _text(content: dict[str, object]) -> str:
    """JSON with each list of numbers on a line."""
    import re

    text = json.dumps(content, indent=1)
    return re.sub(r"\[[^\[\]{}]*\]", lambda part: " ".join(part[0].split()), text) + "\n"


if __name__ == "__main__":
    main()
