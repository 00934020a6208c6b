"""The version of chainrule: what `chainrule.__version__` says, and part of the key of all cached machine code."""

VERSION = "0.1.0"
