"""How identically distributed activations are: over batches, units, time, and from training to test data.

The third reading of shift: the essay's, who hopes that a norm gives layers independent, identically distributed
inputs. Each distance stands beside the level that chance alone reaches, without which it could not be judged.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skipnorm.errors import ProbeError
from skipnorm.evidence.schema import Quantity
from skipnorm.formulas.distances import wasserstein_to_gaussian
from skipnorm.probes.findings import Findings
from skipnorm.probes.probe import PORTS
from skipnorm.probes.problem import Statistics, batches_of
from skipnorm.probes.shift.drift import joined, same_sites
from skipnorm.probes.shift.null import (
    Chance,
    Level,
    between_groups,
    between_units,
    gaussian_level,
    mean_of_varying,
    standardised,
)
from skipnorm.probes.shift.samples import Samples, coordinates, sampled, state_of

__all__ = ["identical"]

_SITE, _STEP = ("site", "port"), ("step", "site", "port")
_READINGS = {
    "batches": (_SITE, "of one batch to the other batches"),
    "units": (_SITE, "of one unit to all units of the place together"),
    "test": (_SITE, "of the test data to the training data, unit by unit"),
    "time": (_STEP, "of a state to the first state, unit by unit"),
    "gaussian": (_SITE, "of a unit, standardised, to the standard Gaussian"),
}
_SOURCE = "definition; null by permutation, Good 2005, chapter 3"


def _quantities() -> tuple[Quantity, ...]:
    found = []
    for name, (dims, meaning) in _READINGS.items():
        unit = "standard deviations"
        mean = f"mean over units of the Wasserstein-1 distance {meaning}"
        found += [
            Quantity(f"identical_{name}", dims, unit, mean, _SOURCE),
            Quantity(
                f"identical_{name}_null", dims, unit, f"what chance makes of: {mean}", _SOURCE
            ),
            Quantity(
                f"identical_{name}_null_high",
                dims,
                unit,
                f"what chance exceeds in one case of twenty, for: {mean}",
                _SOURCE,
            ),
        ]
    unit_dims = (*_SITE, "unit")
    found.append(
        Quantity(
            "unit_gaussian",
            unit_dims,
            "standard deviations",
            "Wasserstein-1 distance of the standardised unit to the standard Gaussian",
            "definition",
        )
    )
    return tuple(found)


QUANTITIES = _quantities()


def identical(
    network: nn.Module,
    batches_train: Any,
    batches_test: Any = None,
    *,
    states: Sequence[Any] | None = None,
    statistics: Statistics = "as_is",
    test_statistics: Statistics | None = None,
    positions: int = 4,
    draws: int = 19,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Findings:
    """How identically distributed the activations are, at every place, with what chance alone would show.

    With `W1(a, b) = int |F_a^-1 - F_b^-1|`, each divided by the standard deviation of what is compared, pooled:

    * `identical_batches`: mean over units and batches of W1(unit in the batch, unit in the other batches).
    * `identical_units`: mean over units of W1(unit, all units of the place pooled).
    * `identical_time`: for every state, mean over units of W1(unit then, unit in the first state), the same samples;
      exactly 0 in the first state.
    * `identical_test`: mean over units of W1(unit on training data, unit on test data).
    * `identical_gaussian`: mean over units of W1(standardised unit, N(0, 1)), one position a sample.

    Beside each stands its `_null`, the mean over `draws` random reassignments under which the distributions *are*
    identical, and `_null_high`, which chance exceeds in one case of twenty (with 19 draws or more). Whole samples are
    reassigned with all their positions, since positions of one sample are alike; between units, the labels within
    every sample. A reading below its null is more identical than chance allows: what BatchNorm does to batches.
    Units that never vary have no scale and are left out.

    Args:
        network: any module.
        batches_train: a list of batches as `measure` takes them; two or more for `identical_batches`.
        batches_test: batches of other samples; without them `identical_test` is NaN, which `notes` say.
        states: in order of time: state_dicts, networks, or None for the network as it is; by default only that.
        statistics: what BatchNorm normalises by on training data, see `problem.STATISTICS`.
        test_statistics: and on test data; ("batch", "running") shows what a network meets in training and use.
        positions: so many positions of every sample are kept, the same ones everywhere.
        draws: number of reassignments.
        seed: of the reassignments.
        progress: called with (places done, places in all).

    Raises:
        ProbeError: too few draws or positions, or passes that meet different sites.

    >>> x = torch.randn(512, 2, generator=torch.Generator().manual_seed(0))
    >>> found = identical(nn.Sequential(nn.Tanh()), [(x[:256], None), (x[256:] + 1, None)])
    >>> apart, chance = (found.values[f"identical_batches{part}"][0, 0] for part in ("", "_null_high"))
    >>> bool(apart > 3 * chance)
    True
    """
    _refuse(draws=draws, positions=positions)
    states = [None] if states is None else list(states)
    train = batches_of(batches_train)
    settings: dict[str, Any] = {"statistics": statistics, "positions": positions}
    passes = sampled(network, train, **settings)
    tested = None
    if batches_test is not None:
        settings_test = settings | {"statistics": test_statistics or statistics}
        tested = joined(sampled(network, batches_of(batches_test), **settings_test))
    then = [joined(sampled(state_of(network, state), train, **settings)) for state in states]
    together = joined(passes)
    same_sites([together, *then, *([tested] if tested else [])])
    coords = coordinates(together.anatomy) | {
        "step": list(range(len(then))),
        "unit": list(range(max(map(len, together.kept.values()), default=0))),
    }
    values = _empty(coords)
    chance = Chance(draws, seed)
    for done, place in enumerate(together.kept):
        at = (place[0], PORTS.index(place[1]))
        _within(values, at, [each.kept[place] for each in passes], chance)
        if tested is not None:
            level = between_groups([together.kept[place], tested.kept[place]], chance)
            _note(values, "test", at, level)
        for step, state in enumerate(then):
            level = between_groups([then[0].kept[place], state.kept[place]], chance)
            _note(values, "time", (step, *at), level)
        if progress is not None:
            progress(done + 1, len(together.kept))
    record = settings | {"draws": draws, "seed": seed}
    record["test_statistics"] = test_statistics or statistics
    described = {name: str(value) for name, value in record.items()}
    return Findings(QUANTITIES, values, coords, described, _notes(together, passes, tested))


def _refuse(*, draws: int, positions: int) -> None:
    if draws < 2:
        raise ProbeError(f"expected 2 draws or more for a null level, found {draws}. Try 19.")
    if positions < 1:
        raise ProbeError(f"expected positions of 1 or more, found {positions}. Try 4.")


def _notes(together: Samples, passes: Sequence[Samples], tested: Samples | None) -> tuple[str, ...]:
    notes = list(together.anatomy.unseen)
    if len(passes) < 2:
        notes.append("identical_batches: a single batch was given; pass a list of two or more")
    if tested is None:
        notes.append("identical_test: no test data was given; pass batches_test")
    return tuple(notes)


def _empty(coords: Mapping[str, Any]) -> dict[str, Tensor]:
    sizes = {dim: len(coords[dim]) for dim in ("step", "site", "port", "unit")}
    return {
        quantity.name: torch.full(
            [sizes[dim] for dim in quantity.dims], torch.nan, dtype=torch.float64
        )
        for quantity in QUANTITIES
    }


def _note(values: Mapping[str, Tensor], name: str, at: tuple[int, ...], level: Level) -> None:
    values[f"identical_{name}"][at] = level.found
    values[f"identical_{name}_null"][at] = level.null
    values[f"identical_{name}_null_high"][at] = level.high


def _within(
    values: Mapping[str, Tensor], at: tuple[int, ...], batches: Sequence[Tensor], chance: Chance
) -> None:
    """The readings that need no second data set and no second state."""
    pooled = torch.cat(list(batches), dim=1)
    if len(batches) > 1:
        _note(values, "batches", at, between_groups(batches, chance))
    _note(values, "units", at, between_units(pooled, chance))
    single = chance.one_position(pooled)
    shape = wasserstein_to_gaussian(standardised(single))
    values["unit_gaussian"][at][: len(shape)] = shape
    found = float(mean_of_varying(shape, single))
    _note(values, "gaussian", at, gaussian_level(found, single, chance))
