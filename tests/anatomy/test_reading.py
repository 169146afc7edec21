"""What is read at a site is what passes there.

Source of truth: a twin of each network, written out of place and without checkpoints, that collects
the same tensors with `retain_grad`. Values and gradients are compared entry by entry, in float64.
"""

import types
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch
from tests.anatomy.adversaries import Written
from tests.probes.recording import See, assert_same_tensors, inner, record, seen
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import skipnorm as sn

WIDTH = 8
DOUBLE = torch.float64


@dataclass
class Twins:
    """A network and a function that computes the same and shows each tensor to `see`."""

    network: nn.Module
    twin: Callable[..., Tensor]
    inputs: tuple[Any, ...] = field(default_factory=lambda: (torch.randn(4, WIDTH, dtype=DOUBLE),))


def fc() -> nn.Linear:
    return nn.Linear(WIDTH, WIDTH)


def conv() -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, padding=1)


def image() -> Tensor:
    return torch.randn(3, 4, 5, 5, dtype=DOUBLE)


# Networks and their twins -------------------------------------------------------------------------


def plain() -> Twins:
    network = nn.Sequential(fc(), nn.LayerNorm(WIDTH), nn.GELU(), fc())

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        h = see(net[0](x), "1:input")
        h = see(F.layer_norm(h, (WIDTH,), net[1].weight, net[1].bias), "1:output", "2:input")
        return net[3](see(F.gelu(h), "2:output"))

    return Twins(network, twin)


def in_place_block() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        y = net.bn2(net.conv2(net.act(net.bn1(net.conv1(x)))))
        y += x
        return net.act(y)

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        x = see(x.clone(), "add:shortcut")
        y = see(net.conv1(x), "bn1:input")
        y = see(standardised(y, net.bn1), "bn1:output", "act:input")
        y = see(net.conv2(see(y.clamp_min(0), "act:output")), "bn2:input")
        y = see(standardised(y, net.bn2), "bn2:output", "add:branch")
        y = see(y + x, "add:output", "act#2:input")
        return see(y.clamp_min(0), "act#2:output")

    network = Written(
        program,
        conv1=conv(),
        bn1=nn.BatchNorm2d(4),
        act=nn.ReLU(inplace=True),
        conv2=conv(),
        bn2=nn.BatchNorm2d(4),
    )
    return Twins(network, twin, (image().requires_grad_(),))


def standardised(y: Tensor, bn: nn.BatchNorm2d) -> Tensor:
    mean = y.mean((0, 2, 3), keepdim=True)
    variance = y.var((0, 2, 3), correction=0, keepdim=True)
    scale, shift = bn.weight[:, None, None], bn.bias[:, None, None]
    return (y - mean) / (variance + bn.eps).sqrt() * scale + shift


def in_place_chain() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        y = net.fc1(x)
        y.mul_(2.0).sub_(0.5)
        y += x
        return y.tanh_()

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        x = see(x.clone(), "add:shortcut")
        y = see(2.0 * net.fc1(x) - 0.5, "add:branch")
        return see(torch.tanh(see(y + x, "add:output", "tanh:input")), "tanh:output")

    return Twins(Written(program, fc1=fc()), twin, (leaf(),))


def leaf() -> Tensor:
    return torch.randn(4, WIDTH, dtype=DOUBLE, requires_grad=True)


def statement() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        y = net.fc2(torch.tanh(net.fc1(x)))
        y.add_(x)
        return torch.tanh(y)

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        x = see(x.clone(), "add:shortcut")
        h = see(torch.tanh(see(net.fc1(x), "tanh:input")), "tanh:output")
        y = see(see(net.fc2(h), "add:branch") + x, "add:output", "tanh#2:input")
        return see(torch.tanh(y), "tanh#2:output")

    return Twins(Written(program, fc1=fc(), fc2=fc()), twin, (leaf(),))


def through_a_view() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        y = net.fc1(x)
        y.view(-1).add_(x.view(-1))
        return torch.tanh(y)

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        x = x.clone()
        flat = see(x.view(-1), "add:shortcut")
        y = see(see(net.fc1(x).view(-1), "add:branch") + flat, "add:output")
        return see(torch.tanh(see(y.view(4, WIDTH), "tanh:input")), "tanh:output")

    return Twins(Written(program, fc1=fc()), twin, (leaf(),))


def input_overwritten() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        x.relu_()
        return x + net.fc1(x)

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        y = see(F.relu(see(x.clone(), "relu:input")), "relu:output", "add:shortcut")
        return see(y + see(net.fc1(y), "add:branch"), "add:output")

    return Twins(Written(program, fc1=fc()), twin, (leaf(),))


def highway() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        h, t = torch.tanh(net.fc1(x)), torch.sigmoid(net.gate(x))
        return t * h + (1 - t) * x

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        h, t = gated(net, see, x)
        branch, shortcut = see(t * h, "add:branch"), see((1 - t) * x, "add:shortcut")
        return see(branch + shortcut, "add:output")

    return Twins(Written(program, fc1=fc(), gate=fc()), twin, (leaf(),))


def gated(net: Any, see: See, x: Tensor) -> tuple[Tensor, Tensor]:
    h = see(torch.tanh(see(net.fc1(x), "tanh:input")), "tanh:output")
    t = see(torch.sigmoid(see(net.gate(x), "sigmoid:input")), "sigmoid:output")
    return h, t


def lerp() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        return torch.lerp(x, torch.tanh(net.fc1(x)), torch.sigmoid(net.gate(x)))

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        h, t = gated(net, see, x)
        branch, shortcut = see(t * h, "lerp:branch"), see((1 - t) * x, "lerp:shortcut")
        return see(branch + shortcut, "lerp:output")

    return Twins(Written(program, fc1=fc(), gate=fc()), twin, (leaf(),))


def addcmul() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        h, t = torch.tanh(net.fc1(x)), torch.sigmoid(net.gate(x))
        return torch.addcmul(x, t, h, value=0.5)

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        h, t = gated(net, see, x)
        shortcut, branch = see(x, "addcmul:shortcut"), see(t * h * 0.5, "addcmul:branch")
        return see(shortcut + branch, "addcmul:output")

    return Twins(Written(program, fc1=fc(), gate=fc()), twin, (leaf(),))


def stack_sum() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        return torch.stack([x, torch.tanh(net.fc1(x))]).sum(0)

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        h = see(torch.tanh(see(net.fc1(x), "tanh:input")), "tanh:output")
        shortcut, branch = see(x.clone(), "sum:shortcut"), see(h.clone(), "sum:branch")
        return see(shortcut + branch, "sum:output")

    return Twins(Written(program, fc1=fc()), twin, (leaf(),))


def scaled_sum() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        return torch.add(x, torch.tanh(net.fc1(x)), alpha=0.3)

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        h = see(torch.tanh(see(net.fc1(x), "tanh:input")), "tanh:output")
        shortcut, branch = see(x, "add:shortcut"), see(0.3 * h, "add:branch")
        return see(shortcut + branch, "add:output")

    return Twins(Written(program, fc1=fc()), twin, (leaf(),))


def difference() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        return torch.sub(x, other=torch.tanh(net.fc1(x)), alpha=0.3)

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        h = see(torch.tanh(see(net.fc1(x), "tanh:input")), "tanh:output")
        shortcut, branch = see(x, "sub:shortcut"), see(-0.3 * h, "sub:branch")
        return see(shortcut + branch, "sub:output")

    return Twins(Written(program, fc1=fc()), twin, (leaf(),))


class Block(nn.Module):
    """Two residual steps; `via` says how its second one is reached."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1, self.fc2, self.norm = fc(), fc(), nn.LayerNorm(WIDTH)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        h = x + self.drop(torch.tanh(self.fc1(x)))
        return h + torch.sigmoid(self.fc2(self.norm(h)))


def block_twin(block: Block, see: See, x: Tensor, name: str) -> Tensor:
    norm = block.norm
    see(x, f"{name}.add:shortcut")
    h = see(torch.tanh(see(block.fc1(x), f"{name}.tanh:input")), f"{name}.tanh:output")
    h = see(block.drop(h), f"{name}.add:branch")
    h = see(x + h, f"{name}.add:output", f"{name}.add#2:shortcut", f"{name}.norm:input")
    y = see(F.layer_norm(h, (WIDTH,), norm.weight, norm.bias), f"{name}.norm:output")
    y = see(torch.sigmoid(see(block.fc2(y), f"{name}.sigmoid:input")), f"{name}.sigmoid:output")
    see(y, f"{name}.add#2:branch")
    return see(h + y, f"{name}.add#2:output")


def shared() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        return net.block(net.block(net.block(x)))

    return Twins(Written(program, block=Block()), thrice_twin)


def thrice_twin(net: Any, see: See, x: Tensor) -> Tensor:
    x = block_twin(net.block, see, x.clone().requires_grad_(), "block")
    return block_twin(net.block, see, block_twin(net.block, see, x, "block#2"), "block#3")


def embedding_first() -> Twins:
    def program(net: Any, ids: Tensor) -> Tensor:
        return net.block(net.embedding(ids))

    def twin(net: Any, see: See, ids: Tensor) -> Tensor:
        embedded = net.embedding(ids).detach().requires_grad_()
        return block_twin(net.block, see, embedded, "block")

    network = Written(program, embedding=nn.Embedding(9, WIDTH), block=Block())
    return Twins(network, twin, (torch.randint(9, (2, 3)),))


def frozen_embedding_first() -> Twins:
    case = embedding_first()
    case.network.requires_grad_(False)
    return case


def detached_in_the_middle() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        return net.second(net.first(x).detach())

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        y = block_twin(net.first, see, x, "first")
        return block_twin(net.second, see, y.detach().requires_grad_(), "second")

    return Twins(Written(program, first=Block(), second=Block()), twin, (leaf(),))


def without_gradient_in_the_middle() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        with torch.no_grad():
            gate = torch.sigmoid(net.gate(x))
        return x + gate * net.fc1(x)

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        with torch.no_grad():
            gate = see(torch.sigmoid(see(net.gate(x), "sigmoid:input")), "sigmoid:output")
        see(x, "add:shortcut")
        return see(x + see(gate * net.fc1(x), "add:branch"), "add:output")

    return Twins(Written(program, fc1=fc(), gate=fc()), twin, (leaf(),))


def written_through_a_detached_alias() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        y = net.fc1(x)
        y.detach().mul_(0.5)  # memory is shared: y is halved, and autograd does not know
        return torch.tanh(net.fc2(y))

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        y = net.fc1(x)
        y = y - (0.5 * y).detach()
        return see(torch.tanh(see(net.fc2(y), "tanh:input")), "tanh:output")

    return Twins(Written(program, fc1=fc(), fc2=fc()), twin, (leaf(),))


def written_through_data() -> Twins:
    case = written_through_a_detached_alias()

    def program(net: Any, x: Tensor) -> Tensor:
        y = net.fc1(x)
        y.data.mul_(0.5)
        return torch.tanh(net.fc2(y))

    case.network.program = program
    return case


def looked_at_on_the_way() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        y = net.fc1(x)
        scale = float(y.detach().abs().max()) + float(y.detach().cpu().numpy().max())
        return torch.tanh(y / scale)

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        y = net.fc1(x)
        scale = float(y.abs().max().detach()) + float(y.max().detach())
        return see(torch.tanh(see(y / scale, "tanh:input")), "tanh:output")

    return Twins(Written(program, fc1=fc()), twin, (leaf(),))


def nested_inputs() -> Twins:
    def program(net: Any, batch: dict[str, Any], *, more: list[Tensor]) -> Any:
        return net.block(batch["first"][0] + net.fc1(more[0]))

    def twin(net: Any, see: See, x: Tensor, y: Tensor) -> Tensor:
        return block_twin(net.block, see, x + net.fc1(y), "block")

    return Twins(Written(program, block=Block(), fc1=fc()), twin, (leaf(), leaf()))


class HandRMSNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(WIDTH) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x / x.pow(2).mean(-1, keepdim=True).add(1e-6).sqrt()


def leaf_norm() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        return x + torch.tanh(net.norm(net.fc1(x)))

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        h = see(net.fc1(see(x, "add:shortcut")), "norm:input")
        h = see(net.norm(h), "norm:output", "tanh:input")
        return see(x + see(torch.tanh(h), "tanh:output", "add:branch"), "add:output")

    return Twins(Written(program, fc1=fc(), norm=HandRMSNorm()), twin, (leaf(),))


class OverwritingSwish(nn.Module):
    """Saves memory by writing into its input, as timm's does."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(x.sigmoid())


def leaf_in_place() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        return x + net.swish(net.fc1(x))

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        h = see(net.fc1(see(x, "add:shortcut")), "swish:input")
        return see(x + see(h * torch.sigmoid(h), "swish:output", "add:branch"), "add:output")

    return Twins(Written(program, fc1=fc(), swish=OverwritingSwish()), twin, (leaf(),))


def concatenated() -> Twins:
    def program(net: Any, x: Tensor) -> Tensor:
        return torch.cat([net.fc1(x).tanh(), x], dim=-1)

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        h = see(torch.tanh(see(net.fc1(x), "tanh:input")), "tanh:output", "cat:branch")
        return see(torch.cat([h, see(x, "cat:shortcut")], -1), "cat:output")

    return Twins(Written(program, fc1=fc()), twin, (leaf(),))


NETWORKS = (
    plain,
    in_place_block,
    in_place_chain,
    statement,
    input_overwritten,
    highway,
    lerp,
    addcmul,
    stack_sum,
    scaled_sum,
    difference,
    shared,
    embedding_first,
    frozen_embedding_first,
    detached_in_the_middle,
    without_gradient_in_the_middle,
    leaf_norm,
    leaf_in_place,
    concatenated,
    written_through_a_detached_alias,
    written_through_data,
    looked_at_on_the_way,
)


def compare(case: Twins, *, flows: bool = False) -> None:
    case.network.double()
    with torch.no_grad():
        covector = torch.randn_like(case.twin(case.network, See(), *case.inputs))
    batch = (tuple(each.detach().clone() for each in case.inputs), covector)
    torch.manual_seed(5)
    found = record(case.network, batch, loss=inner, flows=flows)
    torch.manual_seed(5)
    expected = seen(case.twin, case.network, case.inputs, covector)
    assert_same_tensors(found.values, expected.values)
    assert_same_tensors(found.gradients, expected.gradients)


@pytest.mark.parametrize("flows", [False, True], ids=["", "with flow"])
@pytest.mark.parametrize("case", NETWORKS, ids=lambda case: case.__name__)
def test_values_and_gradients_are_the_twins(case: Callable[[], Twins], flows: bool) -> None:
    compare(case(), flows=flows)


def test_a_view_written_into_has_values_and_says_that_no_gradient_came_by() -> None:
    """torch rebases what the view is of and forgets the view: nothing is hooked that could answer."""
    case = through_a_view()
    case.network.double()
    batch = ((case.inputs[0].detach().clone(),), torch.randn(4, WIDTH, dtype=DOUBLE))
    found = record(case.network, batch, loss=inner)
    expected = seen(case.twin, case.network, case.inputs, batch[1])
    as_seen = {
        place: each.reshape(expected.values[place].shape) for place, each in found.values.items()
    }
    assert_same_tensors(as_seen, expected.values)  # one number a sample is read as one channel
    forgotten = {"add:branch", "add:output"}
    assert set(expected.gradients) - set(found.gradients) == forgotten
    kept = {place: each for place, each in expected.gradients.items() if place not in forgotten}
    assert_same_tensors(found.gradients, kept)
    notes = sn.measure(case.network, batch, loss=inner, probes="gradient").attrs["notes"]
    assert "no gradient came by at add:branch, add:output" in notes


def test_nested_inputs_by_position_and_by_name() -> None:
    case = nested_inputs()
    case.network.double()
    covector = torch.randn(4, WIDTH, dtype=DOUBLE)
    x, y = (each.detach() for each in case.inputs)
    batch = ({"batch": {"first": (x,)}, "more": [y]}, covector)
    found = record(case.network, batch, loss=inner)
    expected = seen(case.twin, case.network, case.inputs, covector)
    assert_same_tensors(found.values, expected.values)
    assert_same_tensors(found.gradients, expected.gradients)


# Gradient checkpointing ---------------------------------------------------------------------------


class Checkpointed(nn.Module):
    """Two blocks, of which something is checkpointed; without checkpoints always the same."""

    def __init__(self, manner: str, reentrant: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.first, self.second = Block(dropout), Block(dropout)
        self.manner, self.reentrant = manner, reentrant

    def again(self, function: Callable[..., Tensor], x: Tensor) -> Tensor:
        return checkpoint(function, x, use_reentrant=self.reentrant)

    def both(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))

    def nested(self, x: Tensor) -> Tensor:
        return self.again(self.second, self.again(self.first, x))

    def forward(self, x: Tensor) -> Tensor:
        match self.manner:
            case "modules":
                return self.again(self.second, self.again(self.first, x))
            case "method":
                return self.again(self.both, x)
            case "bound forward":
                return self.again(self.second.forward, self.again(self.first.forward, x))
            case "nested":
                return self.again(self.nested, x)
            case "closure":
                return self.again(lambda h: self.second(self.first(h)), x)
            case "sequential":
                blocks = [self.first, self.second]
                return checkpoint_sequential(blocks, 2, x, use_reentrant=self.reentrant)
        raise AssertionError(self.manner)


MANNERS = ("modules", "method", "bound forward", "nested", "closure", "sequential")


def two_blocks(net: Any, see: See, x: Tensor) -> Tensor:
    return block_twin(net.second, see, block_twin(net.first, see, x, "first"), "second")


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("reentrant", [False, True], ids=["modern", "reentrant"])
@pytest.mark.parametrize("manner", MANNERS)
def test_exact_under_gradient_checkpointing(manner: str, reentrant: bool, dropout: float) -> None:
    compare(
        Twins(Checkpointed(manner, reentrant, dropout), two_blocks, (leaf(),)), flows=dropout == 0
    )


@pytest.mark.parametrize("reentrant", [False, True], ids=["modern", "reentrant"])
def test_shared_checkpointed_module(reentrant: bool) -> None:
    def program(net: Any, x: Tensor) -> Tensor:
        for _ in range(3):
            x = checkpoint(net.block, x, use_reentrant=reentrant)
        return x

    compare(Twins(Written(program, block=Block()), thrice_twin), flows=True)


@pytest.mark.parametrize("reentrant", [False, True], ids=["modern", "reentrant"])
@pytest.mark.parametrize("where", ["embedding", "detach"])
def test_checkpoint_in_which_a_frozen_signal_begins(where: str, reentrant: bool) -> None:
    """Where the signal begins to be differentiable inside the checkpoint, the recomputation must agree."""

    def segment(net: Any, x: Tensor) -> Tensor:
        return net.block(net.embedding(x) if where == "embedding" else net.fc1(x).detach())

    class Segmented(Written):
        def segment(self, x: Tensor) -> Tensor:
            return segment(self, x)

    def program(net: Any, x: Tensor) -> Tensor:
        return net.fc2(checkpoint(net.segment, x, use_reentrant=reentrant))

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        begin = net.embedding(x) if where == "embedding" else net.fc1(x)
        return net.fc2(block_twin(net.block, see, begin.detach().requires_grad_(), "block"))

    network = Segmented(
        program, embedding=nn.Embedding(9, WIDTH), block=Block(), fc1=fc(), fc2=fc()
    )
    inputs = (torch.randint(9, (4,)),) if where == "embedding" else (leaf(),)
    compare(Twins(network.requires_grad_(False), twin, inputs))


# Circumstances ------------------------------------------------------------------------------------


def test_frozen_network_has_the_gradients_of_the_free_one() -> None:
    network, x, covector = Block().double(), leaf().detach(), leaf().detach()
    free = record(network, (x, covector), loss=inner)
    frozen = record(network.requires_grad_(False), (x, covector), loss=inner)
    assert_same_tensors(frozen.gradients, free.gradients)
    assert len(free.gradients) == len(free.values)


@pytest.mark.parametrize("integers", [False, True], ids=["images", "tokens"])
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradients_inside_no_grad_and_inference_mode(context: Any, integers: bool) -> None:
    case = embedding_first() if integers else plain()
    network = case.network.double()
    torch.manual_seed(2)
    x = torch.randint(9, (4, 3)) if integers else torch.randn(4, WIDTH, dtype=DOUBLE)
    covector = torch.randn(network(x).shape, dtype=DOUBLE)
    outside = record(network, (x, covector), loss=inner)
    with context():
        inside = record(network, (x.clone(), covector), loss=inner)
    assert_same_tensors(inside.values, outside.values)
    assert_same_tensors(inside.gradients, outside.gradients)
    assert inside.gradients


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_targets_made_inside_inference_mode(loss: str) -> None:
    """Such tensors cannot be saved for backward; the batch is made where the measuring happens."""
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
    with torch.inference_mode():
        x = torch.randn(5, 4)
        y = torch.randn(5, 3) if loss == "mse" else torch.randint(3, (5,))
        found = record(network, (x, y), loss=loss)
    assert set(found.gradients) == {"1:input", "1:output"}


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_norm_output_in_either_mode(mode: bool) -> None:
    """BatchNorm: own statistics in training, running ones in evaluation; both by hand."""
    network = nn.Sequential(conv(), nn.BatchNorm2d(4)).double().train(mode)
    network[1].running_mean.normal_()
    network[1].running_var.uniform_(0.5, 2)
    x = image()
    found = record(network, (x, x), loss=inner).values
    y = found["1:input"]
    assert torch.equal(y, network[0](x))
    mean = y.mean((0, 2, 3)) if mode else network[1].running_mean
    variance = y.var((0, 2, 3), correction=0) if mode else network[1].running_var
    by_hand = (y - mean[:, None, None]) / (variance + 1e-5).sqrt()[:, None, None]
    torch.testing.assert_close(found["1:output"], by_hand)


def test_bfloat16_is_read_as_it_is() -> None:
    network, x = Block().bfloat16(), torch.randn(4, WIDTH).bfloat16()
    found = record(network, (x, x), loss=inner)
    root = x.clone().requires_grad_()
    see = seen(lambda net, see, x: block_twin(net, see, x, "block"), network, (root,), x)
    expected = {place.removeprefix("block."): value for place, value in see.values.items()}
    assert all(torch.equal(found.values[place], value) for place, value in expected.items())
    gradients = {place.removeprefix("block."): value for place, value in see.gradients.items()}
    assert all(torch.equal(found.gradients[place], value) for place, value in gradients.items())
    assert found.gradients["add:output"].dtype is torch.bfloat16


def test_autocast_reads_the_dtype_that_flows() -> None:
    network, x = nn.Sequential(fc(), nn.ReLU(), fc()), torch.randn(4, WIDTH)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = record(network, (x, x), loss=inner)
        expected = F.relu(network[0](x))
    assert found.values["1:output"].dtype is torch.bfloat16
    assert torch.equal(found.values["1:output"], expected)


def test_custom_autograd_function() -> None:
    class Cubed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            return 3 * x**2 * gradient

    def program(net: Any, x: Tensor) -> Tensor:
        return torch.tanh(Cubed.apply(net.fc1(torch.sigmoid(x))))

    def twin(net: Any, see: See, x: Tensor) -> Tensor:
        h = see(torch.sigmoid(see(x.clone(), "sigmoid:input")), "sigmoid:output")
        return see(torch.tanh(see(net.fc1(h) ** 3, "tanh:input")), "tanh:output")

    compare(Twins(Written(program, fc1=fc()), twin, (leaf(),)))


def test_forward_replaced_on_the_instance() -> None:
    """`module.forward = ...` is how libraries patch a module; what it calls is the module's still."""

    def patched(self: Any, x: Tensor) -> Tensor:
        return x + torch.tanh(self.fc1(x))

    network = Written(lambda net, x: x, fc1=fc()).double()
    network.forward = types.MethodType(patched, network)
    x = leaf().detach()
    found = record(network, (x, x), loss=inner)
    assert torch.equal(found.values["add:output"], x + torch.tanh(network.fc1(x)))


def test_classes_that_hear_of_their_subclasses() -> None:
    """transformers wraps `forward` in `__init_subclass__`; others register there, or ask for arguments."""
    heard: list[str] = []

    class Registered(Block):
        def __init_subclass__(cls, *, title: str) -> None:
            heard.append(title)

    class Known(Registered, title="known"):
        pass

    network, x = Known().double(), leaf().detach()
    covector = torch.randn_like(x)
    found = record(network, (x, covector), loss=inner)
    see = seen(
        lambda net, see, x: block_twin(net, see, x, "block"),
        network,
        (x.clone().requires_grad_(),),
        covector,
    )
    expected = {place.removeprefix("block."): each for place, each in see.gradients.items()}
    assert_same_tensors(found.gradients, expected)
    assert heard == ["known"]


@pytest.mark.parametrize("reentrant", [False, True], ids=["modern", "reentrant"])
def test_checkpointing_put_in_by_init_subclass(reentrant: bool) -> None:
    """As transformers' GradientCheckpointingLayer: only the outermost wrapper of `forward` checkpoints."""

    class Layer(nn.Module):
        def __init_subclass__(cls, **more: Any) -> None:
            super().__init_subclass__(**more)
            forward = cls.forward

            def checkpointed(self: Any, x: Tensor) -> Tensor:
                if type(self).forward is checkpointed:
                    return checkpoint(partial(forward, self), x, use_reentrant=reentrant)
                return forward(self, x)

            cls.forward = checkpointed

    class Inner(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2, self.norm = fc(), fc(), nn.LayerNorm(WIDTH)
            self.drop = nn.Dropout(0.0)

        def forward(self, x: Tensor) -> Tensor:
            return Block.forward(self, x)

    def program(net: Any, x: Tensor) -> Tensor:
        return net.second(net.first(x))

    compare(Twins(Written(program, first=Inner(), second=Inner()), two_blocks, (leaf(),)))


def test_compiled_network_is_read_eagerly() -> None:
    network, x = Block().double(), leaf().detach()
    plain = record(network, (x, x), loss=inner)
    compiled = record(torch.compile(network, backend="eager"), (x, x), loss=inner)
    assert_same_tensors(compiled.values, plain.values)
    assert_same_tensors(compiled.gradients, plain.gradients)


# Which dimension counts channels ------------------------------------------------------------------


def channels_of(program: Callable[..., Tensor], x: Tensor, **parts: object) -> dict[str, int]:
    network = Written(program, **parts)
    with torch.no_grad():
        covector = torch.zeros_like(network(x.clone()))
    return record(network, (x, covector), loss=inner).channels


def test_channels_of_images_and_series() -> None:
    images = channels_of(
        lambda net, x: net.act(net.norm(net.conv(x))),
        torch.randn(2, 3, 6, 6),
        conv=nn.Conv2d(3, 5, 3),
        norm=nn.BatchNorm2d(5),
        act=nn.ReLU(inplace=True),
    )
    series = channels_of(
        lambda net, x: net.act(net.norm(net.conv(x))),
        torch.randn(2, 3, 9),
        conv=nn.Conv1d(3, 5, 3),
        norm=nn.BatchNorm1d(5),
        act=nn.ReLU(),
    )
    assert set(images.values()) == set(series.values()) == {1}


def test_channels_of_tokens_and_vectors() -> None:
    parts = {"fc1": fc(), "norm": nn.LayerNorm(WIDTH)}
    tokens = channels_of(
        lambda net, x: x + torch.tanh(net.norm(net.fc1(x))), torch.randn(2, 5, WIDTH), **parts
    )
    vectors = channels_of(
        lambda net, x: x + torch.tanh(net.norm(net.fc1(x))), torch.randn(5, WIDTH), **parts
    )
    assert set(tokens.values()) == {2}
    assert set(vectors.values()) == {1}


def convnext(net: Any, x: Tensor) -> Tensor:
    y = net.conv(x).permute(0, 2, 3, 1)
    y = net.fc2(F.gelu(net.fc1(net.norm(y))))
    return x + y.permute(0, 3, 1, 2)


def test_channels_of_convnext() -> None:
    """Channels first outside, last between the permutations. All sizes differ."""
    found = channels_of(
        lambda net, x: convnext(net, net.stem(x)),
        torch.randn(2, 3, 7, 6),
        stem=nn.Conv2d(3, 5, 1),
        conv=nn.Conv2d(5, 5, 3, padding=1),
        norm=nn.LayerNorm(5),
        fc1=nn.Linear(5, 10),
        fc2=nn.Linear(10, 5),
    )
    assert found == {
        "norm:input": 3,
        "norm:output": 3,
        "gelu:input": 3,
        "gelu:output": 3,
        "add:shortcut": 1,
        "add:branch": 1,
        "add:output": 1,
    }


MOVES = {
    "permute": lambda y: y.permute(0, 2, 3, 1),
    "permute list": lambda y: torch.permute(y, [0, 2, 3, 1]),
    "permute keyword": lambda y: torch.permute(y, dims=(0, -2, -1, 1)),
    "movedim": lambda y: y.movedim(1, -1),
    "moveaxis": lambda y: torch.moveaxis(y, 1, 3),
    "transposes": lambda y: y.transpose(1, 2).transpose(2, 3),
    "transpose keyword": lambda y: torch.transpose(y, dim0=1, dim1=-1),
    "swapaxes": lambda y: y.swapaxes(1, 3),
    "swapdims keyword": lambda y: torch.swapdims(y, dim0=3, dim1=1),
    "mT": lambda y: y.permute(0, 3, 2, 1),
    "flattened": lambda y: y.flatten(2).transpose(1, 2),
    "reshaped": lambda y: y.reshape(2, 5, -1).mT,
    "chunk": lambda y: torch.cat(y.permute(0, 2, 3, 1).chunk(2, dim=1), dim=1),
    "split": lambda y: y.permute(0, 2, 3, 1).split(3, dim=2)[0],
    "getitem": lambda y: y.permute(0, 2, 3, 1)[:, 1:, ::2],
    "unsqueezed": lambda y: y.permute(0, 2, 3, 1).unsqueeze(1),
    "contiguous": lambda y: y.permute(0, 2, 3, 1).contiguous().clone(),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=list(MOVES))
def test_channels_follow_the_moves(move: Callable[[Tensor], Tensor]) -> None:
    """All end with the channels last; a tanh stands behind, which knows nothing of channels."""
    found = channels_of(
        lambda net, x: torch.tanh(move(net.conv(x))),
        torch.randn(2, 3, 7, 6),
        conv=nn.Conv2d(3, 5, 1),
    )
    rank = move(torch.zeros(2, 5, 7, 6)).dim()
    assert found == {"tanh:input": rank - 1, "tanh:output": rank - 1}


def test_channels_after_pooling_and_class_token() -> None:
    pooled = channels_of(
        lambda net, x: torch.tanh(net.conv(x).mean((2, 3))),
        torch.randn(2, 3, 7, 6),
        conv=nn.Conv2d(3, 5, 1),
    )
    token = channels_of(
        lambda net, x: torch.tanh(net.fc1(x)[:, 0]), torch.randn(2, 5, WIDTH), fc1=fc()
    )
    assert set(pooled.values()) == set(token.values()) == {1}


NORMED_AT_ONCE = {
    "layer on NHWC": (nn.LayerNorm(5), (2, 6, 7, 5), 3),
    "rms on NHWC": (nn.RMSNorm(5), (2, 6, 7, 5), 3),
    "batch on NCL": (nn.BatchNorm1d(5), (2, 5, 7), 1),
    "group on NCL": (nn.GroupNorm(1, 5), (2, 5, 7), 1),
    "instance on NCL": (nn.InstanceNorm1d(5), (2, 5, 7), 1),
}


@pytest.mark.parametrize(
    ("norm", "shape", "channels"), NORMED_AT_ONCE.values(), ids=list(NORMED_AT_ONCE)
)
def test_a_norm_says_where_channels_are(norm: nn.Module, shape: Any, channels: int) -> None:
    """Input and output of one norm share a channel dimension, also where nothing came before."""
    found = channels_of(lambda net, x: net.norm(x), torch.randn(shape), norm=norm)
    assert found == {"norm:input": channels, "norm:output": channels}


def test_channels_of_normed_heads() -> None:
    """Query-key norm: (sample, token, head, channel), normed over the last."""

    def program(net: Any, x: Tensor) -> Tensor:
        return net.norm(net.fc1(x).view(2, 5, 2, 4)).flatten(2)

    found = channels_of(program, torch.randn(2, 5, WIDTH), fc1=fc(), norm=nn.RMSNorm(4))
    assert found == {"norm:input": 3, "norm:output": 3}
