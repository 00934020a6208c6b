"""Pictures of a character model: its embedding, its learning curve, what it expects next.  Needs matplotlib."""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, MissingDependencyError
from chainrule.files import replace_file
from chainrule.language.model import CharacterModel
from chainrule.train.history import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONTS = (
    "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari",
    "Noto Sans Thai", "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans", "Arial Unicode MS", "Microsoft YaHei",
    "Malgun Gothic", "Nirmala UI", "Segoe UI", "Segoe UI Emoji",
)  # fmt: skip
"""Fonts to take, where they are installed, for the characters that matplotlib's own does not have."""
VOWELS = frozenset("aeiouyæœøıəαεηιουωаеиіоуыэюяє")
"""Of the Latin, the Greek and the Cyrillic script, without accents."""
END = "end"
"""How the boundary is labelled."""
MOST_COLUMNS = 40
"""Characters that a heat map shows at most."""
_BLUE, _ORANGE, _GREY = "#2a6f97", "#c8553d", "#6c757d"


def plot_embedding(model: CharacterModel, path: str | os.PathLike[str]) -> Path:
    """The characters where their features lie, projected on the two directions of the greatest variance.

    E - mean E = U S Vᵀ, shown are the first two columns of U S   (v, 2).  Characters that the model treats alike lie
    near each other.  Vowels (also with accents) are orange.  Raises DataError where the file cannot be written.
    """
    places, share = project(model.embedding_)
    figure = _figure(7.0, 6.0)
    axes = figure.subplots()
    axes.scatter(places[:, 0], places[:, 1], s=0)
    size = 13 if len(places) <= 40 else 9
    for (x, y), symbol in zip(places, model.vocabulary.symbols, strict=True):
        colour = _GREY if not symbol else _ORANGE if _plain(symbol) in VOWELS else _BLUE
        axes.text(x, y, label(symbol), color=colour, ha="center", va="center", fontsize=size if symbol else 9)
    axes.margins(0.08)
    axes.set_title(f"Embedding of {len(places) - 1} characters: {share:.0%} of the variance")
    axes.set_xlabel("first direction")
    axes.set_ylabel("second direction")
    _tidy(axes)
    return _save(figure, path)


def plot_learning_curve(history: History, path: str | os.PathLike[str]) -> Path:
    """The cost of the training names and of the dev names (where there were any), epoch by epoch.

    Raises DataError for a history without epochs, or where the file cannot be written.
    """
    if not history:
        raise DataError("The history holds no epochs: there is no learning curve to draw.")
    figure = _figure(7.0, 4.2)
    axes = figure.subplots()
    epochs = history.column("epoch")
    for name, label, colour in (("cost", "train", _BLUE), ("validation_cost", "dev", _ORANGE)):
        costs = history.column(name)
        if np.isfinite(costs).any():
            axes.plot(epochs, costs, color=colour, marker="o", markersize=3, label=f"{label}: {costs[-1]:.4f}")
    axes.set_title("Learning curve")
    axes.set_xlabel("epoch")
    axes.set_ylabel("nats per character")
    axes.locator_params(axis="x", integer=True)
    axes.legend(frameon=False)
    axes.grid(axis="y", alpha=0.3)
    _tidy(axes)
    return _save(figure, path)


def plot_next(model: CharacterModel, path: str | os.PathLike[str], prefixes: Sequence[str] | None = None) -> Path:
    """A heat map: a row for each prefix, in it the probability of each character that can come next.

    prefixes: by default the beginning of a name and its most probable first characters.
    Raises DataError for unknown characters, or where the file cannot be written.
    """
    if prefixes is None:
        first = [symbol for symbol in model.predict_next("") if symbol]
        prefixes = ["", *first[:11]]
    P = model.next_probabilities(prefixes)
    # The end, then the characters in their order; of many only those that matter most here.
    kept = np.sort(np.argsort(-P.max(axis=0), kind="stable")[:MOST_COLUMNS])
    columns = [label(model.vocabulary.symbols[k]) for k in kept]
    figure = _figure(max(4.5, 0.27 * len(columns) + 2.2), max(2.4, 0.27 * len(prefixes) + 1.6))
    axes = figure.subplots()
    # Colours along the square root: what is improbable, but possible, can be told from what is not.
    image = axes.imshow(P[:, kept], cmap="Blues", norm=_square_root(float(P[:, kept].max())), aspect="auto")
    axes.set_xticks(range(len(columns)), columns)
    for tick in axes.get_xticklabels():
        tick.set_rotation(90 if len(tick.get_text()) > 2 else 0)
    axes.set_yticks(range(len(prefixes)), [_beginning(prefix) for prefix in prefixes])
    axes.tick_params(length=0)
    axes.set_xlabel("next character")
    axes.set_title("What comes next")
    for side in axes.spines.values():
        side.set_visible(False)
    bar = figure.colorbar(image, ax=axes, label="probability", pad=0.02)
    bar.outline.set_visible(False)
    return _save(figure, path)


def project(E: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """(places (v, 2), the share of the variance that they keep) of features (v, d), by principal components."""
    centred = np.asarray(E, np.float64) - E.mean(axis=0, dtype=np.float64)
    U, S, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(E), 2))
    kept = min(2, len(S))
    places[:, :kept] = U[:, :kept] * S[:kept]
    total = float(np.square(S).sum())
    return places, float(np.square(S[:2]).sum()) / total if total > 0 else 1.0


def label(symbol: str) -> str:
    """The character so that it can be seen: a space as ␣, a mark on a circle, what has no shape as its code point."""
    if symbol in ("", " "):
        return "␣" if symbol else END
    kind = unicodedata.category(symbol)[0]
    return f"◌{symbol}" if kind == "M" else f"{ord(symbol):04X}" if kind in "CZ" else symbol


def _beginning(prefix: str) -> str:
    return label(prefix) if len(prefix) == 1 else prefix.replace(" ", "␣") or "(begin)"


def _plain(symbol: str) -> str:
    """The letter without its accents."""
    return unicodedata.normalize("NFD", symbol)[0].lower()


def _figure(width: float, height: float) -> Figure:
    """An empty figure.  Raises MissingDependencyError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError(
            "Pictures need matplotlib. Install it with: pip install 'chainrule[plot]'."
        ) from None
    # Not through pyplot: no window system is asked for, and nothing stays open.
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def _square_root(largest: float) -> Any:
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0.0, vmax=largest)


def _tidy(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes the picture as .png, whatever the name says, beside it first, then moved into place."""
    from matplotlib.font_manager import get_font_names
    from matplotlib.text import Text

    target = Path(path)
    there = set(get_font_names())
    for text in figure.findobj(Text):
        text.set_fontfamily(["DejaVu Sans", *(name for name in FONTS if name in there)])
        text.set_parse_math(False)
    with warnings.catch_warnings():
        # A character that no font of this machine has is an empty box; the picture is of use all the same.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        replace_file(target, lambda temporary: figure.savefig(temporary, format="png"))
    return target
