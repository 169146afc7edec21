"""The screen of predictions is complete and needs no torch."""

import subprocess
import sys

from skipnorm.formulas import explosion, kernels, propagation, quadrature, theory


def test_every_prediction_is_listed():
    names = {*explosion.__all__, *kernels.__all__, *propagation.__all__, *quadrature.__all__}
    assert set(theory.__all__) == names - {"SCALAR_ACTIVATIONS"}


def test_predictions_are_read_without_torch():
    script = (
        "import sys\n"
        "import skipnorm.formulas.theory\n"
        "assert 'torch' not in sys.modules and 'scipy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
