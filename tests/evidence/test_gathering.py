"""Gathered trials hold every number where it belongs; what never ran is told from what diverged."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.evidence import Quantity, gather, label, write

LOSS = Quantity("loss", ("variant", "seed", "site"), "nat", "loss", "definition")


def trial(variant: str, seed: int, sites: dict[str, float], kind: str = "norm") -> xr.Dataset:
    coords = {
        "variant": [variant],
        "seed": [seed],
        "site": list(sites),
        "kind": ("site", [kind] * len(sites)),
    }
    values = np.array(list(sites.values()))[None, None]
    return label({"loss": values}, [LOSS], coords, {"python": "3.11", "date": f"day {seed}"})


def test_the_outer_join_keeps_every_value_and_the_order_of_execution() -> None:
    whole = gather(
        [trial("plain", 3, {"z": 1.0, "a": 2.0}), trial("skip", 1, {"z": 3.0, "m": np.inf})]
    )
    assert whole["site"].values.tolist() == ["z", "a", "m"]
    assert whole["seed"].values.tolist() == [1, 3]
    assert whole["variant"].values.tolist() == ["plain", "skip"]
    assert float(whole["loss"].sel(variant="plain", seed=3, site="a")) == 2.0
    assert float(whole["loss"].sel(variant="skip", seed=1, site="m")) == np.inf
    assert int(np.isnan(whole["loss"]).sum()) == 12 - 4


def test_a_diverged_trial_is_told_from_one_that_never_ran() -> None:
    whole = gather([trial("plain", 0, {"a": np.nan}), trial("skip", 1, {"a": 1.0})])
    recorded = whole["recorded"]
    assert recorded.dtype == bool
    assert bool(recorded.sel(variant="plain", seed=0))
    assert not bool(recorded.sel(variant="plain", seed=1))


def test_files_and_datasets_gather_alike_and_twice(tmp_path: Path) -> None:
    parts = [trial("plain", seed, {"a": float(seed)}) for seed in range(3)]
    paths = [write(part, tmp_path / f"{n}.nc") for n, part in enumerate(parts)]
    from_files = gather(paths)
    xr.testing.assert_identical(from_files, gather(parts))
    write(from_files, tmp_path / "whole.nc")
    again = gather([tmp_path / "whole.nc", trial("skip", 0, {"a": 9.0})])
    assert again["recorded"].values.tolist() == [[True, True, True], [True, False, False]]


def test_provenance_that_differs_is_kept_from_all() -> None:
    whole = gather([trial("plain", 0, {"a": 1.0}), trial("plain", 1, {"a": 1.0})])
    assert whole.attrs == {"python": "3.11", "date": "day 0 | day 1"}


def test_a_site_label_that_differs_between_variants_belongs_to_both() -> None:
    same = gather([trial("plain", 0, {"a": 1.0}), trial("skip", 0, {"a": 1.0})])
    assert same["kind"].dims == ("site",)
    apart = gather([trial("plain", 0, {"a": 1.0}), trial("skip", 0, {"a": 1.0}, kind="skip")])
    assert apart["kind"].dims == ("variant", "site")
    assert apart["kind"].values.tolist() == [["norm"], ["skip"]]


def test_single_labels_count_as_dimensions_and_whole_numbers_stay_whole() -> None:
    count = Quantity("sites", (), "1", "how many", "definition")
    parts = [
        label({"sites": 4}, [count], {"variant": "plain", "seed": seed}, {}) for seed in (0, 1)
    ]
    whole = gather(parts)
    assert whole["sites"].dims == ("variant", "seed")
    assert whole["sites"].dtype.kind == "i"
    assert whole["sites"].values.tolist() == [[4, 4]]


def test_what_cannot_be_gathered_is_refused() -> None:
    with pytest.raises(EvidenceError, match="at least one trial"):
        gather([])
    with pytest.raises(EvidenceError, match="'plain' with seed 0 was given more than once"):
        gather([trial("plain", 0, {"a": 1.0})] * 2)
    with pytest.raises(EvidenceError, match="has no 'seed'"):
        gather([trial("plain", 0, {"a": 1.0}).isel(seed=0, drop=True)])
    flat = trial("skip", 0, {"a": 1.0}).isel(site=0, drop=True)
    with pytest.raises(EvidenceError, match="'loss' has different dimensions"):
        gather([trial("plain", 0, {"a": 1.0}), flat])
