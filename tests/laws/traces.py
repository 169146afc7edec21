"""Everything that looking at a network could change, taken down so that it can be compared."""

import random
from typing import Any

import numpy as np
import torch
import torch.utils.checkpoint
from tests.laws.subjects import Subject
from torch import Tensor, nn

__all__ = ["assert_same_state", "snapshot", "with_gradients"]


def snapshot(network: nn.Module) -> dict[str, Any]:
    """Everything about a network that could change, by value and by identity."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state(), "python": random.getstate()}
    state["numpy"] = [str(part) for part in np.random.get_state()]  # noqa: NPY002
    state["flags"] = (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.mha.get_fastpath_enabled(),
        torch.backends.cuda.flash_sdp_enabled(),
        torch.backends.cuda.math_sdp_enabled(),
        torch.is_autocast_cache_enabled(),
        torch.utils.checkpoint.CheckpointFunction,
        torch.get_num_threads(),
    )
    for path, module in network.named_modules():
        state[f"{path}: class"] = type(module)
        state[f"{path}: entries"] = [(key, id(value)) for key, value in vars(module).items()]
        for key, value in vars(module).items():
            if key != "_modules":
                state[f"{path}: {key}"] = frozen(value)
    for name, parameter in network.named_parameters():
        state[f"{name}: grad"] = (id(parameter.grad), frozen(parameter.grad))
        state[f"{name}: memory"] = parameter.data_ptr()
    return state


def frozen(value: Any) -> Any:
    if isinstance(value, Tensor):
        return (id(value), value.detach().clone(), value.requires_grad, value.is_leaf)
    if isinstance(value, dict):
        return [(str(key), frozen(each)) for key, each in value.items()]
    if isinstance(value, list | tuple | set):
        return [frozen(each) for each in value]
    return value if isinstance(value, int | float | str | bool) else id(value)


def assert_same_state(before: Any, after: Any, where: str = "") -> None:
    assert type(before) is type(after), where
    if isinstance(before, dict):
        assert list(before) == list(after), where
        for key in before:
            assert_same_state(before[key], after[key], f"{where} {key}")
    elif isinstance(before, list | tuple):
        assert len(before) == len(after), where
        for one, other in zip(before, after, strict=True):
            assert_same_state(one, other, where)
    elif isinstance(before, Tensor):
        assert torch.equal(before, after), where
    else:
        assert before == after, where


def with_gradients(case: Subject) -> Subject:
    """The same with gradients that wait, one frozen parameter and a hook of the user's."""
    for parameter in case.network.parameters():
        parameter.grad = torch.randn_like(parameter)
    first, *_, last = case.network.parameters()
    first.grad = None
    last.requires_grad_(False)
    case.network.register_forward_hook(lambda module, inputs, output: None)
    return case
