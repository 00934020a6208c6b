"""Character models: the next character of a name from the previous ones, and what can be done with that."""

from chainrule.language.model import CharacterModel, Score
from chainrule.language.vocabulary import BOUNDARY, Vocabulary
from chainrule.language.windows import split_names, windows

__all__ = ["BOUNDARY", "CharacterModel", "Score", "Vocabulary", "split_names", "windows"]
