"""Plans: every pair once, seed by seed; a key changes exactly when its numbers would."""

from dataclasses import replace

import pytest

from skipnorm.errors import StudyError
from skipnorm.studies.plan import plan
from skipnorm.studies.study import Study, Variant


def keys(study):
    return [trial.key for trial in plan(study)]


def test_every_variant_meets_every_seed_and_pairs_stay_together(toyworld):
    trials = plan(toyworld.study(a=1, b=2))
    assert [(t.seed, t.name) for t in trials] == [(s, n) for s in range(3) for n in ("a", "b")]
    assert len({trial.key for trial in trials}) == 6


def test_a_variant_may_be_drawn_with_the_first_seeds_only(toyworld):
    study = toyworld.study(a=1, b=2)
    fewer = replace(study, variants=study.variants | {"b": replace(study.variants["b"], seeds=2)})
    assert [(t.seed, t.name) for t in plan(fewer)] == [
        (s, n) for s in range(3) for n in ("a", "b") if (s, n) != (2, "b")
    ]
    assert set(keys(fewer)) < set(keys(study))
    with pytest.raises(StudyError, match="seeds >= 1"):
        replace(study.variants["b"], seeds=0)


def test_adding_a_seed_or_a_variant_renames_no_trial(toyworld):
    small, large = toyworld.study(a=1), replace(toyworld.study(a=1, b=2), seeds=range(5))
    assert set(keys(small)) < set(keys(large))


@pytest.mark.parametrize(
    "change",
    [
        {"batch": 3},
        {"dtype": "float64"},
        {"reduce": "toyworld:only_the_sum"},
        {"network": ("Number", 2.0)},
        {"task": ("Counting", "other")},
    ],
)
def test_every_setting_that_matters_is_in_the_key(toyworld, change):
    made = {
        name: getattr(toyworld, value[0])(value[1]) if isinstance(value, tuple) else value
        for name, value in change.items()
    }
    variant = toyworld.study(a=1).variants["a"]
    one = Study("toy", {"a": variant}, seeds=range(1))
    other = Study("toy", {"a": replace(variant, **made)}, seeds=range(1))
    assert keys(one) != keys(other)


def test_the_probes_are_in_the_key_and_the_names_are_not(toyworld):
    study = toyworld.study(a=1)
    assert keys(replace(study, probes=("signal",))) != keys(study)
    renamed = Study("another", {"b": study.variants["a"]}, seeds=study.seeds)
    assert keys(renamed) == keys(study)


def test_names_that_no_folder_can_have_never_share_one(toyworld, tmp_path):
    study = toyworld.study(**{"a/b": 1, "a:b": 1, "..": 1, "plain": 1, "Größe": 1})
    folders = {trial.evidence_file(tmp_path).parent for trial in plan(study)}
    assert len(folders) == 5
    assert all(folder.parent == tmp_path / "trials" for folder in folders)


@pytest.mark.parametrize("seeds", [(), (1, 1), (-1, 2), 20])
def test_seeds_are_distinct_and_not_negative(seeds):
    with pytest.raises(StudyError, match="distinct seeds"):
        Study("toy", {"a": Variant(None, None)}, seeds=seeds)


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "a b"])
def test_a_study_has_a_name_that_a_folder_can_have(name):
    with pytest.raises(StudyError, match="folder"):
        Study(name, {"a": Variant(None, None)})


def test_an_empty_study_or_batch_is_refused():
    with pytest.raises(StudyError, match="compares nothing"):
        Study("toy", {})
    with pytest.raises(StudyError, match="at least 1 sample"):
        Variant(None, None, batch=0)
    with pytest.raises(StudyError, match="Did you mean 'float64'"):
        Variant(None, None, dtype="float46")
