"""lint(network, *inputs): what an architecture does in vain or to its harm, read off one forward pass."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from torch import nn

from skipnorm.anatomy.discover import anatomy
from skipnorm.audit.finding import Finding, Lint
from skipnorm.audit.fold_rules import foldable_batch_norm, foldable_gain
from skipnorm.audit.norm_rules import (
    bias_before_norm,
    norm_after_norm,
    norm_over_few,
    shared_batch_norm,
)
from skipnorm.audit.parts import Parts
from skipnorm.audit.skip_rules import activation_after_addition, linear_skip, needless_projection
from skipnorm.audit.tracing import traced
from skipnorm.audit.training_rules import (
    Optimizer,
    decayed_norm,
    decayed_scale_invariant_weight,
    dropout_before_batch_norm,
)

__all__ = ["RULES", "lint"]

RULES: Mapping[str, Callable[..., Iterator[Finding]]] = MappingProxyType(
    {
        "bias-before-norm": bias_before_norm,
        "norm-after-norm": norm_after_norm,
        "norm-over-few": norm_over_few,
        "shared-batch-norm": shared_batch_norm,
        "dropout-before-batch-norm": dropout_before_batch_norm,
        "foldable-gain": foldable_gain,
        "foldable-batch-norm": foldable_batch_norm,
        "activation-after-addition": activation_after_addition,
        "needless-projection": needless_projection,
        "linear-skip": linear_skip,
        "decayed-scale-invariant-weight": decayed_scale_invariant_weight,
        "decayed-norm": decayed_norm,
    }
)
"""Every rule by its name, in the order in which findings are listed."""

_OF_OPTIMIZERS = (decayed_scale_invariant_weight, decayed_norm)


def lint(
    network: nn.Module, *inputs: Any, optimizer: Optimizer | None = None, **named: Any
) -> Lint:
    """What a network's norms and skips do in vain or to its harm, without training it.

    The network is run twice, without gradients, in the mode that it is in: once for its anatomy, once to see which call
    takes what. Afterwards it is as it was. Rules speak of what they can prove from that run, and are silent where
    they cannot: a hand-written norm is tried on a copy, and one that is not understood is passed over.

    Args:
        network: any module.
        *inputs: what the network is called with; in training mode a batch of the size that is trained with.
        optimizer: if given, what its weight decay acts on is looked at too: anything with `param_groups`.
        **named: what the network is called with by name.

    Returns:
        Findings, warnings first: a sequence that prints as a table, empty where nothing was found.

    Raises:
        AnatomyError: as `anatomy` does; or the optimizer holds none of the network's parameters.

    >>> block = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU())
    >>> import torch
    >>> found = lint(block, torch.zeros(16, 4))
    >>> [(each.rule, each.sites, each.parameters) for each in found.warnings]
    [('bias-before-norm', ('0', '1'), 8)]
    """
    sites = anatomy(network, *inputs, **named)
    network = getattr(network, "_orig_mod", network)
    parts = Parts(traced(network, sites, inputs, named))
    found: list[Finding] = []
    for rule in RULES.values():
        if rule not in _OF_OPTIMIZERS:
            found += rule(parts)
        elif optimizer is not None:
            found += rule(parts, optimizer)
    found.sort(key=lambda each: each.severity != "warning")
    return Lint(sites.network, tuple(found), sites.unseen)
