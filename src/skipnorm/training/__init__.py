"""Learning: one seed, one plain loop, states handed out on a schedule. `train` lives in `skipnorm.training.train`."""

from skipnorm.training.steps import linear, log_spaced, resolved
from skipnorm.training.training import Training

__all__ = ["Training", "linear", "log_spaced", "resolved"]
