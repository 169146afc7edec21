"""A landscape that was cut off goes on; foreign and damaged files are set aside; processes agree to the last bit."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from skipnorm.errors import ProbeError
from skipnorm.networks.recipe import ConvNet, Perceptron
from skipnorm.probes.landscape import landscape
from skipnorm.probes.landscape.store import fingerprint


def bits(value: Any) -> bytes:
    return np.asarray(value, dtype=np.float64).tobytes()


def perceptron() -> nn.Module:
    return Perceptron(depth=3, width=8, inputs=4, outputs=3, norm="batch").build(0)


def data(seed: int = 0) -> list[Any]:
    draw = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(6, 4, generator=draw), torch.randint(0, 3, (6,), generator=draw))
        for _ in range(2)
    ]


class Counting(nn.Module):
    """Counts its forwards where the test can see them, and fails on demand."""

    calls = 0
    limit = 10**9

    def __init__(self) -> None:
        super().__init__()
        self.inner = perceptron()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        Counting.calls += 1
        if Counting.calls > Counting.limit:
            raise KeyboardInterrupt
        return self.inner(inputs)


@pytest.fixture(autouse=True)
def unlimited() -> None:
    Counting.calls, Counting.limit = 0, 10**9


def test_what_was_cut_off_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    path, network = tmp_path / "deep" / "points.npz", Counting()
    whole = landscape(network, data(), points=5)
    Counting.calls, Counting.limit = 0, 2 + 2 * 11
    with pytest.raises(KeyboardInterrupt):
        landscape(network, data(), points=5, resume=path)
    assert path.exists()
    Counting.calls, Counting.limit = 0, 10**9
    seen: list[tuple[int, int]] = []
    again = landscape(network, data(), points=5, resume=path, progress=lambda *x: seen.append(x))
    assert bits(again.values["batch_loss"]) == bits(whole.values["batch_loss"])
    assert seen[0] == (11, 25)
    assert seen[-1] == (25, 25)
    assert Counting.calls == 2 + 2 * 14
    Counting.calls = 0
    third = landscape(network, data(), points=5, resume=path)
    assert Counting.calls == 2, "only the reference is found anew"
    assert bits(third.values["loss"]) == bits(whole.values["loss"])
    assert third.notes == ()
    assert [each.name for each in path.parent.iterdir()] == ["points.npz"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skipnorm.probes.landscape.sampler._PATIENCE", 0.0)


@pytest.mark.parametrize(
    "change",
    ["seed", "points", "batch", "weights", "loss", "statistics", "buffers", "activation", "mode"],
)
def test_the_points_of_another_landscape_are_set_aside_and_named(
    tmp_path: Path, change: str
) -> None:
    path, network = tmp_path / "points.npz", perceptron()
    settings: dict[str, Any] = {"along": "line", "points": 3, "loss": "cross_entropy"}
    landscape(network, data(), resume=path, **settings)
    old, batch = path.read_bytes(), data()
    if change in ("seed", "points", "loss", "statistics"):
        new = {"seed": 1, "points": 5, "loss": other_loss, "statistics": "batch"}
        settings[change] = new[change]
    elif change == "batch":
        batch = data(1)
    elif change == "weights":
        next(network.parameters()).data.mul_(1 + 1e-6)
    elif change == "buffers":
        next(network.buffers()).add_(1e-6)
    elif change == "mode":
        network.eval()
    else:
        name = next(name for name, each in network.named_modules() if isinstance(each, nn.ReLU))
        network.set_submodule(name, nn.GELU())
    found = landscape(network, batch, resume=path, **settings)
    (aside,) = tmp_path.glob("*.foreign-1")
    assert aside.read_bytes() == old
    assert aside.name in found.notes[0]
    assert "another landscape" in found.notes[0]
    clean = landscape(network, batch, **settings)
    assert bits(found.values["batch_loss"]) == bits(clean.values["batch_loss"])


def other_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(outputs, targets)


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "pickle"])
def test_a_damaged_file_is_set_aside_and_named(tmp_path: Path, damage: str) -> None:
    path, network = tmp_path / "points.npz", perceptron()
    settings: dict[str, Any] = {"along": "line", "points": 3}
    first = landscape(network, data(), resume=path, **settings)
    whole = path.read_bytes()
    path.write_bytes(
        {"cut": whole[: len(whole) // 2], "text": b"mine", "empty": b""}.get(damage, b"")
    )
    if damage == "pickle":
        np.savez(path, kind=np.array([{}], dtype=object))
    for number in (1, 2):
        found = landscape(network, data(), resume=path, **settings)
        assert f"points.npz.damaged-{number}" in found.notes[0]
        assert (tmp_path / f"points.npz.damaged-{number}").exists()
        assert bits(found.values["loss"]) == bits(first.values["loss"])
        path.write_bytes(b"again")


def test_a_place_that_cannot_be_written_is_said_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ProbeError, match="cannot keep the points"):
        landscape(perceptron(), data(), points=3, resume=tmp_path / "file" / "points.npz")
    with pytest.raises(ProbeError, match="found a folder"):
        landscape(perceptron(), data(), points=3, resume=tmp_path)


def test_not_a_number_is_remembered_as_found(tmp_path: Path) -> None:
    network = Counting()
    network.inner = nn.Linear(4, 3)
    network.inner.bias.data.fill_(float("nan"))
    path = tmp_path / "points.npz"
    first = landscape(network, data(), points=3, resume=path)
    Counting.calls = 0
    again = landscape(network, data(), points=3, resume=path)
    assert Counting.calls == 2
    assert np.isnan(first.values["loss"]).all()
    assert np.isnan(again.values["loss"]).all()


def test_fingerprints_tell_precisions_and_bits_apart() -> None:
    one = torch.ones(2)
    assert fingerprint(one) != fingerprint(one.double())
    assert fingerprint(one) != fingerprint(torch.nextafter(one, 2 * one))
    assert fingerprint([1], [2]) != fingerprint([1, 2], [])
    assert fingerprint({"a": one.bfloat16()}) == fingerprint({"a": one.bfloat16()})


def test_processes_find_the_same_to_the_last_bit() -> None:
    network = nn.Sequential(
        ConvNet(depth=3, width=8, norm="batch", dims=2).build(0), nn.Dropout(0.2)
    )
    draw = torch.Generator().manual_seed(0)
    batches = [
        (torch.randn(4, 1, 8, 8, generator=draw), torch.randint(0, 10, (4,), generator=draw))
        for _ in range(2)
    ]
    with torch.autocast("cpu"):
        alone, shared = (
            landscape(network, batches, points=5, statistics="recalibrated", workers=n)
            for n in (1, 2)
        )
    assert bits(alone.values["batch_loss"]) == bits(shared.values["batch_loss"])
    assert len(np.unique(alone.values["batch_loss"])) == 50
    assert not any(parameter.is_shared() for parameter in network.parameters())


def test_what_cannot_travel_is_said_before_any_work() -> None:
    with pytest.raises(ProbeError, match="cannot be sent to another process"):
        landscape(perceptron(), data(), points=3, workers=2, loss=lambda outputs, _: outputs.sum())


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import torch\nfrom skipnorm.probes.landscape import landscape\n"
        "landscape(torch.nn.Linear(2, 1), (torch.ones(1, 2), torch.ones(1, 1)), points=3, workers=2)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False
    )
    assert "if __name__ == '__main__'" in done.stderr
    assert "ProbeError" in done.stderr


@pytest.mark.slow
def test_a_conv_net_resumes_with_workers_what_it_began_without(tmp_path: Path) -> None:
    network = ConvNet(depth=2, width=4, norm="batch", dims=2).build(0)
    batch = (torch.randn(3, 1, 6, 6), torch.randint(0, 10, (3,)))
    path = tmp_path / "points.npz"
    whole = landscape(network, batch, along="line", points=7, resume=path)
    with np.load(path) as stored:
        kept = dict(stored)
    kept["done"][3:] = False
    kept["losses"][3:] = np.nan
    np.savez(path, **kept)
    again = landscape(network, batch, along="line", points=7, resume=path, workers=2)
    assert bits(again.values["loss"]) == bits(whole.values["loss"])
