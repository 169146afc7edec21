"""lint itself: the value that it returns, what it prints, the program, and that it looks and does not touch."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import skipnorm as sn
from skipnorm.audit.lint import RULES
from skipnorm.errors import AnatomyError

MODEL = """
import torch
from torch import nn

def faulty():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), torch.randn(6, 3, 8, 8)

def noted():
    return nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 5)), torch.randn(6, 5)

def clean():
    return nn.Sequential(nn.Linear(5, 5, bias=False), nn.ReLU()), torch.randn(6, 5)
"""


def faulty() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3),
        nn.BatchNorm2d(6),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(96, 7),
        nn.BatchNorm1d(7),
    )


X = torch.randn(9, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_the_value_is_a_sequence_warnings_first():
    lint = sn.lint(faulty(), X)
    assert isinstance(lint[0], sn.Finding)
    assert len(lint) == len(list(lint)) == len(lint.warnings) + len(lint.notes)
    assert tuple(lint) == lint.warnings + lint.notes
    assert [each.sites[0] for each in lint.of("bias-before-norm")] == ["0", "3", "7"]
    assert lint == sn.lint(faulty(), X), "the same architecture, the same findings"
    assert hash(lint[0])


def test_it_prints_as_a_table_that_counts():
    text = str(sn.lint(faulty(), X))
    assert text.startswith("Sequential: 4 warnings · 3 notes")
    assert "warning   bias-before-norm           3      17 parameters" in text
    assert all(len(line) <= 120 for line in text.splitlines())
    assert "Ioffe & Szegedy 2015" in text


def test_repeated_blocks_are_counted_and_not_listed():
    blocks = [part for _ in range(9) for part in (nn.Linear(5, 5), nn.BatchNorm1d(5), nn.ReLU())]
    text = str(sn.lint(nn.Sequential(*blocks), torch.randn(9, 5)))
    assert "* (9)" in text


def test_nothing_found_says_so():
    lint = sn.lint(nn.Sequential(nn.Linear(5, 5), nn.ReLU()), torch.randn(2, 5))
    assert not lint
    assert str(lint) == "Sequential: nothing found"
    assert lint.to_dicts() == []


def test_dicts_are_plain():
    dicts = sn.lint(faulty(), X).to_dicts()
    assert json.loads(json.dumps(dicts)) == dicts
    assert dicts[0]["rule"] == "bias-before-norm"
    assert dicts[0]["parameters"] == 4


def test_a_notebook_gets_html_in_which_nothing_is_markup():
    html = sn.lint(faulty(), X)._repr_html_()
    assert html.count("<tr>") == len(sn.lint(faulty(), X))
    assert "->" not in html.replace("-&gt;", "")


def test_rules_can_be_left_out_by_name():
    lint = sn.lint(faulty(), X)
    assert not lint.without("bias-before-norm").of("bias-before-norm")
    with pytest.raises(KeyError, match="Did you mean 'bias-before-norm'"):
        lint.without("bias-before-norms")


def test_every_finding_has_a_rule_a_reason_a_source_and_a_fix():
    network = faulty()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.1)
    for each in sn.lint(network, X, optimizer=optimizer):
        assert each.rule in RULES
        assert all((each.reason, each.source, each.fix, each.sites))


@pytest.mark.parametrize("training", [True, False])
def test_looking_changes_nothing(training):
    network = faulty().train(training)
    network[4].eval()
    network(X).sum().backward() if training else None
    before = {name: each.clone() for name, each in network.state_dict().items()}
    grads = [p.grad for p in network.parameters()]
    held = [dict(vars(each)) for each in network.modules()]
    kinds = [type(each) for each in network.modules()]
    state, x = torch.get_rng_state(), X.clone()
    sn.lint(network, X, optimizer=torch.optim.SGD(network.parameters(), weight_decay=0.1))
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())
    assert all(p.grad is g for p, g in zip(network.parameters(), grads, strict=True))
    assert held == [dict(vars(each)) for each in network.modules()]
    assert kinds == [type(each) for each in network.modules()]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(X, x)


def test_also_when_it_raises():
    network = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Linear(5, 5))
    with pytest.raises(AnatomyError, match="expected Sequential to run"):
        sn.lint(network, torch.randn(8, 4))
    assert int(network[0].num_batches_tracked) == 0
    assert type(network[0]) is nn.BatchNorm1d


def test_inputs_by_name_and_dicts_as_outputs():
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.map = nn.LayerNorm(5), nn.Linear(5, 5)

        def forward(self, *, signal, keep=False):
            h = self.norm(signal)
            return {"logits": self.map(h), "hidden": h if keep else None}

    network, x = Named(), torch.randn(2, 5)
    assert len(sn.lint(network, signal=x).of("foldable-gain")) == 1
    assert not sn.lint(network, signal=x, keep=True).of("foldable-gain"), "it is returned"


def test_torchs_own_transformer_layer_in_both_modes():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
    for training in (True, False):
        findings = sn.lint(layer.train(training), torch.randn(2, 5, 8)).of("foldable-gain")
        assert [each.sites for each in findings] == [("norm2", "linear1")]


def test_the_page_shows_what_lint_prints(capsys):
    text = (Path(__file__).parents[2] / "docs" / "lint.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    exec(compile(block, "lint.md", "exec"), {})
    printed = capsys.readouterr().out
    shown = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    table = [
        line for line in shown if line.startswith(("Sequential", "severity", "warning", "note"))
    ]
    assert len(table) == 4
    assert all(line in printed.splitlines() for line in table)
    assert all(f"`{rule}`" in text for rule in RULES)


# The program --------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path):
    name = "linted_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODEL)
    return name


@pytest.mark.parametrize(
    ("target", "words", "code"),
    [
        ("faulty", [], 1),
        ("faulty", ["--ignore", "bias-before-norm"], 0),
        ("faulty", ["--input", "7x3x8x8"], 1),
        ("noted", [], 0),
        ("clean", [], 0),
        ("clean", ["--weight-decay", "0.1"], 0),
    ],
)
def test_the_exit_code_tells_whether_there_are_warnings(skipnorm, model, target, words, code):
    done = skipnorm("lint", f"{model}:{target}", *words)
    assert done.exit_code == code, done.output
    assert ("nothing found" in done.stdout) == (target == "clean")


def test_the_program_prints_json(skipnorm, model):
    done = skipnorm("lint", f"{model}:faulty", "--json")
    assert done.exit_code == 1
    first = json.loads(done.stdout)[0]
    assert (first["rule"], first["severity"], first["sites"]) == (
        "bias-before-norm",
        "warning",
        ["0", "1"],
    )


def test_the_program_asks_about_weight_decay(skipnorm, model):
    done = skipnorm("lint", f"{model}:noted", "--weight-decay", "0.1", "--json")
    assert {each["rule"] for each in json.loads(done.stdout)} == {"foldable-gain", "decayed-norm"}


def test_an_unknown_rule_is_told_the_nearest(skipnorm, model):
    done = skipnorm("lint", f"{model}:faulty", "--ignore", "bias-before-nrm")
    assert done.exit_code == 1
    assert "Did you mean 'bias-before-norm'?" in done.output
