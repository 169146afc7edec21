"""The command that operates. Truth: a network whose sites are counted by hand."""

import json

import pytest

import skipnorm as sn
from skipnorm.cli.main import Ending
from skipnorm.cli.orders import operation
from skipnorm.errors import SurgeryError

MODEL = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.weight = nn.BatchNorm1d(4), nn.Linear(4, 4)

    def forward(self, x):
        return x + self.weight(torch.relu(self.norm(x)))

def build():
    return nn.Sequential(*(Block() for _ in range(3)))

def with_inputs():
    return build(), torch.randn(5, 4)
"""


@pytest.fixture
def mymodel(tmp_path):
    name = "operated_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODEL)
    return f"{name}:with_inputs"


def test_before_after_and_what_changed(skipnorm, mymodel):
    done = skipnorm("operate", mymodel, "--cut-skips", "[12].*", "--swap-norm", "none")
    assert done.exit_code == Ending.DONE, done.output
    text = done.stdout
    assert "Before: Sequential: 3 norms (3 batch) · 3 activations · 3 skips" in text
    assert "  1. CutSkips(where='[12].*'): 2 sites (1.add, 2.add)" in text
    assert "  2. SwapNorm(to='none'): 3 sites" in text
    assert "After: Sequential: 0 norms · 3 activations · 1 skip (1 identity)" in text
    assert "Changes: 5 sites lost (-), 0 gained (+)" in text
    assert "  - 2.add: skip identity (5, 4)" in text


@pytest.mark.parametrize(
    "words",
    [
        ["--swap-norm", "none", "--cut-skips", "0.*", "--do", "InsertNorm(to='layer', expect=3)"],
        ["--swap-norm=none", "--do=CutSkips(where='0.*')", "--insert-norm=layer"],
    ],
)
def test_operations_of_all_kinds_keep_their_order(skipnorm, mymodel, words):
    done = skipnorm("operate", mymodel, *words, "--json")
    assert done.exit_code == Ending.DONE, done.output
    data = json.loads(done.stdout)
    kinds = [each["operation"].partition("(")[0] for each in data["operations"]]
    assert kinds == ["SwapNorm", "CutSkips", "InsertNorm"]
    assert [len(each["sites"]) for each in data["operations"]] == [3, 1, 3]
    assert sum(site["kind"] == "norm" for site in data["after"]) == 3
    assert any(line.startswith("0.add: skip") for line in data["lost"])


def test_what_leaves_the_sites_says_so(skipnorm, mymodel):
    text = skipnorm("operate", mymodel, "--freeze-affine", "*").stdout
    assert "The sites are the same as before." in text
    (line,) = (line for line in text.splitlines() if line.startswith("of them trained"))
    assert line.split()[-2:] == ["84", "60"]  # 3 x (4 x 4 + 4 + 8), of which 3 x 8 are frozen


def test_inputs_as_for_anatomy(skipnorm, mymodel):
    target = mymodel.replace("with_inputs", "build")
    assert skipnorm("operate", target, "-i", "7x4", "--cut-skips", "*").exit_code == Ending.DONE
    done = skipnorm("operate", target, "--cut-skips", "*")
    assert done.exit_code == Ending.FAILED
    assert "--input" in done.stderr


@pytest.mark.parametrize(
    ("words", "ending", "said"),
    [
        ([], Ending.FAILED, "at least one operation"),
        (["--cut-skips", "4.*"], Ending.FAILED, "There are: 0.add, 1.add, 2.add"),
        (["--do", "CutSkips(expect=2)"], Ending.FAILED, "expected 2 skips, found 3"),
        (["--do", "CutSkip()"], Ending.FAILED, "Did you mean 'CutSkips'"),
        (["--do", "CutSkips(wher='0.*')"], Ending.FAILED, "Did you mean 'where'"),
        (["--do", "SwapNorm"], Ending.FAILED, "SwapNorm needs to"),
        (["--do", "CutSkips(where=__import__('os').sep)"], Ending.FAILED, "plain values"),
        (["--do", "print('x')"], Ending.FAILED, "plain values"),
        (["--do", "CutSkips(**{})"], Ending.FAILED, "has no such setting"),
        (["--swap-norm", "nome"], Ending.FAILED, "Did you mean 'none'"),
        (["--cut-skips"], Ending.MISUSED, "needs a value"),
        (["--cut-skips", "--json"], Ending.MISUSED, "needs a value"),
        (["--scale-skips", "half"], Ending.MISUSED, "needs a number"),
        (["--cut-skip", "*"], Ending.MISUSED, "--cut-skips"),
    ],
)
def test_errors_are_sentences(skipnorm, mymodel, words, ending, said):
    done = skipnorm("operate", mymodel, *words)
    assert done.exit_code == ending, done.output
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_help_names_every_short_form(skipnorm):
    from skipnorm.cli.orders import _SHORT

    text = skipnorm("operate", "--help").stdout
    assert all(f"{name} " in text for name in _SHORT)


def test_an_operation_from_text_is_the_operation():
    asked = operation("ScaleSkips(shortcut=-0.5, where=('a.*', 'b.add'), learnable=True)")
    assert asked == sn.ScaleSkips(shortcut=-0.5, where=("a.*", "b.add"), learnable=True)
    assert operation(repr(asked)) == asked
    with pytest.raises(SurgeryError, match="plain values"):
        operation("CutSkips('a.*')")
