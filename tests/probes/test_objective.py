"""A batch is taken apart and its loss found, or the refusal says what to do.

Source of truth: the contract of `sn.measure`, and the house rule that an error says what was expected,
what was found and what to try.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import skipnorm as sn
from skipnorm.errors import ProbeError
from skipnorm.probes.objective import inputs_of, loss_of


class Dressed(nn.Module):
    """Returns whatever `dress` makes of its output."""

    def __init__(self, dress: Any) -> None:
        super().__init__()
        self.fc, self.dress = nn.Linear(4, 3), dress

    def forward(self, x: Tensor, y: Tensor | None = None, labels: Tensor | None = None) -> Any:
        outputs = torch.relu(self.fc(x if y is None else x + y))
        return self.dress(outputs) if labels is None else {"loss": (outputs - labels).abs().sum()}


X, REAL, CLASSES = torch.ones(5, 4), torch.zeros(5, 3), torch.zeros(5, dtype=torch.long)


class Output:
    """As a dataclass of a model library."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


@pytest.mark.parametrize(
    "dress",
    [
        lambda h: h,
        lambda h: (h, 2 * h),
        lambda h: [h],
        lambda h: {"hidden": 2 * h, "logits": h},
        lambda h: {"first": h, "second": 2 * h},
        Output,
    ],
    ids=["tensor", "tuple", "list", "logits", "first", "attribute"],
)
def test_a_named_loss_takes_the_tensor_that_is_meant(dress: Any) -> None:
    network = Dressed(dress)
    expected = float(torch.relu(network.fc(X)).square().mean().detach())
    evidence = sn.measure(network, (X, REAL), loss="mse", probes="gradient")
    assert float(evidence.attrs["loss"]) == pytest.approx(expected)


def test_two_inputs_in_a_tuple_and_by_name() -> None:
    network = Dressed(lambda h: h)
    expected = float(torch.relu(network.fc(2 * X)).square().mean().detach())
    for inputs in ((X, X), [X, X], {"x": X, "y": X}):
        evidence = sn.measure(network, (inputs, REAL), probes="gradient")
        assert float(evidence.attrs["loss"]) == pytest.approx(expected)


def test_the_models_own_loss_comes_first() -> None:
    network = Dressed(lambda h: h)
    expected = float(torch.relu(network.fc(X)).sum().detach())
    evidence = sn.measure(network, {"x": X, "labels": REAL}, probes="gradient")
    assert float(evidence.attrs["loss"]) == pytest.approx(expected)


def test_a_callable_gets_outputs_and_targets_as_they_are() -> None:
    marker = {"any": "thing"}

    def loss(outputs: Any, targets: Any) -> Tensor:
        assert targets == marker
        assert sorted(outputs) == ["logits"]
        return outputs["logits"].sum()

    sn.measure(Dressed(lambda h: {"logits": h}), (X, marker), loss=loss, probes="gradient")


def test_a_loss_of_one_element_is_a_scalar() -> None:
    sn.measure(Dressed(lambda h: h), (X, REAL), loss=lambda o, t: o.sum()[None], probes="gradient")


REFUSALS: dict[str, tuple[Any, Any, str]] = {
    "no targets": (X, None, r"expected a loss, found neither targets.*loss="),
    "named loss without targets": (X, "mse", r"expected targets for the loss 'mse'"),
    "unknown loss": ((X, REAL), "mes", r"loss: .*found 'mes'\. Did you mean 'mse'"),
    "a loss that is no name": ((X, REAL), 5, r"loss"),
    "a list of losses": ((X, REAL), ["mse"], r"loss"),
    "non-scalar": ((X, REAL), lambda o, t: o, r"scalar tensor, found \(5, 3\).*mean"),
    "a float": ((X, REAL), lambda o, t: 1.0, r"scalar tensor, found float"),
    "nothing": ((X, REAL), lambda o, t: None, r"scalar tensor, found NoneType"),
    "detached": ((X, REAL), lambda o, t: o.detach().sum(), r"without gradient.*detach\(\)"),
    "triple": ((X, REAL, X), None, r"found tuple of length 3.*\(\(first, second\), targets\)"),
    "a number": (3.0, None, r"found float"),
}


@pytest.mark.parametrize(("batch", "loss", "message"), REFUSALS.values(), ids=list(REFUSALS))
def test_refusals_say_what_was_expected_and_found(batch: Any, loss: Any, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        sn.measure(Dressed(lambda h: h), batch, loss=loss, probes="gradient")


def test_outputs_without_a_tensor_are_refused() -> None:
    with pytest.raises(ProbeError, match="expected a tensor among the outputs, found dict"):
        sn.measure(
            Dressed(lambda h: {"all": {"deep": h}}), (X, REAL), loss="mse", probes="gradient"
        )


def test_a_loss_that_ignores_the_network_is_refused() -> None:
    """It has a gradient, though none of it reaches a site: zeros or a refusal, not silence."""
    free = torch.ones((), requires_grad=True)
    try:
        evidence = sn.measure(
            Dressed(lambda h: h), (X, REAL), loss=lambda o, t: free * 2, probes="gradient"
        )
    except ProbeError:
        return
    assert "notes" in evidence.attrs


def test_taking_apart_keeps_what_is_inside() -> None:
    assert inputs_of((X, None)) == ((X,), {}, None)
    assert inputs_of(((X, "a"), REAL))[0] == (X, "a")
    assert inputs_of(({"x": X}, REAL))[1] == {"x": X}
    assert inputs_of([X, REAL])[2] is REAL


def test_the_loss_is_returned_as_a_scalar_tensor() -> None:
    outputs = torch.ones(2, 2, requires_grad=True)
    assert loss_of(outputs, torch.zeros(2, 2), "mse").shape == ()
