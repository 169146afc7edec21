"""Running: only what is missing is done, what went wrong is said. Truth: the toy world's sums."""

import json
from dataclasses import replace

import numpy as np
import pytest

from skipnorm.errors import EvidenceError, StudyError
from skipnorm.studies.manifest import collect, read_manifest
from skipnorm.studies.plan import plan
from skipnorm.studies.run import run
from skipnorm.studies.study import Study, Variant


@pytest.fixture
def done(tmp_path, monkeypatch):
    """The trials that were really measured so far, in order, as the toy networks they built."""
    log = tmp_path / "log"
    log.touch()
    monkeypatch.setenv("TOYWORLD_LOG", str(log))
    return lambda: [float(line) for line in log.read_text().split()]


def test_the_evidence_is_labelled_with_variant_and_seed(toyworld, tmp_path):
    evidence = run(toyworld.study(a=10, b=20), tmp_path / "toy", progress="off")
    assert dict(evidence["value"].sizes) == {"variant": 2, "seed": 3, "site": 2}
    assert evidence["value"].sel(variant="b", seed=2, site="b") == 2 * (20 + 2)
    assert evidence.attrs["skipnorm"]
    assert evidence["value"].attrs["meaning"]


def test_a_finished_study_is_read_and_not_done_again(toyworld, tmp_path, done):
    first = run(toyworld.study(a=10), tmp_path / "toy", progress="off")
    again = run(toyworld.study(a=10), tmp_path / "toy", progress="off")
    assert done() == [10, 11, 12]
    assert first.identical(again)


def test_only_what_is_new_is_done(toyworld, tmp_path, done):
    run(toyworld.study(a=10), tmp_path / "toy", progress="off")
    larger = replace(toyworld.study(a=10, b=20), seeds=range(4))
    evidence = run(larger, tmp_path / "toy", progress="off")
    assert sorted(done()) == [10, 11, 12, 13, 20, 21, 22, 23]
    assert bool(evidence["recorded"].all())


def test_an_interrupt_keeps_what_is_finished(toyworld, tmp_path, done, monkeypatch):
    measure = toyworld.measure

    def interrupted(network, batch, **settings):
        if network == 11:
            raise KeyboardInterrupt
        return measure(network, batch, **settings)

    monkeypatch.setattr(toyworld, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(toyworld.study(a=10), tmp_path / "toy", progress="off")
    monkeypatch.setattr(toyworld, "measure", measure)
    assert collect(tmp_path / "toy").sizes["seed"] == 1
    run(toyworld.study(a=10), tmp_path / "toy", progress="off")
    assert done() == [10, 11, 12]


def failing(toyworld):
    network = toyworld.Number(5.0, fails_on=(1,))
    variants = {
        "bad": Variant(network, toyworld.Counting()),
        "good": Variant(toyworld.Number(), toyworld.Counting()),
    }
    return Study("toy", variants, seeds=range(3))


def test_a_failed_trial_is_recorded_and_the_rest_finishes(toyworld, tmp_path):
    with pytest.raises(StudyError, match="1 of them failed") as caught:
        run(failing(toyworld), tmp_path, progress="off")
    assert "'bad' with seed 1: ValueError: no weights for seed 1" in str(caught.value)
    (path,) = (tmp_path / "failed").rglob("*.json")
    record = json.loads(path.read_text())
    assert (record["variant"], record["seed"]) == ("bad", 1)
    assert "Traceback" in record["details"]
    evidence = run(failing(toyworld), tmp_path, progress="off", failures="keep")
    assert evidence["recorded"].values.sum() == 5
    assert np.isnan(evidence["value"].sel(variant="bad", seed=1)).all()


def test_a_failure_is_forgotten_once_the_trial_succeeds(toyworld, tmp_path, monkeypatch):
    build = toyworld.Number.build
    run(failing(toyworld), tmp_path, progress="off", failures="keep")
    monkeypatch.setattr(toyworld.Number, "build", lambda self, seed: self.gain + seed)
    run(failing(toyworld), tmp_path, progress="off")
    monkeypatch.setattr(toyworld.Number, "build", build)
    assert not list((tmp_path / "failed").rglob("*.json"))


def test_a_study_of_which_everything_fails_raises_whatever_is_asked(toyworld, tmp_path):
    network = toyworld.Number(fails_on=(0, 1, 2))
    study = Study("toy", {"bad": Variant(network, toyworld.Counting())}, seeds=range(3))
    with pytest.raises(StudyError, match="3 of them failed") as caught:
        run(study, tmp_path, progress="off", failures="keep")
    assert "failures='keep'" not in str(caught.value)  # there is no rest to take


def test_a_damaged_file_is_set_aside_and_its_trial_done_again(toyworld, tmp_path, done):
    study = toyworld.study(a=10)
    whole = run(study, tmp_path / "toy", progress="off")
    path = plan(study)[1].evidence_file(tmp_path / "toy")
    path.write_bytes(path.read_bytes()[:1000])
    again = run(study, tmp_path / "toy", progress="off")
    assert done() == [10, 11, 12, 11]
    assert again.equals(whole)
    assert path.with_suffix(".damaged").is_file()


def test_a_finished_study_is_opened_from_one_file_until_it_changes(toyworld, tmp_path, monkeypatch):
    folder = tmp_path / "toy"
    first = run(toyworld.study(a=10), folder, progress="off")
    with monkeypatch.context() as patch:
        patch.setattr("skipnorm.evidence.gather", None)
        assert collect(folder).identical(first)
    larger = run(toyworld.study(a=10, b=20), folder, progress="off")
    assert collect(folder).identical(larger)
    assert larger.sizes["variant"] == 2
    (folder / "evidence.nc").write_bytes(b"damaged")
    assert collect(folder).identical(larger)


def test_nan_is_a_number_like_any_other(toyworld, tmp_path):
    evidence = run(toyworld.study(diverged=float("nan"), fine=1.0), tmp_path, progress="off")
    assert np.isnan(evidence["value"].sel(variant="diverged")).all()
    assert bool(evidence["recorded"].all())


def test_a_variant_keeps_what_it_reduces_to(toyworld, tmp_path):
    variant = replace(toyworld.study(a=1).variants["a"], reduce="toyworld:only_the_sum")
    evidence = run(Study("toy", {"a": variant}, seeds=range(3)), tmp_path, progress="off")
    assert evidence["total"].values.tolist() == [[3, 6, 9]]
    assert "site" not in evidence.dims


def test_a_reduction_to_something_else_is_refused(toyworld, tmp_path):
    variant = replace(toyworld.study(a=1).variants["a"], reduce="toyworld:no_dataset")
    with pytest.raises(StudyError, match=r"expected an xarray\.Dataset"):
        run(Study("toy", {"a": variant}, seeds=range(3)), tmp_path, progress="off")


def test_a_folder_says_what_it_holds(toyworld, tmp_path):
    run(toyworld.study(a=1), tmp_path, progress="off", command="skipnorm run toy")
    manifest = read_manifest(tmp_path)
    assert (manifest.study, manifest.command) == ("toy", "skipnorm run toy")
    assert all(path.is_file() for path in manifest.files)


def test_a_folder_of_another_version_says_so(tmp_path):
    (tmp_path / "study.json").write_text('{"format": 2, "places": []}')
    with pytest.raises(EvidenceError, match="another version: expected format 1, found 2"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}'])
def test_a_damaged_manifest_is_named(tmp_path, text):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(EvidenceError, match="damaged"):
        read_manifest(tmp_path)


def test_a_foreign_folder_is_named(tmp_path):
    with pytest.raises(EvidenceError, match="Not the folder of a study"):
        collect(tmp_path)
    with pytest.raises(EvidenceError, match="no such folder"):
        collect(tmp_path / "none")


def test_a_study_that_has_only_begun_says_how_to_go_on(toyworld, tmp_path):
    from skipnorm.studies.manifest import write_manifest

    write_manifest("toy", plan(toyworld.study(a=1)), tmp_path, command="skipnorm run toy")
    with pytest.raises(EvidenceError, match="`skipnorm run toy`"):
        collect(tmp_path)


@pytest.mark.parametrize("setting", ["executor", "progress"])
def test_an_unknown_name_is_answered_with_the_nearest(toyworld, tmp_path, setting):
    with pytest.raises(StudyError, match="Did you mean"):
        run(
            toyworld.study(a=1),
            tmp_path,
            **{"progress": "off", setting: "in_proces" if setting == "executor" else "lins"},
        )
