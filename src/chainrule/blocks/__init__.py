"""Data larger than memory: read block by block, laid out once on the disk, trained on window by window."""

from chainrule.blocks.given import MEMORY, Blocks, as_blocks, as_inputs

__all__ = ["MEMORY", "Blocks", "as_blocks", "as_inputs"]
