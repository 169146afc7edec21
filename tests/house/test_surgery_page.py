"""docs/surgery.md: its code runs, it names every operation, and what it says of compiling is so."""

import inspect
import re
from pathlib import Path

import pytest
import torch

import skipnorm as sn
from skipnorm import surgery
from skipnorm.cli.orders import OPERATIONS

PAGE = (Path(__file__).parents[2] / "docs" / "surgery.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
EVERY = {
    name
    for name in surgery.__all__
    if inspect.isclass(kind := getattr(surgery, name))
    and issubclass(kind, surgery.Operation)
    and kind is not surgery.Operation
}


def test_the_page_runs(capsys):
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/surgery.md", "exec"), names)
    assert "CutSkips(where='blocks.[23].*', expect=2): 2 sites" in capsys.readouterr().out
    assert len(BLOCKS) > len(EVERY)


def test_every_operation_has_a_section_a_row_and_a_short_form():
    for name in EVERY:
        assert f"### {name}\n" in PAGE
        assert f"| [{name}](#{name.lower()}) |" in PAGE
    assert set(OPERATIONS) == EVERY


@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_section_has_a_picture_code_a_price_and_a_warning(name):
    section = re.split(r"^#{2,3} ", PAGE.partition(f"### {name}\n")[2], maxsplit=1, flags=re.M)[0]
    for part in ("```text\n", "```python\n", "*Costs*", "*Misleads*"):
        assert part in section, part
    assert name in section


def row(name: str) -> list[str]:
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| [{name}]"))
    return [cell.strip() for cell in line.strip("|").split("|")]


ASKED = {
    "SwapNorm": {"to": "layer"},
    "MoveNorm": {"to": "after_activation"},
    "InsertNorm": {"to": "layer", "where": "stem"},
    "ScaleSkips": {"branch": 0.5},
    "Reinitialize": {"scheme": "looks_linear"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EVERY))
def test_what_the_page_says_of_compiling(name):
    plain = name == "AddSkips"
    recipe = sn.Perceptron(
        residual=not plain, norm="batch", order=None if plain else "original", depth=2, width=6,
        inputs=6, activation="crelu" if name == "Reinitialize" else "relu",
    ) if name != "Reinitialize" else sn.Perceptron(depth=2, width=6, inputs=6)  # fmt: skip
    network, x = recipe.build(seed=0), torch.randn(4, 6)
    if name in ("FoldNorm", "NoisyNorm"):
        network = network.eval()
    operation = getattr(sn, name)(**ASKED.get(name, {}))
    altered = sn.operate(network, operation, inputs=x)
    says = row(name)[3]
    torch._dynamo.reset()
    compiled = torch.compile(altered, backend="eager")
    if says == "refused":
        with pytest.raises(sn.SurgeryError, match="compiled"):
            compiled(x)
    else:
        assert says.startswith("yes")
        assert torch.allclose(compiled(x), altered(x), atol=1e-6)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_what_the_page_says_of_doing_it_twice(name):
    residual = name not in ("AddSkips", "FoldNorm", "Reinitialize")
    norm = "none" if name == "InsertNorm" else "batch"
    recipe = sn.Perceptron(residual=residual, norm=norm, depth=2, width=6, inputs=6)
    network, x = recipe.build(seed=1).eval(), torch.randn(4, 6)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    asked = {
        "SwapNorm": {"to": "none"}, "InsertNorm": {"to": "layer"}, "Reinitialize": {"scheme": "he"},
    }.get(name, ASKED.get(name, {}))  # fmt: skip
    operation = getattr(sn, name)(**asked)
    once, says = sn.operate(network, operation, inputs=x), row(name)[5]
    if says.startswith("error") or name == "SwapNorm":
        with pytest.raises(sn.SurgeryError):
            sn.operate(once, operation, inputs=x)
        return
    twice = sn.operate(once, operation, inputs=x)
    assert torch.equal(once(x), twice(x)) == (says == "as once" or name == "NoisyNorm")
    assert (once(x) == network(x)).all() == (
        name not in ("ScaleSkips", "PermuteBlocks", "Reinitialize", "RemoveAffine")
    )
