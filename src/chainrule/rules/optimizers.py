"""Where version 0.1.0 had optimizers: pickles of that version, and imports, find them here."""

from chainrule.describe.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, Optimizer, RMSProp, as_optimizer

__all__ = ["OPTIMIZERS", "SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSProp", "as_optimizer"]
