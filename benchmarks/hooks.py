"""Per-site moments and zero counts, forward and backward: our reading against forward hooks and torch-module-monitor.

    python benchmarks/hooks.py                      about a minute; the peer is left out where it cannot be imported
    PYTHONPATH=peers python benchmarks/hooks.py     after pip install --no-deps --target peers torch-module-monitor

All are ratios to the bare PyTorch forward and backward of a training step, to all parameters, in one process and
thread.
Ours reads the signal at the input and the output of every norm and activation, and at both sides and the sum of every
skip, and takes the gradient with respect to the signal alone, as every probe of skipnorm does. The hooks stand at the
outputs of all norms and activations (modules: sums are none), around a whole training step:

* `as timm has them` computes what timm's activation statistics do: the mean over channels of the squared channel mean
  and of the channel variance, a number each, forward only;
* `by hand` adds the mean square, the share of zeros, and the mean square of the gradient by a tensor hook;
* torch-module-monitor is given functions for the same three numbers, and for the mean square of parameters' gradients,
  since it looks at no others.

That all agree is printed first: the largest relative difference over all places that ours and the hooks have in
common.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from passes import perceptron, resnet, step
from torch import Tensor, nn
from turns import Job, milliseconds, ratio, taking_turns

from skipnorm.probes import activation_summary, gradient, likeness, moments, pass_through

Numbers = dict[str, list[float]]
SITES = (nn.modules.batchnorm._BatchNorm, nn.ReLU)


def outputs_of(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, SITES)]


@contextmanager
def hooked(network: nn.Module, hook: Callable[..., None]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in outputs_of(network)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def as_timm_has_them(found: Numbers) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
        axes = [axis for axis in range(output.dim()) if axis != 1]
        means = output.mean(axes)
        found.setdefault("channel_squared_mean", []).append(means.square().mean().item())
        found.setdefault("channel_variance", []).append(output.var(axes).mean().item())

    return hook


def by_hand(found: Numbers) -> Callable[..., None]:
    moments_of = as_timm_has_them(found)

    def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
        with torch.no_grad():
            moments_of(module, inputs, output)
            found.setdefault("mean_square", []).append(output.square().mean().item())
            found.setdefault("zeros", []).append((output == 0).float().mean().item())
        output.register_hook(
            lambda back: found.setdefault("gradient", []).append(back.square().mean().item())
        )

    return hook


def watched_step(
    network: nn.Module, batch: tuple[Tensor, Tensor], make: Callable[[Numbers], Any]
) -> Numbers:
    found: Numbers = {}
    with hooked(network, make(found)):
        step(network, batch)
    return found


def monitored(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Job | None:
    """A step under torch-module-monitor, or None where that is not at hand."""
    try:
        peer = importlib.import_module("torch_module_monitor")
    except ImportError:
        return None
    monitor = peer.ModuleMonitor(monitor_step_fn=lambda _: True)
    names = {module: name for name, module in network.named_modules()}
    sites = "|".join(names[module].replace(".", r"\.") for module in outputs_of(network))
    metrics: dict[str, Callable[[Tensor], Tensor]] = {
        "mean_square": lambda tensor: tensor.square().mean(),
        "channel_squared_mean": lambda tensor: tensor.transpose(0, 1).flatten(1).mean(1).square().mean(),
        "zeros": lambda tensor: (tensor == 0).float().mean(),
    }  # fmt: skip
    for name, metric in metrics.items():
        monitor.add_activation_metric(name, metric, metric_regex=f"^({sites})$")
    monitor.add_gradient_metric("mean_square", lambda tensor: tensor.square().mean())
    monitor.set_module(network)
    steps = iter(range(10**9))

    def job() -> None:
        monitor.begin_step(next(steps))
        nn.functional.cross_entropy(network(batch[0]), batch[1]).backward()
        monitor.monitor_gradients()
        monitor.end_step()
        network.zero_grad(set_to_none=True)
        monitor.storage.__init__(monitor.logger)  # its records would grow without end

    return job


def agreement(network: nn.Module, batch: tuple[Tensor, Tensor]) -> float:
    """The largest relative difference between ours and the hooks, of the mean square and of its gradient."""
    reading = pass_through(network, batch, [moments(), gradient()])
    theirs = watched_step(network, batch, by_hand)
    places = [
        (site.index, "output")
        for site in reading.anatomy.sites
        if site.kind in ("norm", "activation")
    ]
    ours = reading.numbers
    pairs = list(
        zip((ours["mean_square"][place] for place in places), theirs["mean_square"], strict=True)
    )
    zeros = (ours["zero_fraction"][place] for place in places)
    pairs += [(1 + one, 1 + other) for one, other in zip(zeros, theirs["zeros"], strict=True)]
    backward = (ours["gradient_mean_square"][place] for place in reversed(places))
    pairs += list(zip(backward, theirs["gradient"], strict=True))
    return max(abs(one - other) / abs(other) for one, other in pairs)


def race(
    title: str, network: nn.Module, batch: tuple[Tensor, Tensor], rounds: int, repeats: int
) -> None:
    quick = [moments(), gradient()]
    jobs: dict[str, Job] = {
        "bare forward + backward": lambda: step(network, batch),
        "ours: moments, zero counts, gradient": lambda: pass_through(network, batch, quick),
        "dearer: and activation_summary": lambda: pass_through(network, batch, [*quick, activation_summary()]),
        "dearer: and likeness of 32 samples": lambda: pass_through(network, batch, [*quick, likeness()]),
        "hooks, as timm has them (forward)": lambda: watched_step(network, batch, as_timm_has_them),
        "hooks by hand, forward and backward": lambda: watched_step(network, batch, by_hand),
    }  # fmt: skip
    print(f"\n{title}: ours and hooks differ by {agreement(network, batch):.1e} at most")
    times = taking_turns(jobs, rounds, repeats)
    bare = next(iter(jobs))
    print(f"  {bare}: {milliseconds(times, bare):.2f} ms")
    for name in list(jobs)[1:]:
        print(f"    {name:40s} {ratio(times, name, bare):6.2f} x")
    peer = monitored(network, batch)  # its hooks stay, so it comes last, in a race of its own
    if peer is not None:
        off = {"bare": lambda: step(network, batch), "peer": peer}
        print(f"    {'torch-module-monitor':40s} {_beside(off, rounds, repeats):6.2f} x")


def _beside(jobs: dict[str, Job], rounds: int, repeats: int) -> float:
    return ratio(taking_turns(jobs, rounds, repeats), "peer", "bare")


def main() -> None:
    torch.set_num_threads(1)
    race("Perceptron, 8 layers of 256 with batch norm, 256 samples", *perceptron(), 40, 2)
    race("50-layer ResNet, 8 images of 128 x 128", *resnet(), 7, 1)


if __name__ == "__main__":
    main()
