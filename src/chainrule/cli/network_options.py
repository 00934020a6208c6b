"""What `derive` and `check` look at: a network from options or a saved one, and the data that run through it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.checks import as_given
from chainrule.cli.choices import DEFAULT_LOSS, activation_of, class_outputs, hidden_layers, loss_of, output_activation
from chainrule.cli.scores import tell
from chainrule.data import Dataset, Standardizer
from chainrule.data.readers import read, read_new
from chainrule.describe.file import is_description, read_description
from chainrule.describe.layers import Dense
from chainrule.describe.losses import Cost, Loss, Losses
from chainrule.describe.network import NetworkSpec
from chainrule.errors import DataError, SpecError, expected
from chainrule.network import Network
from chainrule.runs.decode import encode_classes
from chainrule.runs.folder import MODEL, SETTINGS, TABLE, find_model

Array = NDArray[Any]
INPUTS, OUTPUTS = 784, 10
"""Of a network that neither options nor data say more about."""


@dataclass(frozen=True)
class SpecOptions:
    """The options that describe a network."""

    inputs: int | None
    """Features; None for those of the data, or 784."""
    hidden: str
    """Units of the hidden layers, "256" or "128,64"."""
    outputs: int | None
    """Units of the last layer; None for those of the data, or 10."""
    activation: str
    """Of the hidden layers."""
    output_activation: str | None
    """Of the last layer; None for the one that fits the loss."""
    loss: str | None
    """By name, with a number (quantile:0.9) or as a formula; None for the one that fits."""
    l1: float
    """λ of λ/m Σ|W|."""
    l2: float
    """λ of λ/(2m) Σ W²."""
    dropout: float
    """The part of the hidden units that is dropped."""
    reduction: str
    """"mean" or "sum" of the losses."""
    normalisation: str = "none"
    """Of the hidden layers: "layer", "batch" or "none"."""
    label_smoothing: float = 0.0
    """ε of cross_entropy."""
    precision: str = "highest"
    """How products are done."""

    def spec(self) -> NetworkSpec:
        """The network they describe.  Raises SpecError where it cannot be."""
        text = self.loss or "cross_entropy"
        loss = loss_of(text, self.label_smoothing)
        chosen = self.output_activation
        last = output_activation(text) if chosen is None else activation_of(chosen)
        reduction: Any = self.reduction
        outputs = OUTPUTS if self.outputs is None else self.outputs
        return NetworkSpec(
            INPUTS if self.inputs is None else self.inputs,
            [
                *hidden_layers(self.hidden, self.activation, self.dropout, self.normalisation),
                Dense(outputs, last),
            ],
            loss,
            l1=self.l1,
            l2=self.l2,
            reduction=reduction,
            precision=self.precision,
        )


def is_model(word: str) -> bool:
    """Whether a word names a network: the folder of a run, a .safetensors file, or a description (.toml, .json)."""
    path = Path(word)
    return path.suffix == ".safetensors" or is_description(path) or _is_run(path)


def _is_run(path: Path) -> bool:
    return (path / MODEL).is_file() or _is_of_a_table(path)


def _is_of_a_table(folder: str | Path) -> bool:
    """Whether a folder holds what the recipe for tables has trained."""
    return (Path(folder) / TABLE).is_file()


def sort_words(words: list[str]) -> tuple[str | None, str | None]:
    """(MODEL, DATA) of up to two words.  Raises SpecError for two of a kind.

    A run's folder may have the name of its data: as the second word it is the data.
    """
    if len(words) == 2 and all(map(is_model, words)) and _is_run(Path(words[1])):
        return words[0], words[1]
    models = [w for w in words if is_model(w)]
    data = [w for w in words if not is_model(w)]
    if len(models) > 1 or len(data) > 1:
        raise SpecError(expected("The command", "given at most one MODEL and one DATA", " ".join(words)))
    return next(iter(models), None), next(iter(data), None)


def make_network(options: SpecOptions, model: str | None) -> Network:
    """The saved network, or a new one as the file or the options say, in float64 where it can be.

    Of a run of a table it is the first of its networks, which is told.  Raises SpecError, DataError.
    """
    if model is not None and is_description(model):
        return _of_spec(read_description(model).spec)
    if model is not None and _is_of_a_table(model):
        return _of_a_table(model, None, 0)[0]
    if model is not None:
        return Network.load(find_model(Path(model))[0], engine="reference")
    return _of_spec(options.spec())


def _of_a_table(folder: str, source: str | None, samples: int) -> tuple[Network, Any, Any]:
    """The first network of a table's run, with the first rows of the data as it takes them."""
    from chainrule.tabular.doors import first_member, load_run  # loaded for tables alone
    from chainrule.tabular.frame import read_frame

    found: Any = load_run(folder)
    frame = None if source is None else read_frame(source, header=found.header_)
    network, X, y = first_member(found, frame, samples)
    if len(found.networks_) > 1:
        tell(folder, [f"{len(found.networks_)} networks predict together; this is the first of them"])
    return network, X, y


def _of_spec(spec: NetworkSpec) -> Network:
    """A network of it, in float64 where its precision allows it."""
    dtype = "float64" if spec.precision == "highest" else "float32"
    return Network.from_spec(spec, dtype=dtype, engine="reference")


def with_data(options: SpecOptions, model: str | None, source: str | None, samples: int) -> tuple[Network, Any, Any]:
    """(network, X, y): the first samples of the data; random ones where there are none.

    Without a model the data decide the number of inputs and outputs.  Raises SpecError, DataError.
    """
    if samples < 1:
        raise SpecError(expected("--samples", "at least 1", samples))
    if source is None:
        network = make_network(options, model)
        return network, *_random(network.spec, samples)
    if model is not None and _is_of_a_table(model):
        return _of_a_table(model, source, samples)
    if model is not None:
        return _saved(model, source, samples)
    data = read(source)
    tell(data.name, data.notes)
    options = _fitted(options, data)
    network = make_network(options, None)
    X, y = data.X[:samples], data.y[:samples]
    if data.measured.any() and len(data.X) > 1:
        X = Standardizer.fit(data.X, data.measured).transform(X)
    return network, X, _encoded(network.spec, y)


def _fitted(options: SpecOptions, data: Dataset) -> SpecOptions:
    """The options with the data's own sizes, and a loss that fits them unless one was chosen."""
    loss = options.loss or DEFAULT_LOSS[data.task]
    if data.target_names is None:
        outputs = 1 if data.y.ndim == 1 else data.y.shape[1]
    else:
        outputs = class_outputs(loss_of(loss), len(data.target_names))
    sizes = (("--inputs", options.inputs, data.X.shape[1]), ("--outputs", options.outputs, outputs))
    for option, chosen, needed in sizes:
        if chosen not in (None, needed):
            raise SpecError(expected(option, f"{needed} for the data {data.name}, or left out", chosen))
    return replace(options, inputs=data.X.shape[1], outputs=outputs, loss=loss)


def _saved(model: str, source: str, samples: int) -> tuple[Network, Array, Array]:
    if is_description(model):
        network, settings = _of_spec(read_description(model).spec), None
    else:
        path, settings = find_model(Path(model))
        network = Network.load(path, engine="reference")
    if settings is not None:
        settings.check(path.with_name(SETTINGS), network.spec)
    encoder = None if settings is None else settings.encoder
    new = read_new(source, encoder, None if settings is None else settings.target, strict=True)
    tell(new.name, new.notes)
    X, y = new.X, new.y
    if y is None and settings is None:
        X, y = (data := read(source)).X, data.y
    if y is None:
        raise DataError(f"{source}: holds no targets; the cost and its gradients need them.")
    if X.shape[1] != network.spec.inputs:
        raise DataError(f"{source}: has {X.shape[1]} features; the model was trained on {network.spec.inputs}.")
    X, y = X[:samples], y[:samples]
    if settings is not None and settings.standardizer is not None:
        X = settings.standardizer.transform(X)
    if settings is not None and settings.target_standardizer is not None:
        y = settings.target_standardizer.transform(y.reshape(len(y), -1))
    return network, X, _encoded(network.spec, y)


def _encoded(spec: NetworkSpec, y: Array) -> Array:
    """Class numbers as the loss takes them."""
    if y.ndim > 1 or y.dtype.kind == "f" or isinstance(spec.loss, Losses):
        return y
    return encode_classes(y, spec.loss, spec.outputs)


def _random(spec: NetworkSpec, samples: int) -> tuple[Any, Any]:
    """Data of the network's shape, the same every time."""
    rng = np.random.default_rng(0)
    drawn = {
        i.symbol.name: rng.integers(0, i.counts, (samples, i.width))
        if i.tokens
        else rng.normal(size=(samples, i.width))
        for i in spec.sources
    }
    X: Any = as_given(spec, drawn)
    if not isinstance(spec.loss, Losses):
        return X, _drawn(spec.loss, (samples, spec.outputs), rng)
    widths = {name: spec.graph.nodes[node].width for name, node in spec.ends}
    return X, {name: _drawn(loss, (samples, widths[name]), rng) for name, loss, _ in spec.loss.parts}


def _drawn(loss: Loss | Cost, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Targets that the loss takes."""
    if loss.classes:
        return rng.integers(0, shape[1], shape[0])
    low, high = loss.between if isinstance(loss, Loss) and loss.between is not None else (-np.inf, np.inf)
    if np.isfinite(low) and np.isfinite(high):
        return rng.choice([low, high], shape)
    return np.abs(rng.normal(size=shape)) if low >= 0 else rng.normal(size=shape)
