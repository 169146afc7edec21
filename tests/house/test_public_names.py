"""The public names: complete, sorted, and loaded no sooner than they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skipnorm

SOURCE = ast.parse(Path(skipnorm.__file__).read_text(encoding="utf-8"))


def names_for_type_checkers() -> set[str]:
    (block,) = (node for node in SOURCE.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_public_name_has_one_home_and_a_type():
    assert set(skipnorm.__all__) == set(skipnorm._HOME_OF) == names_for_type_checkers()


def test_public_names_are_listed_once_and_in_order():
    assert len(set(skipnorm.__all__)) == len(skipnorm.__all__)
    classes = [name for name in skipnorm.__all__ if name[0].isupper()]
    functions = [name for name in skipnorm.__all__ if name[0].islower()]
    assert skipnorm.__all__ == sorted(classes) + sorted(functions)
    assert dir(skipnorm) == sorted([*skipnorm.__all__, "__version__"])


@pytest.mark.parametrize("name", skipnorm.__all__)
def test_every_public_name_can_be_had(name: str):
    assert callable(getattr(skipnorm, name))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no public name 'anatomi'"):
        _ = skipnorm.anatomi


def test_importing_skipnorm_imports_no_other_library():
    heavy = "torch", "numpy", "xarray", "scipy", "plotly", "pandas"
    code = f"import sys, skipnorm; print([name for name in {heavy} if name in sys.modules])"
    assert run(code) == "[]"


@pytest.mark.parametrize(
    "first",
    ["import skipnorm.anatomy.sites", "import skipnorm.anatomy.discover", "pass"],
)
def test_anatomy_is_a_function_whatever_was_imported_first(first: str):
    code = f"{first}\nimport skipnorm as sn, torch\n"
    code += "print(len(sn.anatomy(torch.nn.ReLU(), torch.randn(2, 3)).activations))"
    assert run(code) == "1"
