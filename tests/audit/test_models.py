"""What can be audited: functions, recipes, and models by name, the libraries played by stand-ins."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

import skipnorm as sn
from skipnorm.audit.models import Model, model_of
from skipnorm.errors import StudyError
from skipnorm.studies.identity import canonical

TASK = sn.Digits()


def build() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.LayerNorm(4))


def test_equal_seeds_give_equal_weights_and_others_do_not():
    model, place = model_of(build, TASK)
    weights = [model.build(seed)[1].weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert place.endswith("test_models:build")


def test_a_function_is_known_by_the_text_of_its_file():
    one, other = Model(build, "as it is"), Model(build, "as it was")
    assert canonical(one) == canonical(Model(build, "as it is")) != canonical(other)


def test_a_recipe_is_itself_and_a_function_may_return_one():
    recipe = sn.Perceptron(depth=1, norm="layer")
    assert model_of(recipe, TASK) == (recipe, "")
    made = Model("skipnorm.networks.recipe:Perceptron").build(0)
    assert isinstance(made, nn.Module)


def test_what_makes_no_network_is_refused():
    with pytest.raises(StudyError, match="found int"):
        model_of(3, TASK)
    with pytest.raises(StudyError, match="should return a torch"):
        Model("math:inf.hex").build(0)
    with pytest.raises(StudyError, match="cannot load"):
        model_of(lambda: build(), TASK)


def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the library: it knows one name, and the arguments that the real one takes."""
    stand_in = ModuleType("timm")

    def create_model(name: str, *, pretrained: bool, num_classes: int, in_chans: int) -> nn.Module:
        assert not pretrained
        return nn.Sequential(
            nn.Conv2d(in_chans, 4, 3), nn.BatchNorm2d(4), nn.Linear(6, num_classes)
        )

    stand_in.create_model, stand_in.is_model = create_model, "resnet18".__eq__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", stand_in)


@pytest.mark.parametrize("name", ["timm:resnet18", "resnet18"])
def test_a_model_of_timm_is_built_for_the_task(name: str, monkeypatch: pytest.MonkeyPatch):
    timm(monkeypatch)
    model, place = model_of(name, TASK)
    network = model.build(0)
    assert (network[0].in_channels, network[2].out_features, place) == (1, 10, name)


def test_a_name_that_timm_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch):
    timm(monkeypatch)
    with pytest.raises(StudyError, match="timm knows no model 'resnet81'"):
        model_of("resnet81", TASK)


def test_without_the_library_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(StudyError, match="pip install timm"):
        model_of("timm:resnet18", TASK)


def test_a_model_of_hugging_face_is_built_from_its_configuration(monkeypatch: pytest.MonkeyPatch):
    config = SimpleNamespace(num_labels=2, num_channels=3)
    stand_in = ModuleType("transformers")
    made = SimpleNamespace(
        from_config=lambda given: nn.Linear(given.num_channels, given.num_labels)
    )
    found = SimpleNamespace(from_pretrained=lambda name: config)
    stand_in.AutoConfig, stand_in.AutoModelForImageClassification = found, made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", stand_in)
    model, _ = model_of("hf:somebody/resnet", TASK)
    network = model.build(0)
    assert (network.in_features, network.out_features) == (1, 10)


def test_the_example_has_thirty_lines_or_so_and_can_be_looked_at(monkeypatch: pytest.MonkeyPatch):
    folder = Path(__file__).parents[2] / "examples"
    monkeypatch.syspath_prepend(str(folder))
    model, _ = model_of("audited:build", TASK)
    sites = sn.anatomy(model.build(0), TASK.batch(4, 0)[0])
    assert (len(sites.norms), len(sites.skips)) == (7, 3)
    assert len((folder / "audited.py").read_text().splitlines()) <= 40
