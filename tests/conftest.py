"""What holds for every test: one thread, a random state of its own, torch only where it is used."""

import os
import random
import sys
from collections.abc import Iterator

import pytest

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"


@pytest.fixture(autouse=True)
def own_random_state() -> Iterator[None]:
    """Start every test from the same random state, and leave none behind."""
    state = random.getstate()
    random.seed(0)
    torch = sys.modules.get("torch")
    if torch is None:
        yield
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield
    random.setstate(state)
