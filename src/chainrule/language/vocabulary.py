"""Characters as tokens: one number for each, and one for the boundary of a name."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, expected

Tokens = NDArray[np.int64]
BOUNDARY = 0
"""The token before the first and after the last character of a name."""
_FEW_SHOWN = 8
_MOST_SHOWN = 60


@dataclass(frozen=True)
class Vocabulary:
    """The characters that a model knows; character k (from 0) is token k + 1, the boundary of a name is token 0.

    Raises DataError where they are not as they must be, or fewer than two.
    """

    characters: tuple[str, ...]
    """Single Unicode characters in canonical composition (NFC), each once."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "characters", tuple(self.characters))
        wrong = [c for c in self.characters if not isinstance(c, str) or len(c) != 1 or _normal(c) != c or _half(c)]
        if wrong:
            raise DataError(expected("A vocabulary", "of single characters in canonical composition", wrong[0]))
        if len(set(self.characters)) != len(self.characters):
            twice = next(c for c, times in Counter(self.characters).items() if times > 1)
            raise DataError(f"A vocabulary holds each character once. Got {twice!r} twice.")
        if len(self.characters) < 2:
            only = "".join(self.characters)
            raise DataError(
                f"All names are made of the single character {only!r}: at least two are needed to learn from."
                if only
                else "There are no characters to learn from."
            )

    @classmethod
    def from_names(cls, names: Iterable[str]) -> Vocabulary:
        """All characters of the names, in the order of their code points.  Raises DataError for fewer than two."""
        return cls(tuple(sorted(set("".join(map(_normal, checked(names)))))))

    def __len__(self) -> int:
        """How many tokens there are, the boundary among them."""
        return len(self.characters) + 1

    @property
    def symbols(self) -> tuple[str, ...]:
        """What each token stands for; the boundary is the empty string."""
        return ("", *self.characters)

    def encode(self, names: Sequence[str], unknown: str | None = None) -> tuple[Tokens, Tokens]:
        """(tokens of all names in a row, (n,) the length of each), without boundaries.

        unknown: the character that those outside of the vocabulary are read as; None refuses them.
        Raises DataError, which names the unknown characters.
        """
        given = [_normal(name) for name in checked(names)]
        lengths = np.fromiter(map(len, given), np.int64, len(given))
        codes = _codes("".join(given))
        place = np.searchsorted(self._known, codes)
        place[place == len(self._known)] = 0
        tokens = self._tokens[place]
        strange = self._known[place] != codes
        if strange.any():
            if unknown is None:
                raise DataError(self._refusal(codes[strange]))
            tokens[strange] = self.token(unknown)
        return tokens, lengths

    def decode(self, tokens: Sequence[int] | Tokens) -> str:
        """The text of tokens 0 ... len - 1; a boundary is nothing.  Raises DataError for other numbers."""
        numbers = np.asarray(tokens, np.int64)
        if numbers.size and (numbers.min() < 0 or numbers.max() >= len(self)):
            raise DataError(f"Tokens go from 0 to {len(self) - 1}. Got {numbers.min()} to {numbers.max()}.")
        return "".join(self.symbols[k] for k in numbers.tolist())

    def token(self, character: str) -> int:
        """The token of one character.  Raises DataError where the vocabulary has none."""
        known = _normal(character) if isinstance(character, str) else character
        if known not in self.characters:
            raise DataError(f"The character to read unknown ones as must be a known one. Got {character!r} instead.")
        return self.characters.index(known) + 1

    @cached_property
    def _order(self) -> Tokens:
        return np.argsort(_codes("".join(self.characters)), kind="stable")

    @cached_property
    def _known(self) -> NDArray[np.uint32]:
        return _codes("".join(self.characters))[self._order]

    @cached_property
    def _tokens(self) -> Tokens:
        return self._order.astype(np.int64) + 1

    def _refusal(self, codes: NDArray[np.uint32]) -> str:
        unknown = list(dict.fromkeys(map(chr, codes.tolist())))
        more = f" and {len(unknown) - _FEW_SHOWN} more" if len(unknown) > _FEW_SHOWN else ""
        several = "s" if len(unknown) > 1 else ""
        shown = ", ".join(map(repr, unknown[:_FEW_SHOWN]))
        return (
            f"Unknown character{several} {shown}{more}: the model was trained without. "
            f"It knows {_abridged(self.characters)}; name one of these as 'unknown' to have others read as it."
        )


def checked(names: Iterable[str]) -> list[str]:
    """The names as a list.  Raises DataError for a single string, or what is not text."""
    if isinstance(names, str):
        raise DataError(f"Names must be a list of texts. Got the single text {names[:40]!r}; write [name].")
    if not isinstance(names, Iterable):
        raise DataError(expected("Names", "a list of texts", names))
    given = list(names)
    wrong = next((name for name in given if not isinstance(name, str)), None)
    if wrong is not None or not all(isinstance(name, str) for name in given):
        raise DataError(expected("Each name", "a text", wrong))
    return given


def _normal(text: str) -> str:
    """é as one character, however it was typed."""
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def _half(character: str) -> bool:
    """Whether it is half of a surrogate pair: no character, and nothing that a file can say."""
    return 0xD800 <= ord(character) < 0xE000


def _codes(text: str) -> NDArray[np.uint32]:
    """Code points."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _abridged(characters: Sequence[str]) -> str:
    """abc...xyz, or the first of many."""
    more = len(characters) - _MOST_SHOWN
    return "".join(characters[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
