"""Character models: the next character of a name from the previous ones, and what can be done with that."""

from chainrule.language.files import load_names
from chainrule.language.model import CharacterModel, Score
from chainrule.language.presets import PRESETS, Preset, preset
from chainrule.language.vocabulary import BOUNDARY, Vocabulary
from chainrule.language.windows import split_names, windows

__all__ = [
    "BOUNDARY",
    "PRESETS",
    "CharacterModel",
    "Preset",
    "Score",
    "Vocabulary",
    "load_names",
    "preset",
    "split_names",
    "windows",
]
