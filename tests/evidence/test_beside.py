"""Readings of one trial beside each other, and trials with rates and steps. Truth: where each number was put."""

import numpy as np
import pytest
import xarray as xr

from skipnorm.errors import EvidenceError
from skipnorm.evidence import beside, gather, read, write

MEANING = {"unit": "1", "meaning": "a number", "source": "definition"}


def reading(name: str, **sites: float) -> xr.Dataset:
    kinds = ("site", ["norm"] * len(sites))
    values = ("site", list(sites.values()), MEANING)
    return xr.Dataset({name: values}, {"site": list(sites), "kind": kinds}, {"network": "net"})


def at(step: int, **more: object) -> dict[str, object]:
    return {"variant": "a", "seed": 0, **more, "step": step}


def test_every_number_is_where_its_step_and_site_are():
    whole = beside(
        [
            (reading("one", z=1.0, b=2.0), at(0)),
            (reading("one", z=3.0, b=np.nan), at(10)),
            (reading("two", z=5.0, m=6.0), at(10)),
        ]
    )
    assert whole["one"].dims == ("variant", "seed", "step", "site")
    assert whole["site"].values.tolist() == ["z", "b", "m"]
    assert whole["one"].sel(step=0).values.squeeze().tolist()[:2] == [1, 2]
    assert float(whole["one"].sel(step=10, site="z").item()) == 3
    assert whole["two"].sel(step=0).isnull().all()
    assert whole["kind"].dims == ("site",)
    assert whole.attrs == {"network": "net"}


def test_one_variable_from_two_readings_is_refused():
    with pytest.raises(EvidenceError, match="'one' is given twice"):
        beside([(reading("one", z=1.0), at(0)), (reading("one", z=1.0), at(0))])


def test_a_label_cannot_be_two_things():
    other = reading("two", z=1.0).assign_coords(kind=("site", ["skip"]))
    with pytest.raises(EvidenceError, match="'kind' differs"):
        beside([(reading("one", z=1.0), at(0)), (other, at(0))])


def trial(variant: str, value: float, **place: object) -> xr.Dataset:
    return beside([(reading("one", z=value), {"variant": variant, "seed": 0, **place})])


def test_trials_with_and_without_steps_and_rates_meet(tmp_path):
    grid = [trial("grid", rate, rate=rate, step=0) for rate in (0.3, 0.1)]
    single = trial("single", 7.0, step=0).assign_coords(rate=0.1)
    whole = gather([write(each, tmp_path / f"{n}.nc") for n, each in enumerate([*grid, single])])
    assert whole["one"].dims == ("variant", "seed", "rate", "step", "site")
    assert whole["rate"].values.tolist() == [0.1, 0.3]
    assert whole["recorded"].squeeze().values.tolist() == [[True, True], [True, False]]
    assert whole["one"].squeeze().values[0].tolist() == [0.1, 0.3]
    wider = gather([whole, trial("raw", 9.0)])
    assert wider["rate"].values.tolist() == [0, 0.1, 0.3]
    assert float(wider["one"].sel(variant="raw", rate=0, step=0).item()) == 9
    assert wider["recorded"].values.sum() == 4


def test_without_a_grid_the_rate_is_a_label():
    parts = [
        trial("a", 1.0, step=5).assign_coords(rate=0.1),
        trial("b", 1.0, step=5).assign_coords(rate=0.2),
    ]
    whole = gather(parts)
    assert whole["one"].dims == ("variant", "seed", "step", "site")
    assert whole["rate"].dims == ("variant",)
    assert whole["rate"].values.tolist() == [0.1, 0.2]


def test_a_trial_given_twice_at_one_rate_is_refused():
    with pytest.raises(EvidenceError, match="more than once"):
        gather([trial("grid", 1.0, rate=0.1)] * 2)


def test_whole_numbers_and_text_survive(tmp_path):
    words = xr.Dataset({"cause": ((), "loss", MEANING), "count": ((), 3, MEANING)})
    whole = beside([(words, {"variant": "a", "seed": 0})])
    again = read(write(gather([whole]), tmp_path / "a.nc"))
    assert again["cause"].values.tolist() == [["loss"]]
    assert again["count"].dtype.kind == "i"
