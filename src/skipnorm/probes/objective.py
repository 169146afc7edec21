"""How a network is called on a batch, and what is differentiated: as training reads it, too."""

from skipnorm.tasks.losses import LOSSES, Loss, inputs_of, loss_of, usable

__all__ = ["LOSSES", "Loss", "inputs_of", "loss_of", "usable"]
