"""What every operation has to keep, walked over every operation and several networks.

Source of truth: the definitions of the networks (counts), the patient's own state taken down before and after, torch's
loaders and copiers, and the meaning of each operation: what it must change, and what it must not.
"""

import copy
import functools
import math
import pickle
import re
from collections.abc import Callable

import pytest
import torch
from tests.laws.subjects import Subject
from tests.laws.traces import assert_same_state, snapshot, with_gradients
from tests.surgery.patients import (
    OPERATIONS,
    Patient,
    another,
    cases,
    count,
    in_evaluation,
    patient,
    walk,
    without,
)
from torch import Tensor, nn
from torch.func import functional_call

import skipnorm as sn
from skipnorm.errors import SurgeryError

every_case = pytest.mark.parametrize(("name", "operation"), walk())
every_operation = pytest.mark.parametrize("operation", OPERATIONS)

CHANGES_NO_OUTPUT = ("FreezeAffine", "FoldNorm")


def prepared(name: str, operation: str) -> Patient:
    made = patient(name)
    made.network.train(not in_evaluation(operation))
    return made


@functools.cache
def altered(name: str, operation: str) -> nn.Module:
    """One altered network for all that only looks at it."""
    made = prepared(name, operation)
    return sn.operate(made.network, OPERATIONS[operation], inputs=made.x)


def changes_output(name: str, operation: str) -> bool:
    first, _, kind = operation.partition(" ")
    if first == "SwapNorm":
        families = {
            site.family for site in sn.anatomy(patient(name).network, patient(name).x).norms
        }
        same = (
            "batch" if kind == "static" else kind
        )  # now, in training, the statistics are those of this batch
        return families != {same}
    return first not in CHANGES_NO_OUTPUT


def run(network: nn.Module, x: Tensor, seed: int = 5) -> Tensor:
    """The output, from a fresh copy's statistics and the same noise."""
    torch.manual_seed(seed)
    return copy.deepcopy(network)(x)


# The patient --------------------------------------------------------------------------------------


@every_case
def test_the_patient_is_bit_identical_afterwards(name: str, operation: str) -> None:
    """Weights, buffers, gradients, hooks, mode, whatever else it holds, global flags and random states."""
    made = prepared(name, operation)
    with_gradients(Subject(made.network, None))
    before = snapshot(made.network)
    sn.operate(made.network, OPERATIONS[operation], inputs=made.x)
    assert_same_state(before, snapshot(made.network))


@every_operation
def test_the_patient_is_bit_identical_after_an_error(operation: str) -> None:
    name = (
        next(name for name, each in cases() if each == operation)
        if operation in {each for _, each in cases()}
        else "perceptron"
    )
    made = prepared(name, operation)
    with_gradients(Subject(made.network, None))
    before = snapshot(made.network)
    with pytest.raises(SurgeryError):
        sn.operate(made.network, OPERATIONS[operation], sn.CutSkips(expect=99), inputs=made.x)
    assert_same_state(before, snapshot(made.network))


# Sites --------------------------------------------------------------------------------------------


@every_case
def test_as_many_sites_as_the_definition_says(name: str, operation: str) -> None:
    made = prepared(name, operation)
    (done,) = sn.operations_of(altered(name, operation))
    assert len(done.sites) == len(set(done.sites)) == count(operation, made)
    assert done.operation == OPERATIONS[operation]


@pytest.mark.parametrize(("name", "operation"), without())
def test_no_site_is_an_error_that_lists_what_there_is(name: str, operation: str) -> None:
    made = prepared(name, operation)
    with pytest.raises(SurgeryError) as caught:
        sn.operate(made.network, OPERATIONS[operation], inputs=made.x)
    words = made.refused.get(operation.partition(" ")[0])
    assert re.search(
        words or r"found none\b.*(has no|There are)|a norm that can be folded", str(caught.value)
    )


@every_operation
def test_another_number_than_expected_lists_the_sites(operation: str) -> None:
    found = [name for name, each in cases() if each == operation]
    if not found:
        pytest.skip("has sites in no network here")
    made = prepared(found[0], operation)
    number = count(operation, made)
    settings = {key: value for key, value in vars(OPERATIONS[operation]).items() if key != "expect"}
    wrong = type(OPERATIONS[operation])(**settings, expect=number + 1)
    with pytest.raises(SurgeryError, match=f"expected {number + 1} .*, found {number}: ") as caught:
        sn.operate(made.network, wrong, inputs=made.x)
    right = type(OPERATIONS[operation])(**settings, expect=number)
    (done,) = sn.operations_of(sn.operate(made.network, right, inputs=made.x))
    assert done.sites[0] in str(caught.value)


@every_operation
def test_one_named_site_alone_is_altered(operation: str) -> None:
    """By name, by predicate and by the site itself: the same one."""
    found = [name for name, each in cases() if each == operation and name != "looped"]
    if not found:
        pytest.skip("has sites in no network here")
    made = prepared(found[0], operation)
    first = sn.operations_of(altered(found[0], operation))[0].sites[-1]
    settings = {key: value for key, value in vars(OPERATIONS[operation]).items() if key != "where"}
    outputs = []
    for where in (first, [first], lambda site: site.name == first):
        one = sn.operate(
            made.network, type(OPERATIONS[operation])(**settings, where=where), inputs=made.x
        )
        assert sn.operations_of(one)[0].sites == (first,)
        outputs.append(run(one, made.x))
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


# What comes out -----------------------------------------------------------------------------------


@every_case
def test_it_differs_where_it_should_and_only_there(name: str, operation: str) -> None:
    made = prepared(name, operation)
    before, after = run(made.network, made.x), run(altered(name, operation), made.x)
    if operation == "MoveNorm before":
        pytest.skip("needs a network of its own, see the next test")
    same = torch.allclose(before, after, rtol=1e-9, atol=1e-11)
    assert same != changes_output(name, operation)
    if operation in ("FreezeStatistics", "NoisyNorm", "ScaleSkips drop"):
        made.network.eval()
        quiet = copy.deepcopy(altered(name, operation)).eval()
        assert torch.equal(run(quiet, made.x), run(made.network, made.x))


@every_case
def test_it_trains_three_steps(name: str, operation: str) -> None:
    """All that it still has to learn is seen by the optimiser and learns; what is frozen stands still."""
    network = copy.deepcopy(altered(name, operation)).train()
    x = patient(
        name
    ).x.requires_grad_()  # without branches an encoder has nothing else to differentiate
    kept = {key: value.detach().clone() for key, value in network.named_parameters()}
    optimiser = torch.optim.SGD([each for each in network.parameters() if each.requires_grad], 0.01)
    seen = {id(each) for group in optimiser.param_groups for each in group["params"]}
    ever: set[str] = set()
    for _ in range(3):
        optimiser.zero_grad()
        loss = (network(x) - 1).square().sum() / 10
        loss.backward()
        for key, parameter in network.named_parameters():
            if parameter.grad is None or not parameter.grad.abs().max() > 1e-9:
                parameter.grad = (
                    None  # none but for rounding, as that of a bias in front of a batch norm
                )
            else:
                ever.add(key)
        optimiser.step()
        assert math.isfinite(loss.item())
    for key, parameter in network.named_parameters():
        assert parameter.requires_grad == (id(parameter) in seen)
        assert (key in ever) or torch.equal(parameter, kept[key])
        assert (key not in ever) or not torch.equal(parameter, kept[key])
    assert len(ever) > 2 or operation == "DropBranches"
    new = [key for key in kept if key.endswith("_scale")]
    assert len(new) == {"ScaleSkips learned": 1, "ScaleSkips channels": 2}.get(
        operation, 0
    ) * count(operation, patient(name))
    assert set(new) <= ever


@every_case
def test_types_stay(name: str, operation: str) -> None:
    """In bfloat16, every module of the altered network returns it, as in the original."""
    made = prepared(name, operation)
    narrow, x = made.network.to(torch.bfloat16), made.x.to(torch.bfloat16)
    network = sn.operate(narrow, OPERATIONS[operation], inputs=x)
    wrong: list[str] = []

    def look(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: object, output: object) -> None:
            if isinstance(output, Tensor) and output.dtype is not torch.bfloat16:
                wrong.append(path)

        return hook

    for path, module in network.named_modules():
        module.register_forward_hook(look(path))
    output = network(x)
    assert not wrong
    assert output.dtype is torch.bfloat16
    assert output.shape == narrow(x).shape


# Still a network ----------------------------------------------------------------------------------


@every_case
def test_it_is_still_a_network_of_its_class(name: str, operation: str) -> None:
    made, network = prepared(name, operation), altered(name, operation)
    assert isinstance(network, type(made.network))
    assert type(network).__name__ == type(made.network).__name__
    assert type(network).__module__ == type(made.network).__module__
    assert network.training == made.network.training
    for key, value in vars(made.network).items():
        if not key.startswith("_"):
            assert vars(network)[key] == value
    assert str(OPERATIONS[operation]) in repr(network)
    assert repr(made.network).splitlines()[0].startswith(repr(network).splitlines()[0][:8])
    assert sn.anatomy(network, made.x).network == type(made.network).__name__


@every_case
def test_the_original_comes_back(name: str, operation: str) -> None:
    made = prepared(name, operation)
    back = sn.original(altered(name, operation))
    assert type(back) is type(made.network)
    assert_equal_states(back.state_dict(), made.network.state_dict())
    assert torch.equal(run(back, made.x), run(made.network, made.x))
    forgetful = sn.operate(made.network, OPERATIONS[operation], inputs=made.x, keep_original=False)
    with pytest.raises(SurgeryError, match="keep_original=False"):
        sn.original(forgetful)


@every_case
def test_copies_and_pickles_are_altered_too(name: str, operation: str) -> None:
    network, x = altered(name, operation), patient(name).x
    expected = run(network, x)
    for twin in (
        copy.deepcopy(network),
        pickle.loads(pickle.dumps(network)),
        copy.deepcopy(copy.deepcopy(network)),
    ):
        assert sn.operations_of(twin) == sn.operations_of(network)
        assert str(OPERATIONS[operation]) in repr(twin)
        assert torch.equal(run(twin, x), expected)
        assert not {id(p) for p in twin.parameters()} & {id(p) for p in network.parameters()}


@every_case
def test_a_checkpoint_of_the_altered_network_loads_into_another_such_network(
    name: str, operation: str
) -> None:
    network, x = altered(name, operation), patient(name).x
    other = another(name).train(network.training)
    twin = sn.operate(other, OPERATIONS[operation], inputs=x)
    if operation not in (
        "Reinitialize",
        "DropBranches",
    ):  # those may have nothing of the weights left
        assert not torch.equal(run(twin, x), run(network, x))
    twin.load_state_dict(network.state_dict(), strict=True)
    assert_equal_states(twin.state_dict(), network.state_dict())
    assert torch.equal(run(twin, x), run(network, x))


@every_case
def test_a_checkpoint_of_the_original_loads(name: str, operation: str) -> None:
    """With strict=True; all that the altered network still has of it is then that of the checkpoint."""
    network, checkpoint = copy.deepcopy(altered(name, operation)), another(name).state_dict()
    if operation == "FoldNorm":
        with pytest.raises(RuntimeError, match="Load them before folding"):
            network.load_state_dict(checkpoint, strict=True)
        return
    network.load_state_dict(checkpoint, strict=True)
    state = network.state_dict()
    common = [
        key for key in checkpoint if key in state and state[key].shape == checkpoint[key].shape
    ]
    weights = [key for key, value in checkpoint.items() if value.dim() > 1]
    assert set(weights) <= set(common)
    for key in common:
        assert torch.equal(state[key], checkpoint[key]), key
    with pytest.raises(RuntimeError, match="Missing key"):
        network.load_state_dict({}, strict=True)


@every_case
def test_it_moves_to_another_type(name: str, operation: str) -> None:
    network = copy.deepcopy(altered(name, operation)).to(torch.float32)
    x = patient(name).x.float()
    output = network(x)
    assert output.dtype is torch.float32
    assert all(each.dtype is torch.float32 for each in network.parameters())
    if operation not in ("NoisyNorm", "ScaleSkips drop"):
        torch.testing.assert_close(
            output.double(), run(altered(name, operation), patient(name).x), rtol=1e-3, atol=1e-3
        )


@every_case
def test_it_runs_with_other_weights_in_place_of_its_own(name: str, operation: str) -> None:
    """functional_call: what is held for the operation is replaced too."""
    network, x = copy.deepcopy(altered(name, operation)), patient(name).x
    swapped = {key: 0.7 * value.detach() for key, value in network.named_parameters()}
    torch.manual_seed(5)
    found = functional_call(copy.deepcopy(network), swapped, (x,))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.7)
    torch.testing.assert_close(found, run(network, x), rtol=1e-11, atol=1e-12)


# Once more ----------------------------------------------------------------------------------------

TWICE = {
    "CutSkips": "refused",
    "DropBranches": "refused",
    "ScaleSkips": "again",
    "AddSkips": "refused",
    "PermuteBlocks": "undone",
    "SwapNorm": "idempotent",
    "SwapNorm none": "refused",
    "SwapNorm static": "refused",
    "FoldNorm": "refused",
    "MoveNorm": "refused",
    "InsertNorm": "refused",
    "FreezeAffine": "idempotent",
    "RemoveAffine": "idempotent",
    "FreezeStatistics": "idempotent",
    "NoisyNorm": "again",
    "Reinitialize": "idempotent",
    "StandardizeWeights": "refused",
}


@every_case
def test_twice_is_as_documented(name: str, operation: str) -> None:
    network, x = altered(name, operation), patient(name).x
    fate = TWICE.get(operation, TWICE[operation.partition(" ")[0]])
    if fate == "refused":
        with pytest.raises(SurgeryError):
            sn.operate(network, OPERATIONS[operation], inputs=x)
        return
    twice = sn.operate(network, OPERATIONS[operation], inputs=x)
    assert [done.operation for done in sn.operations_of(twice)] == 2 * [OPERATIONS[operation]]
    if fate == "idempotent":
        assert torch.equal(run(twice, x), run(network, x))
    elif fate == "undone":
        assert torch.equal(run(twice, x), run(prepared(name, operation).network, x))
    else:
        assert not torch.allclose(run(twice, x), run(network, x))
    assert_equal_states(sn.original(twice).state_dict(), patient(name).network.state_dict())


def assert_equal_states(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
