"""Settings that go together, by name; docs/names.md tells what each ingredient gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from chainrule.describe.optimizers import SGD, AdamW, Optimizer
from chainrule.describe.schedules import Cosine, StepDecay
from chainrule.errors import SpecError, unknown_name
from chainrule.language.model import CharacterModel, Normalisation
from chainrule.language.vocabulary import Vocabulary
from chainrule.train.callbacks import Callback
from chainrule.train.checkpoint import Asked, kept


@dataclass(frozen=True)
class Preset:
    """A model and how it is trained; the fields are those of CharacterModel and of its fit."""

    about: str
    """For people: what it is, in a line."""
    context: int = 3
    """Characters before the one that is predicted."""
    embedding: int = 10
    """Numbers that stand for a character."""
    hidden: tuple[int, ...] = (200,)
    """Units of the hidden layers."""
    activation: str = "tanh"
    """Of the hidden layers."""
    normalisation: Normalisation | None = None
    """After each hidden layer, if any."""
    dropout: float = 0.0
    """The part of the hidden units that is dropped."""
    weights: str | float | None = None
    """How first weights are drawn; None for the activation's own way."""
    epochs: int = 35
    """How often the names are gone through."""
    batch_size: int = 32
    """Characters a batch."""
    optimizer: Optimizer = field(default_factory=lambda: SGD(StepDecay(0.1, every=18)))
    """With its learning rate and how that falls."""
    average: int = 0
    """Epochs at the end over which the weights are averaged."""

    def model(
        self,
        *,
        vocabulary: Vocabulary | None = None,
        dtype: str = "float32",
        seed: int | None = 0,
        engine: str = "auto",
    ) -> CharacterModel:
        """The model, which has learned nothing yet.  Raises SpecError."""
        return CharacterModel(
            self.context,
            self.embedding,
            self.hidden,
            self.activation,
            normalisation=self.normalisation,
            dropout=self.dropout,
            weights=self.weights,
            dtype=dtype,
            seed=seed,
            engine=engine,
            vocabulary=vocabulary,
        )

    def fit(
        self,
        model: CharacterModel,
        names: Iterable[str],
        *,
        validation: Iterable[str] | None = None,
        callbacks: Iterable[Callback] = (),
        verbose: bool | Literal["auto"] = "auto",
        threads: int | None = None,
        asked: Asked | None = None,
    ) -> CharacterModel:
        """Trains the model as the preset says; asked: for checkpoints.  Raises DataError, SpecError."""
        return model.fit(
            names,
            validation=validation,
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            average=self.average,
            callbacks=callbacks,
            verbose=verbose,
            threads=threads,
            **kept(asked),
        )


_CLASSIC = Preset(
    about="context 3, embedding 10, 200 tanh; gradient descent at 0.1, then 0.01, in batches of 32",
    weights="lecun_normal",
)

PRESETS: Mapping[str, Preset] = {
    "classic": _CLASSIC,
    "quick": Preset(
        about="context 5, 256 gelu, AdamW; better than classic in a third of its time",
        context=5,
        embedding=16,
        hidden=(256,),
        activation="gelu",
        weights="he_normal",
        dropout=0.1,
        epochs=8,
        batch_size=256,
        optimizer=AdamW(Cosine(4e-3, warmup=0.5), beta2=0.99, weight_decay=0.05),
    ),
    "best": Preset(
        about="context 8, embedding 24, twice 512 gelu with dropout, AdamW along a cosine",
        context=8,
        embedding=24,
        hidden=(512, 512),
        activation="gelu",
        weights="he_normal",
        dropout=0.35,
        epochs=20,
        batch_size=256,
        optimizer=AdamW(Cosine(2e-3, warmup=0.5, final=2e-5), beta2=0.99, weight_decay=0.05),
    ),
}


def preset(name: str) -> Preset:
    """The preset of that name.  Raises SpecError, with the nearest, where there is none."""
    if name not in PRESETS:
        raise SpecError(unknown_name("preset", name, PRESETS))
    return PRESETS[name]
