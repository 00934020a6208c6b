"""Where version 0.1.0 had activations: pickles of that version, and imports, find them here."""

from chainrule.describe.activations import ACTIVATIONS, ALIASES, Activation, activation, elu, leaky_relu

__all__ = ["ACTIVATIONS", "ALIASES", "Activation", "activation", "elu", "leaky_relu"]
