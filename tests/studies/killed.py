"""A study to be killed: run as a script, also by its workers, it leaves a mark for every update it makes.

python killed.py FOLDER EXECUTOR SIZE
"""

import os
import sys
from functools import partial
from pathlib import Path

import skipnorm as sn
from skipnorm.studies import states
from skipnorm.studies.executors import EXECUTORS
from skipnorm.tasks import Mnist1d
from skipnorm.training import Training
from skipnorm.training.learner import Learner

STEPS, EVERY = 24, 5
PROBES = (
    "moments",
    "activation_summary",
    "gradient",
    "flow",
    partial(sn.smoothness, lengths=(0.5, 1.0)),
    partial(sn.scores, bins=5),
)
SIZES = {
    "small": (("none", "batch"), (2,), (0.1, 1.0), range(2)),
    "whole": (("none", "batch", "layer", "rms"), (2, 3), (0.01, 0.1, 1.0, 1e6), range(5)),
}
"""Normalisers, depths, learning rates and seeds."""


def study(size: str) -> sn.Study:
    """Tiny networks, a few updates each, and six probes before and after."""
    norms, depths, rates, seeds = SIZES[size]
    training = Training(steps=STEPS, batch=16, settings={"momentum": 0.9})
    task = Mnist1d(flat=True)
    variants = {
        f"{norm} {depth}": sn.Variant(
            sn.Perceptron(width=8, depth=depth, norm=norm, inputs=40, outputs=10),
            task,
            batch=16,
            training=training,
            rates=rates,
        )
        for norm in norms
        for depth in depths
    }
    return sn.Study("killed", variants, seeds=seeds, probes=PROBES)


def marking(folder: Path) -> None:
    """Let every update add a byte to a file, and keep every run after a few."""
    advance = Learner.advance
    folder.mkdir(parents=True, exist_ok=True)
    marks = os.open(folder / "marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def marked(self: Learner) -> None:
        advance(self)
        os.write(marks, b".")

    Learner.advance = marked
    states._BETWEEN = EVERY


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def told(executor: str):
    """The executor, with a line for each outcome."""

    def on(work, trials):
        for outcome in EXECUTORS[executor](work, trials):
            say(outcome.status)
            yield outcome

    return on


if __name__ in ("__main__", "__mp_main__"):
    marking(Path(sys.argv[1]))
if __name__ == "__main__":
    say("ready")
    sn.run(study(sys.argv[3]), sys.argv[1], executor=told(sys.argv[2]), progress="off")
