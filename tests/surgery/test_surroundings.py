"""Altered networks in what others build around networks: compilers, tracers, checkpoints, generation, processes.

Source of truth: the same network without the surroundings, or edited in its source.
"""

import copy
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import transformers as hf
from tests.surgery.patients import OPERATIONS, Block, patient
from torch import Tensor, fx, nn
from torch import multiprocessing as mp

import skipnorm as sn
from skipnorm.errors import SurgeryError

REPLACED = (
    "SwapNorm layer", "SwapNorm none", "SwapNorm static", "FoldNorm", "FreezeAffine", "RemoveAffine",
    "FreezeStatistics", "PermuteBlocks", "Reinitialize", "StandardizeWeights", "MoveNorm after",
    "NoisyNorm", "InsertNorm linear",
)  # fmt: skip
GATED = ("CutSkips", "DropBranches", "ScaleSkips branch", "ScaleSkips learned", "ScaleSkips drop")
SITES_IN_CODE = ("SwapNorm layer", "SwapNorm rms", "NoisyNorm", "InsertNorm branch")
"""Of the network whose norm is a call."""


def operated(name: str, operation: str) -> tuple[nn.Module, Tensor]:
    made = patient(name)
    network = made.network.eval() if operation == "FoldNorm" else made.network
    return sn.operate(network, OPERATIONS[operation], inputs=made.x), made.x


# Compilers and tracers ----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operation", REPLACED)
def test_what_replaces_modules_compiles_in_one_graph(operation: str) -> None:
    network, x = operated("resnet", operation)
    network.eval()
    torch.compiler.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), network(x))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("resnet", "ScaleSkips learned"),
        ("encoder", "CutSkips"),
        *(("inline", each) for each in GATED),
    ],
)
def test_a_gated_network_refuses_to_be_compiled(name: str, operation: str) -> None:
    """A compiled one would be the original: silently nothing done, the worst there is."""
    network, x = operated(name, operation)
    torch.compiler.reset()
    for options in ({"fullgraph": True}, {}):
        with pytest.raises(Exception, match="compiled or traced") as caught:
            torch.compile(network, backend="eager", **options)(x)
        assert "operations that replace modules" in str(caught.value)
    assert torch.equal(network.eval()(x), copy.deepcopy(network)(x))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operation", SITES_IN_CODE)
def test_a_gated_call_refuses_to_be_compiled(operation: str) -> None:
    network, x = operated("inline", operation)
    torch.compiler.reset()
    with pytest.raises(Exception, match="compiled or traced"):
        torch.compile(network, backend="eager")(x)


@pytest.mark.parametrize("operation", GATED)
def test_a_gated_network_is_not_traced_symbolically(operation: str) -> None:
    network, _ = operated("inline", operation)
    row = sn.operate(
        nn.Sequential(Block(), Block()), OPERATIONS[operation], inputs=torch.randn(2, 8)
    )
    with pytest.raises(SurgeryError, match="traced"):
        fx.symbolic_trace(row)
    with pytest.raises(SurgeryError, match="traced"):
        fx.symbolic_trace(network)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
@pytest.mark.parametrize("name", ["inline", "encoder"])
def test_a_gated_network_is_not_scripted(name: str) -> None:
    network, x = operated(name, "CutSkips")
    with pytest.raises(Exception) as caught:  # noqa: PT011 - torch's own error, or ours
        torch.jit.script(network)(x)
    assert caught.value is not None


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", ["resnet", "inline"])
def test_a_recorded_trace_holds_the_alteration(name: str) -> None:
    """torch.jit.trace runs the network and writes down what happens, alteration and all."""
    network, x = operated(name, "CutSkips")
    network.eval()
    traced = torch.jit.trace(network, (x,), check_trace=False)
    torch.testing.assert_close(traced(x), network(x))
    assert not torch.allclose(traced(x), patient(name).network.eval()(x))


# Language models ----------------------------------------------------------------------------------


def language_model(kind: str) -> nn.Module:
    torch.manual_seed(1)
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    if kind == "gpt2":
        config: Any = hf.GPT2Config(
            vocab_size=32, n_embd=16, n_layer=2, n_head=2, n_positions=32, **special
        )
        return hf.GPT2LMHeadModel(config).eval()
    config = hf.LlamaConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, num_key_value_heads=1, **special,
    )  # fmt: skip
    return hf.LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("cache", [True, False])
def test_what_is_generated_is_what_the_altered_network_says(kind: str, cache: bool) -> None:
    """Greedy decoding by hand, token by token, from the logits of the altered network."""
    network, ids = language_model(kind), torch.randint(3, 30, (2, 5))
    altered = sn.operate(
        network,
        sn.ScaleSkips(branch=2.0),
        sn.SwapNorm(to="rms"),
        inputs={"input_ids": ids, "use_cache": False},
    )
    settings = {"max_new_tokens": 6, "do_sample": False, "use_cache": cache, "eos_token_id": None}
    found = altered.generate(ids, attention_mask=torch.ones_like(ids), **settings)
    expected = ids
    with torch.no_grad():
        for _ in range(6):
            logits = altered(input_ids=expected, use_cache=False).logits[:, -1]
            expected = torch.cat([expected, logits.argmax(-1, keepdim=True)], 1)
    assert torch.equal(found, expected)
    plain = network.generate(ids, attention_mask=torch.ones_like(ids), **settings)
    assert not torch.equal(found, plain)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("reentrant", [False, True], ids=["modern", "reentrant"])
@pytest.mark.filterwarnings(
    "ignore:.*use_cache.*", "ignore:None of the inputs", "ignore::FutureWarning"
)
def test_their_own_checkpointing_leaves_gradients_as_they_are(kind: str, reentrant: bool) -> None:
    network, ids = language_model(kind).double(), torch.randint(3, 30, (2, 5))
    altered = sn.operate(
        network,
        sn.ScaleSkips(branch=0.5, learnable=True),
        sn.CutSkips(where="*1.*"),
        sn.SwapNorm(to="layer"),
        inputs={"input_ids": ids, "use_cache": False},
    ).train()
    for module in altered.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0

    def gradients() -> dict[str, Tensor]:
        altered.zero_grad()
        altered(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        found = {
            key: each.grad for key, each in altered.named_parameters() if each.grad is not None
        }
        return {key: each.clone() for key, each in found.items()}

    expected = gradients()
    altered.gradient_checkpointing_enable({"use_reentrant": reentrant})
    if reentrant:
        altered.enable_input_require_grads()
    found = gradients()
    assert sorted(found) == sorted(expected)
    assert any(key.endswith("branch_scale") for key in found)
    for key, gradient in expected.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-9, atol=1e-12)


def test_it_is_saved_and_loaded_by_the_library_around_it(tmp_path: Path) -> None:
    """save_pretrained writes what is learned; from_pretrained and the same operation bring it back."""
    network, ids = language_model("gpt2"), torch.randint(3, 30, (2, 5))
    inputs = {"input_ids": ids, "use_cache": False}
    cut = sn.CutSkips(where="*h.1.*")
    altered = sn.operate(network, cut, inputs=inputs)
    with torch.no_grad():
        altered.transformer.h[0].ln_1.weight.mul_(3)
    altered.save_pretrained(tmp_path)
    loaded = hf.GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    again = sn.operate(loaded, cut, inputs=inputs)
    assert torch.equal(again(**inputs).logits, altered(**inputs).logits)
    assert not torch.equal(loaded(**inputs).logits, altered(**inputs).logits)


# Processes ----------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def altered_for_training() -> tuple[nn.Module, Tensor]:
    made = patient("encoder")
    network = sn.operate(
        made.network,
        sn.ScaleSkips(branch=0.5, learnable=True),
        sn.SwapNorm(to="rms"),
        sn.CutSkips(where="layers.1.add"),
        inputs=made.x,
    )
    return network, torch.randn(
        4, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(9)
    )


def _train(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = "127.0.0.1", str(port)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    network, x = altered_for_training()
    parallel = nn.parallel.DistributedDataParallel(network)
    optimiser = torch.optim.SGD(parallel.parameters(), 0.05)
    for _ in range(2):
        optimiser.zero_grad()
        parallel(x[2 * rank : 2 * rank + 2]).square().mean().backward()
        optimiser.step()
    if rank == 1:
        torch.save(network.state_dict(), Path(folder) / "state.pt")
    dist.destroy_process_group()


def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    """DistributedDataParallel over halves of the batch: the weights of one process with the whole."""
    mp.spawn(_train, (_free_port(), str(tmp_path)), nprocs=2)
    found = torch.load(tmp_path / "state.pt")
    network, x = altered_for_training()
    start = {key: value.clone() for key, value in network.state_dict().items()}
    optimiser = torch.optim.SGD(network.parameters(), 0.05)
    for _ in range(2):
        optimiser.zero_grad()
        network(x).square().mean().backward()
        optimiser.step()
    for key, value in network.state_dict().items():
        torch.testing.assert_close(found[key], value, rtol=1e-10, atol=1e-12)
    moved = [key for key, value in start.items() if not torch.equal(value, found[key])]
    assert any(key.endswith("branch_scale") for key in moved)
