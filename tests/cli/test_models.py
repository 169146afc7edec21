"""Commands about a model of one's own. Truth: networks whose sites are known by construction."""

import json
from pathlib import Path

import pytest

from skipnorm.cli.inputs import Draw, inputs_for, parse
from skipnorm.cli.main import Ending
from skipnorm.cli.printing import plain
from skipnorm.errors import StudyError

MODEL = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.weight = nn.LayerNorm(4), nn.Linear(4, 4)

    def forward(self, x):
        return x + torch.relu(self.weight(self.norm(x)))

def build():
    return Block()

def with_inputs():
    return Block(), torch.randn(3, 4)

def with_targets():
    return nn.Sequential(Block(), Block()), torch.randn(3, 4), torch.randn(3, 4)

def of_a_size(size):
    return nn.Linear(size, size)

def no_network():
    return 3

def inputs():
    return torch.randn(5, 4)

network = Block()
"""


@pytest.fixture
def mymodel(tmp_path, monkeypatch):
    """A module of a fresh name for every test, importable from the current directory."""
    name = "model_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODEL)
    return name


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("build", ["--input", "2x4"]),
        ("build", ["-i", "MODULE:inputs"]),
        ("Block", ["--input", "2x4"]),
        ("network", ["--input", "x=2x4"]),
        ("with_inputs", []),
        ("with_inputs", ["--input", "7x4"]),
    ],
)
def test_anatomy_of_a_target(skipnorm, mymodel, target, words):
    words = [word.replace("MODULE", mymodel) for word in words]
    done = skipnorm("anatomy", f"{mymodel}:{target}", *words, "--json")
    assert done.exit_code == Ending.DONE, done.output
    kinds = [site["kind"] for site in json.loads(done.stdout)]
    assert kinds == ["norm", "activation", "skip"]


def test_anatomy_prints_a_table(skipnorm, mymodel):
    text = skipnorm("anatomy", f"{mymodel}:with_inputs").stdout
    assert "1 norm" in text
    assert "3x4" in text


@pytest.mark.parametrize(
    ("target", "words", "says"),
    [
        ("biuld", ["-i", "2x4"], "Did you mean 'build'"),
        ("build", [], "expected --input SHAPE"),
        ("of_a_size", ["-i", "2x4"], "needs size"),
        ("no_network", ["-i", "2x4"], "found int"),
        ("build", ["-i", "2by4"], "An input is a shape such as"),
        ("build", ["-i", "2x4:float46"], "Did you mean 'float64'"),
        ("build", ["-i", "2x4:int64"], "need a limit"),
        ("build", ["-i", "2x4:float32<5"], "Only integers have a limit"),
        ("build", ["-i", "2x4:bool<5"], "Only integers have a limit"),
    ],
)
def test_a_wrong_target_or_input_is_answered_clearly(skipnorm, mymodel, target, words, says):
    done = skipnorm("anatomy", f"{mymodel}:{target}", *words)
    assert done.exit_code == Ending.FAILED
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_module_is_answered_with_its_neighbours(skipnorm, mymodel):
    done = skipnorm("anatomy", f"{mymodel}x:build", "-i", "2x4")
    assert done.exit_code == Ending.FAILED
    assert f"Did you mean {mymodel!r}" in done.stderr


@pytest.mark.parametrize(
    ("target", "words"),
    [("with_inputs", []), ("with_targets", ["--loss", "mse"]), ("build", ["-i", "6x4"])],
)
def test_measure_of_a_target(skipnorm, mymodel, target, words):
    pytest.importorskip("skipnorm.studies.measure")
    done = skipnorm("measure", f"{mymodel}:{target}", *words, "--json", "--out", "kept.nc")
    assert done.exit_code == Ending.DONE, done.output
    assert "mean_square" in json.loads(done.stdout)["data_vars"]
    assert Path("kept.nc").is_file()


def test_measure_prints_a_row_for_every_site(skipnorm, mymodel):
    pytest.importorskip("skipnorm.studies.measure")
    text = skipnorm("measure", f"{mymodel}:with_inputs").stdout
    assert all(kind in text for kind in ("norm", "activation", "skip", "mean sq"))


def test_measure_takes_samples_and_loss_from_a_task(skipnorm, tmp_path):
    pytest.importorskip("skipnorm.studies.measure")
    (tmp_path / "digits_model.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU(), nn.Linear(10, 10))\n"
    )
    done = skipnorm("measure", "digits_model:build", "--task", "digits", "--batch", "16", "--json")
    assert done.exit_code == Ending.DONE, done.output
    wrong = skipnorm("measure", "digits_model:build", "--task", "digit")
    assert "Did you mean 'digits'" in wrong.stderr


def test_inputs_are_drawn_by_their_seed():
    first, again, other = (inputs_for(["4x3", "n=2:int64<7"], seed=s) for s in (0, 0, 1))
    assert first.positional[0].equal(again.positional[0])
    assert not first.positional[0].equal(other.positional[0])
    ((name, numbers),) = first.named
    assert (name, numbers.dtype.is_floating_point) == ("n", False)
    assert 0 <= numbers.min() <= numbers.max() < 7


def test_a_shape_is_read_as_written():
    assert parse("8") == Draw((8,))
    assert parse("2x1x3:bool") == Draw((2, 1, 3), "bool")
    with pytest.raises(StudyError, match="found '2x'"):
        parse("2x")


def test_json_says_nan_and_infinity_in_words():
    text = json.dumps(plain({"a": [float("nan"), float("inf"), 1.5], "b": None}), allow_nan=False)
    assert json.loads(text) == {"a": ["NaN", "Infinity", 1.5], "b": None}
