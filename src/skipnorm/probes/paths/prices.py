"""Along which paths a network with skips computes and learns: what each block is worth, and how far gradients go."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from skipnorm.errors import ProbeError
from skipnorm.probes.findings import Findings
from skipnorm.probes.objective import Loss
from skipnorm.probes.paths.gradients import paths_to_walk
from skipnorm.probes.paths.lengths import LIKELY, Values, lengths_measured
from skipnorm.probes.paths.lesions import Survey, junctions_of, survey
from skipnorm.probes.paths.permutations import (
    Group,
    exchangeable,
    order_kept,
    random_swaps,
    swapped,
)
from skipnorm.probes.paths.quantities import declared
from skipnorm.probes.paths.trial import Tick, Trial
from skipnorm.probes.problem import Problem, Statistics, posed

__all__ = ["paths"]


def paths(
    network: nn.Module,
    batch: Any,
    *,
    loss: Loss = None,
    statistics: Statistics = "as_is",
    deleted: Sequence[int] | None = None,
    swaps: Sequence[int] | None = None,
    draws: int = 10,
    walks: int = 20,
    seed: int = 0,
    shift: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Findings:
    """What each block and each shortcut is worth without retraining, and how long the paths are that gradients take.

    At every skip `h(x) + F(x)`: the price of deleting the block (it becomes its shortcut, a projection included) and of
    cutting the shortcut, in loss and accuracy, positive where it hurts, with the standard error over samples of the
    paired difference; and `||F(x)|| / ||h(x)||`. Of several blocks: the prices of deleting `deleted` random ones, and
    of swapping `swaps` pairs of blocks of equal shape. Of the gradient: its norm along single paths, through the
    branches of `k` blocks and the shortcuts of all others (Veit et al. 2016), times the number of such paths; the
    expected length of a path, beside the Poisson-binomial whose odds are the measured gains of the branches.

    A cut removes its operand, so that NaN there never reaches the output; in a concatenation zeros take its place.
    Gradients are sent along paths without changing a forward value. They are read at the input, or at the embedding of
    tokens. Skips that some path goes around (within a U-Net, or in an encoder beside a decoder) are left open
    for them and named in `notes`. What could not be measured is left out, or NaN, and `notes` says why.

    Args:
        network: any module, in the mode in which it is to be measured; it is left as it was.
        batch: as `measure` takes it, or a list of such.
        loss: as `measure` takes it.
        statistics: what BatchNorm normalises by, see `STATISTICS`.
        deleted: how many blocks to delete at once; by default powers of two.
        swaps: how many pairs of blocks to swap; by default powers of two.
        draws: random choices of blocks for each of these numbers.
        walks: paths to look at for each length, all if there are no more; else ten times as many of all lengths, drawn
            by the branches' gains, say how power divides. 0 for none.
        seed: of these choices.
        shift: as `scores` takes it.
        progress: called with (done, total), in forward or backward passes; total is the most there can be.

    Raises:
        ProbeError: no skip, or settings that make no sense.

    >>> from skipnorm.networks.recipe import Perceptron
    >>> idle = Perceptron(residual=True, initializer="rezero", inputs=4, width=4, depth=2).build(0)  # x + 0 F(x)
    >>> found = paths(idle, (torch.ones(3, 4), torch.tensor([0, 1, 2])))
    >>> found.values["deletion_loss_price"], found.values["path_length_by_norm"]
    (array([0., 0.]), 0.0)
    """
    _check(draws, walks)
    network = getattr(network, "_orig_mod", network)
    with posed(network, batch, loss=loss, statistics=statistics, where=None) as problem:
        surveys = _surveys(problem)
        junctions = junctions_of(surveys)
        if not junctions:
            raise ProbeError(
                f"expected a network with skips, found none in {type(network).__name__}: see "
                "anatomy(network, *inputs)."
            )
        trial = Trial(problem, surveys[0], junctions, loss, shift)
        groups, reasons = exchangeable(problem, [each.site for each in junctions])
        at_once = _numbers("deleted", deleted, len(trial.able))
        pairs = _numbers("swaps", swaps, sum(len(group.keys) // 2 for group in groups))
        walked = len(surveys) * paths_to_walk(len(trial.able), walks, LIKELY * walks)
        several = draws * (len(at_once) + len(pairs))
        tick = _ticks(progress, 2 * len(trial.able) + several + walked)
        values: Values = {**trial.scores(), "branch_ratio": _ratios(surveys)}
        values |= trial.at_each_skip(tick)
        values |= _several(trial, groups, at_once, pairs, draws, _chance(seed), tick)
        notes = [*trial.notes(), *reasons]
        if walks:
            found, more = lengths_measured(problem, loss, surveys, junctions, walks, seed, tick)
            values, notes = values | found, notes + more
    coords = {
        "site": [each.name for each in junctions],
        "nature": ("site", [each.site.nature for each in junctions]),
        "block": at_once,
        "case": pairs,
        "draw": list(range(draws)) if at_once or pairs else [],
        "length": list(range(np.size(values.get("path_mass", ())))),
    }
    settings = {"probe": "paths", "statistics": statistics, "draws": str(draws)}
    settings |= {"walks": str(walks), "seed": str(seed)}
    labels = {name: each for name, each in coords.items() if each}
    return Findings(declared(values), values, labels, settings, tuple(notes))


def _several(
    trial: Trial,
    groups: Sequence[Group],
    at_once: Sequence[int],
    pairs: Sequence[int],
    draws: int,
    chance: np.random.Generator,
    tick: Tick,
) -> Values:
    """The prices of deleting several random blocks, and of swapping several random pairs."""
    values: Values = {}
    if at_once:
        sets = [[trial.some(number, chance) for _ in range(draws)] for number in at_once]
        values |= trial.together("lesion", sets, tick)
    if pairs:
        drawn = [[random_swaps(groups, number, chance) for _ in range(draws)] for number in pairs]
        contexts = [[swapped(each) for each in row] for row in drawn]
        values |= trial.together("permutation", contexts, tick)
        tau = [[order_kept(groups, each) for each in row] for row in drawn]
        values["permutation_kendall_tau"] = np.array(tau)
    return values


def _surveys(problem: Problem) -> list[Survey]:
    if problem.statistics == "recalibrated":
        problem.recalibrate()
    found = []
    for batch in problem.batches:
        torch.manual_seed(0)  # the dropout of the problem
        found.append(survey(problem.network, batch))
    return found


def _ratios(surveys: Sequence[Survey]) -> np.ndarray:
    squares = torch.stack([each.squares for each in surveys]).sum(0)
    return (squares[:, 0] / squares[:, 1]).sqrt().numpy()


def _numbers(name: str, given: Sequence[int] | None, most: int) -> list[int]:
    """How many blocks or pairs: what was asked for, or powers of two as far as there are so many."""
    if given is None:
        return [2**power for power in range(most.bit_length())]
    wanted = list(given)
    wrong = [each for each in wanted if not isinstance(each, int) or not 1 <= each <= most]
    if wrong or len(set(wanted)) < len(wanted):
        raise ProbeError(
            f"expected {name} to be different numbers from 1 to {most}, which is how many there are, found {wanted}. "
            f"Leave it out for powers of two, or give () for none."
        )
    return wanted


def _check(draws: int, walks: int) -> None:
    for name, value, least in (("draws", draws, 1), ("walks", walks, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ProbeError(f"expected {name} to be an integer from {least} up, found {value!r}.")


def _chance(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _ticks(progress: Callable[[int, int], None] | None, total: int) -> Tick:
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(min(done, total), total)

    return tick
