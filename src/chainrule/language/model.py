"""CharacterModel: the next character from the previous ones, through a trained embedding."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule import model_file
from chainrule.checks import positive_integer
from chainrule.describe.embedding import Embedding
from chainrule.describe.layers import BatchNorm, Dense, Dropout, GivenActivation, Layer, LayerNorm
from chainrule.describe.optimizers import SGD, Optimizer
from chainrule.describe.schedules import StepDecay
from chainrule.errors import DataError, SpecError, expected
from chainrule.language import sampling
from chainrule.language.vocabulary import Tokens, Vocabulary, checked
from chainrule.language.windows import windows
from chainrule.network import Network
from chainrule.train.alone import MARK, alone
from chainrule.train.callbacks import Callback, WeightAverage
from chainrule.train.history import History

Array = NDArray[Any]
Normalisation = Literal["layer", "batch"]
CALM = 0.01
"""Standard deviation of the last layer's first weights: every character is about as probable as any other."""
_CHUNK = 16_384
"""Samples that are predicted at once."""
_LARGE = 100_000
"""Parameters from which on a loaded model is worth compiling, before it is known what it is wanted for."""
_NORMALISATIONS: Mapping[str, type[LayerNorm] | type[BatchNorm]] = {"layer": LayerNorm, "batch": BatchNorm}


@dataclass(frozen=True, eq=False)
class Score:
    """What names cost, in nats: -log of the probability that the model gives them, their end among it."""

    per_name: NDArray[np.float64]
    """(n,) of each whole name."""
    lengths: NDArray[np.int64]
    """(n,) its characters, the end among them."""
    per_character: float
    """The mean over all characters of all names, Σ per_name / Σ lengths."""


class CharacterModel:
    """A network that learns to spell: P(next character | the `context` characters before), and what follows from it.

        model = CharacterModel(context=3, embedding=10, hidden=(200,)).fit(names)
        model.sample(10, prefix="jo")

    embedding: features of a character.  hidden: widths; each layer is Dense → normalisation ("layer" or "batch") →
    activation → dropout.  embedding_dropout: of the embedded context's features.  weights: the hidden layers'
    initialiser.  calm: the last layer begins with small weights (N(0, 0.01²)), so that no character is believed in
    before it was seen.  dtype, seed, engine: as of Network.  vocabulary: by default the characters of the names that
    are learned first.
    Raises SpecError.
    """

    context: int
    """Characters looked back at."""
    history: History | None
    """Of the last fit."""
    _settings: dict[str, Any]
    _network: Network | None
    _vocabulary: Vocabulary | None
    _longest: int

    def __init__(
        self,
        context: int = 3,
        embedding: int = 10,
        hidden: Sequence[int] = (200,),
        activation: GivenActivation = "tanh",
        *,
        normalisation: Normalisation | None = None,
        dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        weights: str | float | None = None,
        calm: bool = True,
        dtype: str = "float32",
        seed: int | None = 0,
        engine: str = "auto",
        vocabulary: Vocabulary | None = None,
    ) -> None:
        faults = []
        for name, value in (("context", context), ("embedding", embedding)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                faults.append(expected(name, "a positive whole number", value))
        if isinstance(hidden, str) or not isinstance(hidden, Sequence):
            faults.append(expected("hidden", "the widths of the hidden layers, (200,) say", hidden))
        if normalisation is not None and normalisation not in _NORMALISATIONS:
            faults.append(expected("normalisation", "'layer', 'batch' or None", normalisation))
        if vocabulary is not None and not isinstance(vocabulary, Vocabulary):
            faults.append(expected("vocabulary", "a Vocabulary, Vocabulary.from_names(names) say", vocabulary))
        if faults:
            raise SpecError(faults)
        self._keep(int(context), {"dtype": dtype, "seed": seed, "engine": engine}, vocabulary)
        self._parts = (embedding, tuple(hidden), activation, normalisation, dropout, embedding_dropout, weights, calm)
        self._build(Vocabulary(("a", "b")))  # what cannot be is said now, not when names are learned
        self._network = None
        if vocabulary is not None:
            self._build(vocabulary)

    # --- what it is ----------------------------------------------------------------------------------------------

    @property
    def vocabulary(self) -> Vocabulary:
        """The characters it knows.  Raises DataError before it has learned any."""
        if self._vocabulary is None:
            raise DataError("The model knows no characters yet: call fit(names) first, or give a vocabulary.")
        return self._vocabulary

    @property
    def network(self) -> Network:
        """The network behind it.  Raises DataError before there is one."""
        if self._network is None:
            raise DataError("The model has learned nothing yet: call fit(names) first, or give a vocabulary.")
        return self._network

    @property
    def embedding_(self) -> Array:
        """(v, embedding): the features of each token; row 0 is the boundary's, row k + 1 that of character k."""
        return self.network.parameters["E"].copy()

    def __repr__(self) -> str:
        known = "nothing learned yet" if self._vocabulary is None else f"{len(self._vocabulary.characters)} characters"
        net = "" if self._network is None else f", {self._network!r}"
        return f"CharacterModel(context={self.context}, {known}{net})"

    def __getstate__(self) -> dict[str, Any]:
        """All but the mark of a fit that is under way: a copy is not being fitted."""
        return {k: v for k, v in vars(self).items() if k != MARK}

    # --- learning ------------------------------------------------------------------------------------------------

    def fit(
        self,
        names: Iterable[str],
        *,
        validation: Iterable[str] | None = None,
        epochs: int = 35,
        batch_size: int = 32,
        optimizer: Optimizer | None = None,
        average: int = 0,
        callbacks: Iterable[Callback] = (),
        verbose: bool | Literal["auto"] = "auto",
        threads: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        every: int | str = 1,
        resume: bool = False,
    ) -> CharacterModel:
        """Learns from the names, every character of each (and its end) being one sample; a second fit goes on.

        optimizer: by default gradient descent, at 0.1 for the first half of the epochs and 0.01 for the other.
        average: of so many last epochs the weights are averaged (see WeightAverage); 0 keeps the last ones.
        The others as of `Network.fit`.  `history` is the record of the epochs.
        Raises DataError for no names, or characters that a vocabulary given before does not hold.
        """
        with alone(self, "character model"):
            return self._fit(
                names,
                validation,
                epochs,
                batch_size,
                optimizer,
                average,
                callbacks=callbacks,
                verbose=verbose,
                threads=threads,
                checkpoint=checkpoint,
                every=every,
                resume=resume,
            )

    def _fit(
        self,
        names: Iterable[str],
        validation: Iterable[str] | None,
        epochs: int,
        batch_size: int,
        optimizer: Optimizer | None,
        average: int,
        *,
        callbacks: Iterable[Callback],
        **options: Any,
    ) -> CharacterModel:
        names = checked(names)
        held_out = None if validation is None else checked(validation)
        positive_integer("epochs", epochs)
        if isinstance(average, bool) or not isinstance(average, int) or not 0 <= average <= epochs:
            raise SpecError(expected("average", f"a whole number from 0 to the {epochs} epochs", average))
        if not names or held_out == []:
            raise DataError("There are no names to learn from." if not names else "There are no names to validate on.")
        if self._vocabulary is None:
            self._vocabulary = Vocabulary.from_names([*names, *(held_out or ())])
        if self._network is None:
            self._build(self._vocabulary)
        X, y = _full_batches(*self.windows(names), positive_integer("batch_size", batch_size))
        self._longest = max(self._longest, max(map(len, names)))
        rate = StepDecay(0.1, every=-(-epochs // 2))
        try:
            self.network.fit(
                X,
                y,
                epochs=epochs,
                batch_size=batch_size,
                optimizer=SGD(rate) if optimizer is None else optimizer,
                validation_data=None if held_out is None else self.windows(held_out),
                callbacks=[*callbacks, *([WeightAverage(average)] if average else [])],
                **options,
            )
        finally:
            self.history = self.network.history
        return self

    def windows(self, names: Iterable[str], unknown: str | None = None) -> tuple[Tokens, Tokens]:
        """(X (m, context), y (m,)): each character of each name, and its end, after the characters before it."""
        tokens, lengths = self.vocabulary.encode(checked(names), unknown)
        return windows(tokens, lengths, self.context)

    # --- what it knows -------------------------------------------------------------------------------------------

    def predict_next(self, prefix: str = "", *, unknown: str | None = None) -> dict[str, float]:
        """{character: probability} of what comes after the prefix, most probable first; "" is the end of the name."""
        P = self.next_probabilities([prefix], unknown=unknown)[0]
        symbols = self.vocabulary.symbols
        return {symbols[k]: float(P[k]) for k in np.argsort(-P, kind="stable")}

    def next_probabilities(self, prefixes: Sequence[str], *, unknown: str | None = None) -> Array:
        """(n, v): the probability of each token after each prefix; column 0 is the end, k + 1 character k."""
        tokens, lengths = self.vocabulary.encode(checked(prefixes), unknown)
        ends = np.cumsum(lengths + 1) - 1
        if not len(ends):
            raise DataError("There are no prefixes to go on from.")
        probabilities: Array = self.network.predict(windows(tokens, lengths, self.context)[0][ends])
        return probabilities

    def score(self, names: Iterable[str], *, unknown: str | None = None) -> Score:
        """What the names cost, in nats; names that the model finds probable cost little.

        unknown: the character that those the model does not know are read as; None refuses them (DataError).
        """
        names = checked(names)
        if not names:
            raise DataError("There are no names to score.")
        tokens, lengths = self.vocabulary.encode(names, unknown)
        X, y = windows(tokens, lengths, self.context)
        cost = np.empty(len(y), np.float64)
        for start in range(0, len(y), _CHUNK):
            part = slice(start, start + _CHUNK)
            P = self.network.predict(X[part])
            probabilities = P[np.arange(len(P)), y[part]].astype(np.float64)
            cost[part] = -np.log(np.maximum(probabilities, np.finfo(P.dtype).tiny))
        ends = np.cumsum(lengths + 1)
        per_name = np.add.reduceat(cost, ends - lengths - 1)
        return Score(per_name, lengths + 1, float(cost.mean()))

    def sample(
        self,
        n: int = 10,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        prefix: str = "",
        seed: int | None = None,
        longest: int | None = None,
        unknown: str | None = None,
    ) -> list[str]:
        """n invented names (some may be known ones).

        temperature: below 1 more of the probable, above 1 more of the rare.  top_k: of the k most probable characters
        only.  prefix: what each begins with.  seed: the same gives the same names.  longest: where a name that does not
        end is cut off; by default twice the length of the longest name learned.
        Raises DataError.
        """
        sampling.check(n, temperature, top_k, longest)
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0):
            raise DataError(expected("The seed", "a whole number of at least 0", seed))
        start, _ = self.vocabulary.encode([prefix], unknown)
        drawn = sampling.sample(
            self._probabilities,
            int(n),
            self.context,
            np.random.default_rng(seed),
            prefix=start,
            longest=max(2 * self._longest, len(start) + 20) if longest is None else int(longest),
            temperature=float(temperature),
            top_k=top_k,
        )
        symbols = self.vocabulary.symbols
        return ["".join([symbols[k] for k in tokens.tolist()]) for tokens in drawn]

    # --- keeping it ----------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one .safetensors file: the network, and the vocabulary beside it.  Raises DataError."""
        network = self.network
        language = {"characters": "".join(self.vocabulary.characters), "longest": self._longest}
        settings = {"dtype": network.dtype.name, "seed": network.seed, "language": language}
        model_file.save(path, network.spec, {**network.parameters, **network.state}, settings)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, engine: str = "auto") -> CharacterModel:
        """The model that was saved there, the same bits.  Raises DataError if the file is not one, or is damaged.

        engine: as of Network; with "auto" a large model is compiled at once, since sampling from it is much work.
        """
        with model_file.opened(path) as saved:
            language, spec = saved.language, saved.spec
            table = spec.layers[0]
            if language is None or not isinstance(table, Embedding):
                raise DataError(f"{path} is a network, but not a character model: it holds no vocabulary.")
            # Counted before they are looked at.
            tokens = len(language["characters"]) + 1
            if tokens != table.vocabulary or tokens != spec.outputs:
                raise DataError(f"{path} does not hold as many characters as its network has outputs.")
            vocabulary = Vocabulary(tuple(language["characters"]))
            if engine == "auto" and sum(tensor.size for tensor in saved.file.tensors.values()) >= _LARGE:
                engine = "compiled"
            model = cls.__new__(cls)
            model._keep(spec.inputs, {"dtype": saved.dtype, "seed": saved.seed, "engine": engine}, vocabulary)
            model._longest = language["longest"]
            model._network = Network.of_saved(saved, engine=engine)
        return model

    # --- behind it -----------------------------------------------------------------------------------------------

    def _keep(self, context: int, settings: dict[str, Any], vocabulary: Vocabulary | None) -> None:
        """What a model has that has learned nothing yet."""
        self.context = context
        self.history = None
        self._settings = settings
        self._network = None
        self._vocabulary = vocabulary
        self._longest = 0

    def _build(self, vocabulary: Vocabulary) -> None:
        settings: Any = self._settings
        layers = _layers(len(vocabulary), *self._parts)
        self._network = Network(self.context, layers, "cross_entropy", **settings)

    def _probabilities(self, contexts: Tokens) -> Array:
        parts = [self.network.predict(contexts[k : k + _CHUNK]) for k in range(0, len(contexts), _CHUNK)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _full_batches(X: Tokens, y: Tokens, batch_size: int) -> tuple[Tokens, Tokens]:
    """As many samples more (the first ones again) as make the last batch full, where there is more than one batch.

    A last batch of a single character would be a step as long as any other, towards that character alone: at a rate of
    0.1 it costs the model 0.5 nats.
    """
    lacking = -len(y) % batch_size if len(y) > batch_size else 0
    return (np.concatenate([X, X[:lacking]]), np.concatenate([y, y[:lacking]])) if lacking else (X, y)


def _layers(
    v: int,
    embedding: int,
    hidden: tuple[int, ...],
    activation: GivenActivation,
    normalisation: Normalisation | None,
    dropout: float,
    embedding_dropout: float,
    weights: str | float | None,
    calm: bool,
) -> list[Layer]:
    """Embedding, then for each width Dense → normalisation → activation → dropout, then a softmax of v."""
    layers: list[Layer] = [Embedding(v, embedding)]
    if embedding_dropout:
        layers.append(Dropout(embedding_dropout))
    for width in hidden:
        if normalisation is None:
            layers.append(Dense(width, activation, weights=weights))
        else:
            layers += [Dense(width, weights=weights), _NORMALISATIONS[normalisation](activation)]
        if dropout:
            layers.append(Dropout(dropout))
    layers.append(Dense(v, "softmax", weights=CALM if calm else None))
    return layers
