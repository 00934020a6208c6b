"""Where version 0.1.0 had layers and NetworkSpec: pickles of that version, and imports, find them here."""

from chainrule.describe.combine import LAYERS
from chainrule.describe.embedding import Embedding
from chainrule.describe.layers import BatchNorm, Dense, Dropout, Layer, LayerNorm
from chainrule.describe.network import NetworkSpec

__all__ = ["LAYERS", "BatchNorm", "Dense", "Dropout", "Embedding", "Layer", "LayerNorm", "NetworkSpec"]
