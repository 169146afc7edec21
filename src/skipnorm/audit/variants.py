"""The very network that an arm was measured on, built again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skipnorm.studies.plan import Trial
from skipnorm.studies.states import fresh

if TYPE_CHECKING:
    from torch import nn

    from skipnorm.audit.arms import Arm
    from skipnorm.audit.contest import Contest

__all__ = ["built"]


def built(contest: Contest, arm: Arm, seed: int) -> nn.Module:
    """The network of an arm and a seed before its first update, as its training began."""
    import torch

    variant = contest.variant(arm, contest.training.steps, ())
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        found: nn.Module = fresh(Trial(arm.name, variant, seed, (), key=""))
        return found
