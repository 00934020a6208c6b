"""Where version 0.1.0 had losses: pickles of that version, and imports, find them here."""

from chainrule.describe.losses import LOSSES, Cost, Loss, cross_entropy, huber, loss, quantile

__all__ = ["LOSSES", "Cost", "Loss", "cross_entropy", "huber", "loss", "quantile"]
