"""What others call things: the words that people bring from other libraries, and what to write here.

Nothing of chainrule is called by two names for it; an error names these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_OWN_LOSS = "there is none of that name; write your own"

NAMES: Mapping[str, Mapping[str, str | tuple[str | None, str]]] = {
    "loss": {
        **dict.fromkeys(("mse", "meansquarederror", "l2", "sse", "quadratic", "leastsquares", "ls"), "squared_error"),
        **dict.fromkeys(
            ("rmse", "rootmeansquarederror"),
            ("squared_error", "its least is theirs, and the root is told as the error"),
        ),
        **dict.fromkeys(("mae", "meanabsoluteerror", "l1", "lad"), "absolute_error"),
        **dict.fromkeys(("smoothl1", "pseudohuber"), "huber"),
        **dict.fromkeys(("pinball", "quantileregression"), "quantile"),
        **dict.fromkeys(
            (
                "ce",
                "categoricalcrossentropy",
                "sparsecategoricalcrossentropy",
                "softmaxcrossentropy",
                "multilogloss",
                "multinomial",
                "softmax",
            ),
            "cross_entropy",
        ),
        **dict.fromkeys(
            ("logloss", "log"), ("cross_entropy", "one output for each class; of one output: 'binary_cross_entropy'")
        ),
        **dict.fromkeys(("nll", "nlll", "negativeloglikelihood"), ("cross_entropy", "after softmax or log_softmax")),
        **dict.fromkeys(
            ("kl", "kldiv", "kldivergence", "kullbackleibler", "kullbackleiblerdivergence"),
            ("cross_entropy", "y may be rows of probabilities; it differs by their entropy, which no weight changes"),
        ),
        **dict.fromkeys(("bce", "binarylogloss", "logistic", "sigmoidcrossentropy"), "binary_cross_entropy"),
        **dict.fromkeys(
            ("bcewithlogits", "binarycrossentropywithlogits", "sigmoidcrossentropywithlogits"),
            ("binary_cross_entropy", "after sigmoid: the logits are used inside anyway"),
        ),
        **dict.fromkeys(
            ("crossentropywithlogits", "softmaxcrossentropywithlogits"),
            ("cross_entropy", "after softmax: the logits are used inside anyway"),
        ),
        **dict.fromkeys(("svm", "maxmargin", "margin", "hingeembedding"), "hinge"),
        **dict.fromkeys(("poissonnll", "countpoisson"), "poisson"),
        "logcosh": (None, f"{_OWN_LOSS}: Loss('abs(yhat - y) + softplus(-2 * abs(yhat - y)) - log(2)')"),
        "squaredhinge": (None, f"{_OWN_LOSS}: Loss('square(max(1 - y * yhat, 0))', kind='signs')"),
        **dict.fromkeys(
            ("mape", "meanabsolutepercentageerror"), (None, f"{_OWN_LOSS}: Loss('abs(yhat - y) / max(abs(y), 1e-6)')")
        ),
        **dict.fromkeys(
            ("msle", "meansquaredlogarithmicerror"), (None, f"{_OWN_LOSS}: Loss('square(log1p(yhat) - log1p(y))')")
        ),
        **dict.fromkeys(
            ("gaussian", "gaussiannll"),
            (None, f"{_OWN_LOSS}: Loss('0.5 * v + 0.5 * (yhat - y) ** 2 * exp(-v)', values=('v',))"),
        ),
    },
    "activation": {
        **dict.fromkeys(("rectifier", "rectifiedlinear", "ramp", "rel"), "relu"),
        **dict.fromkeys(("none", "logits", "no", "id"), "identity"),
        "lrelu": "leaky_relu",
        **dict.fromkeys(("sigm", "expit"), "sigmoid"),
        "hardtanh": (None, "write Activation('clip(z, -1, 1)')"),
        "hardswish": (None, "write Activation('z * clip(z / 6 + 0.5, 0, 1)')"),
        "relu6": (None, "write Activation('clip(z, 0, 6)')"),
        "logsigmoid": (None, "write Activation('-softplus(-z)')"),
        "prelu": (None, "write Activation('max(z, 0) + a * min(z, 0)', a=Parameter('n', value=0.25))"),
        **{name: (None, f"write Activation('{name}(z)')") for name in ("sin", "cos", "exp", "sinh", "square", "abs")},
    },
    "optimizer": {
        **dict.fromkeys(("gd", "gradientdescent", "stochasticgradientdescent", "vanilla"), "sgd"),
        **dict.fromkeys(("momentum", "sgdm", "heavyball"), ("sgd", "with a momentum, SGD(0.1, momentum=0.9)")),
        **dict.fromkeys(("nesterov", "nag"), ("sgd", "SGD(0.1, momentum=0.9, nesterov=True)")),
        "amsgrad": ("adam", "Adam(amsgrad=True)"),
        **dict.fromkeys(("adamax", "radam", "adabelief", "lamb", "ftrl"), ("adam", "the nearest that there is")),
        "adadelta": ("rmsprop", "the nearest that there is"),
        **dict.fromkeys(
            ("lbfgs", "bfgs", "newton"),
            (None, "quasi-Newton is what MLPClassifier(solver='lbfgs') and MLPRegressor(solver='lbfgs') take"),
        ),
    },
    "function": {
        "ln": "log",
        **dict.fromkeys(("σ", "logistic", "expit"), "sigmoid"),
        **dict.fromkeys(("absolute", "fabs"), "abs"),
        "power": ("pow", "or x ** y"),
        "avg": "mean",
        "average": "mean",
        "log10": (None, "write log(x) / log(10)"),
        "log2": (None, "write log(x) / log(2)"),
        "exp2": (None, "write 2 ** x"),
        **dict.fromkeys(("iif", "cond", "ifelse", "select"), "where"),
        **dict.fromkeys(("heaviside", "step"), (None, "write where(x > 0, 1, 0)")),
        **dict.fromkeys(
            ("atan", "arctan", "atan2"), (None, "there is none; tanh(x) and x / (1 + abs(x)) are shaped like it")
        ),
        **dict.fromkeys(("floor", "ceil", "round", "int"), (None, "there is none: its slope is 0 wherever it has one")),
        "sec": (None, "write 1 / cos(x)"),
        "cot": (None, "write 1 / tan(x)"),
        "prod": (None, "write exp(sum(log(x))), of numbers above 0"),
    },
    "precision": {
        **dict.fromkeys(("float32", "fp32", "f32", "full", "ieee", "default", "float"), "highest"),
        **dict.fromkeys(
            ("bfloat16", "bf16", "mixed", "mixedbfloat16", "bf16mixed", "amp", "autocast", "low", "half"),
            ("medium", "one product of bfloat16 numbers, added up in float32"),
        ),
        **dict.fromkeys(
            ("tf32", "tensorfloat32", "bfloat163x", "bf16x3"),
            ("high", "three products of bfloat16 numbers, added up in float32"),
        ),
        **dict.fromkeys(
            ("float16", "fp16", "16", "fp16mixed"),
            (None, "there is no float16, whose numbers end at 65504; 'medium' takes products of bfloat16 numbers"),
        ),
        **dict.fromkeys(("float64", "fp64", "double", "64"), (None, "write dtype='float64', without a precision")),
    },
}
"""By kind of name, each word without its case, underlines and hyphens: the name here, or (name, what else to know)."""


def here(kind: str, word: str, known: Iterable[str]) -> str | None:
    """What to write for a word from elsewhere, as a sentence; None where that is not known.

    kind: "loss", "activation", "optimizer", "function" or "precision".  known: the names there are.
    """
    plain, names = _plain(word), list(known)
    same = next((name for name in names if _plain(name) == plain), None)
    if same is not None:
        return f"Did you mean {same!r}?"
    table = NAMES.get(kind, {})
    said = table.get(plain, table.get(plain.removesuffix("loss").removesuffix("activation")))
    if said is None:
        short = next((name for name in names if _plain(name) == plain.removesuffix("loss")), None)
        return None if short is None or kind != "loss" else f"Write {short!r}."
    write, more = (said, "") if isinstance(said, str) else said
    if write is None:
        return f"{more[0].upper()}{more[1:]}."
    return None if write not in names else f"Write {': '.join(filter(None, (repr(write), more)))}."


def _plain(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter.isalnum())


def no_attribute(owner: str, word: str, elsewhere: Mapping[str, str]) -> str:
    """The message about an attribute that there is not, with what to write instead where others have one."""
    write = elsewhere.get(word)
    return f"{owner} has no attribute {word!r}" + ("" if write is None else f". Write {write}.")


ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("lr", "eta", "step_size", "rate", "learningrate"), ("learning_rate_init", "learning_rate")),
    **dict.fromkeys(
        ("n_epochs", "num_epochs", "nb_epoch", "max_epochs", "n_iter", "iterations", "num_iterations"),
        ("epochs", "max_iter"),
    ),
    "epochs": ("max_iter",),
    "max_iter": ("epochs",),
    **dict.fromkeys(("batchsize", "bs", "batch", "minibatch_size"), ("batch_size",)),
    **dict.fromkeys(
        ("val_data", "validation", "valid", "eval_set", "validation_set", "test_data"), ("validation_data",)
    ),
    "validation_split": ("validation_fraction",),
    "callback": ("callbacks",),
    **dict.fromkeys(("weights", "sample_weights", "w"), ("sample_weight",)),
    **dict.fromkeys(("class_weights",), ("class_weight",)),
    **dict.fromkeys(("x", "data", "features", "inputs", "samples"), ("X",)),
    **dict.fromkeys(("Y", "targets", "target", "labels", "outputs"), ("y",)),
    **dict.fromkeys(
        ("input_shape", "input_dim", "n_inputs", "in_features", "input_size", "n_features", "num_inputs", "features"),
        ("inputs", "X"),
    ),
    **dict.fromkeys(
        ("out_features", "n_units", "size", "width", "output_dim", "n_neurons", "neurons", "hidden_size", "outputs"),
        ("units",),
    ),
    **dict.fromkeys(("activation_function", "act", "nonlinearity", "activation_fn"), ("activation",)),
    **dict.fromkeys(("criterion", "objective", "loss_fn", "loss_function", "cost_function", "cost"), ("loss",)),
    **dict.fromkeys(("weight_decay", "l2_reg", "alpha", "reg", "lambda_", "regularization"), ("l2", "alpha")),
    "l2": ("alpha",),
    "l1_reg": ("l1",),
    **dict.fromkeys(("random_state", "random_seed", "rng", "key"), ("seed",)),
    "seed": ("random_state",),
    **dict.fromkeys(("betas", "b1", "beta_1", "momentum"), ("beta1",)),
    **dict.fromkeys(("b2", "beta_2"), ("beta2",)),
    "eps": ("epsilon",),
    **dict.fromkeys(("rho", "alpha_decay"), ("decay",)),
    **dict.fromkeys(("clipnorm", "max_grad_norm", "grad_clip", "global_clipnorm", "gradient_clip"), ("clip_norm",)),
    "clipvalue": ("clip_value",),
    **dict.fromkeys(("p", "dropout", "dropout_rate", "prob", "drop_rate"), ("rate",)),
    **dict.fromkeys(("hidden", "hidden_layers", "layer_sizes", "units", "layers"), ("hidden_layer_sizes",)),
    **dict.fromkeys(("use_bias",), ("bias",)),
    **dict.fromkeys(("kernel_initializer", "initializer", "init", "weight_init", "initialization"), ("initialiser",)),
    **dict.fromkeys(("n", "epochs_without_gain", "n_iter_no_change", "rounds", "stopping_rounds"), ("patience",)),
    "patience": ("n_iter_no_change",),
    **dict.fromkeys(("opt", "optim", "optimiser", "solver", "algorithm"), ("optimizer",)),
    **dict.fromkeys(("precision", "data_type", "float_type"), ("dtype",)),
    **dict.fromkeys(("backend",), ("engine",)),
    **dict.fromkeys(("n_jobs", "num_threads", "n_threads", "workers"), ("threads",)),
    **dict.fromkeys(("timeout", "max_time", "max_seconds", "time_budget"), ("time_limit",)),
    **dict.fromkeys(("normalization", "batch_norm", "batchnorm", "norm"), ("normalisation",)),
    **dict.fromkeys(("smoothing",), ("label_smoothing",)),
    **dict.fromkeys(("return_best", "restore_best", "restore_best_model"), ("restore_best_weights", "keep_best")),
    **dict.fromkeys(("progress", "progress_bar", "verbosity"), ("verbose",)),
    **dict.fromkeys(("filename", "file", "filepath"), ("path",)),
    **dict.fromkeys(("num_embeddings", "vocabulary", "vocab_size"), ("tokens", "count")),
    **dict.fromkeys(("lr_max", "max_lr", "initial_lr", "base_lr"), ("peak", "rate")),
}
"""A word from elsewhere -> the names of arguments here, of which a call takes the first that it has."""


INSTEAD: Mapping[tuple[str, str], str] = {
    ("optimizer", "learning_rate"): "The learning rate is the optimizer's: optimizer=cr.Adam(learning_rate={value}).",
    ("optimizer", "lr"): "The learning rate is the optimizer's: optimizer=cr.Adam(learning_rate={value}).",
    ("optimizer", "momentum"): "Momentum is the optimizer's: optimizer=cr.SGD(0.1, momentum={value}).",
    ("optimizer", "weight_decay"): "Weight decay is the optimizer's: optimizer=cr.AdamW(weight_decay={value}).",
    ("optimizer", "clip_norm"): "Clipping is the optimizer's: optimizer=cr.Adam(clip_norm={value}).",
    ("optimizer", "schedule"): "A schedule stands for the learning rate: optimizer=cr.Adam(cr.Cosine(0.001)).",
    ("validation_data", "validation_split"): "Give what is held out itself: validation_data=(X_valid, y_valid); "
    "MLPClassifier and MLPRegressor hold a part out themselves (validation_fraction).",
    ("callbacks", "early_stopping"): "Write callbacks=[cr.EarlyStopping(10)], with validation_data.",
    ("callbacks", "patience"): "Write callbacks=[cr.EarlyStopping({value})], with validation_data.",
    ("callbacks", "metrics"): "Leave it out: accuracy or error are told beside the cost of validation_data.",
    ("sample_weight", "class_weight"): "Give each sample the weight of its class, sample_weight=weights[y]; "
    "MLPClassifier takes class_weight.",
    ("validation_data", "loss"): "The loss is the network's: Network(..., loss={value}).",
    ("validation_data", "epochs"): "It is a setting of the estimator: max_iter={value}.",
    ("validation_data", "max_iter"): "It is a setting of the estimator: max_iter={value}.",
    ("continue_", "warm_start"): "Write continue_=True.",
    ("layers", "optimizer"): "It belongs to fit: net.fit(X, y, epochs=20, optimizer={value}).",
    ("layers", "metrics"): "Leave it out: net.evaluate(X, y) tells accuracy or error.",
    ("layers", "epochs"): "It belongs to fit: net.fit(X, y, epochs={value}).",
    ("layers", "batch_size"): "It belongs to fit: net.fit(X, y, epochs=20, batch_size={value}).",
    ("layers", "learning_rate"): "It belongs to the optimizer: net.fit(X, y, epochs=20, optimizer=cr.Adam({value})).",
    ("layers", "lr"): "It belongs to the optimizer: net.fit(X, y, epochs=20, optimizer=cr.Adam({value})).",
    ("layers", "activation"): "Each layer has its own: Dense(64, {value}).",
    ("layers", "dropout"): "It is a layer of its own: Dropout({value}).",
    ("layers", "outputs"): "The last layer says how many there are: Dense({value}, 'softmax').",
    ("layers", "device"): "There is no other device than the processor; leave it out.",
    (
        "learning_rate",
        "weight_decay",
    ): "AdamW, Lion, Muon and Adafactor have it; Network(..., l2=...) adds a penalty to the cost.",
    ("learning_rate", "nesterov"): "SGD and Muon have it; NAdam is Adam with it.",
    ("learning_rate", "decay"): "Let the rate fall by a schedule: {owner}(cr.ExponentialDecay(...)).",
    ("learning_rate", "params"): "Leave it out: fit hands the optimizer the network's parameters.",
    ("units", "input_shape"): "Leave it out: Network(inputs=...) says it, and each layer knows what is below.",
    ("units", "in_features"): "Leave it out: Network(inputs=...) says it, and each layer knows what is below.",
    ("units", "input_dim"): "Leave it out: Network(inputs=...) says it, and each layer knows what is below.",
    ("units", "dropout"): "It is a layer of its own: Dropout({value}), after this one.",
    ("units", "kernel_regularizer"): "Penalties are the network's: Network(..., l1=..., l2=...).",
    ("X", "batch_size"): "Leave it out: all rows are taken at once.",
    ("X", "verbose"): "Leave it out: nothing is printed.",
}
"""(An argument that a call has, one that it has not) -> what to do instead; {value}: what came, {owner}: to whom."""

PUBLIC: Mapping[str, str] = {
    **dict.fromkeys(("Sequential", "Model", "Module", "MLP", "NeuralNetwork"), "Network(inputs, layers, loss)"),
    **dict.fromkeys(("Linear", "Layer_Dense", "FullyConnected"), "Dense(units, activation)"),
    **{name: f"Dense(units, {name.lower()!r})" for name in ("ReLU", "Sigmoid", "Tanh", "Softmax", "GELU", "SiLU")},
    "LeakyReLU": "Dense(units, 'leaky_relu')",
    **dict.fromkeys(("Input", "InputLayer"), "Network(inputs=...), which says how many there are"),
    **dict.fromkeys(("MSELoss", "mse"), "loss='squared_error'"),
    **dict.fromkeys(("CrossEntropyLoss", "NLLLoss"), "loss='cross_entropy'"),
    **dict.fromkeys(("BCELoss", "BCEWithLogitsLoss"), "loss='binary_cross_entropy'"),
    **dict.fromkeys(("BatchNormalization", "BatchNorm1d"), "BatchNorm()"),
    "LayerNormalization": "LayerNorm()",
    **dict.fromkeys(("load", "load_model"), "Network.load(path), or load_run(folder) for what the command has trained"),
    **dict.fromkeys(("fit", "train"), "Network(...).fit(X, y, epochs=20), or fit_table(frame, target=...)"),
    **dict.fromkeys(("grad", "backward", "autograd"), "Network.gradients(X, y), and derive(...) for their equations"),
    "optim": "Adam, SGD, ... as they are",
    "activations": "Dense(units, 'relu'), by their names",
    "losses": "loss='cross_entropy', by their names",
}
"""What other packages have at their top -> what to write here."""

METHODS: Mapping[str, str] = {
    "compile": "nothing: fit takes the optimizer, and Network(...) the loss",
    **dict.fromkeys(("train", "train_on_batch", "partial_fit"), "fit(X, y, epochs=...); continue_=True goes on"),
    **dict.fromkeys(("forward", "predict_proba", "__call__", "predict_on_batch"), "predict(X)"),
    "predict_classes": "predict(X).argmax(axis=1)",
    **dict.fromkeys(("backward", "grad", "gradient", "grads"), "gradients(X, y)"),
    "score": "evaluate(X, y)",
    **dict.fromkeys(("weights", "params", "state_dict", "get_weights", "coefs_", "variables"), "parameters, by name"),
    **dict.fromkeys(("load_state_dict", "set_weights"), "parameters['W1'] = array"),
    "layers": "spec.layers",
    "save_weights": "save(path)",
    "loss": "spec.loss",
    "add": "Network(inputs, layers, loss): all layers at once",
    "to": "nothing: there is no other device than the processor",
    "equations": "print(net.program)",
}
"""What networks of others have -> what to write here."""

NEEDED: Mapping[str, str] = {
    "epochs": "how often the samples are gone through, epochs=20 say",
    "loss": "'cross_entropy' for classes, 'binary_cross_entropy' for yes and no, 'squared_error' for numbers say",
    "layers": "the list of them, [Dense(64, 'relu'), Dense(10, 'softmax')] say",
    "inputs": "how many features a sample has, inputs=784 say",
    "units": "how many outputs the layer has, Dense(64) say",
    "X": "the samples, a row each",
    "y": "the targets, one for each sample",
    "rate": "the part that is dropped, or the learning rate, as the docstring says",
    "path": "the name of a file",
    "spec": "a NetworkSpec",
}
"""An argument that has to be given -> what it is."""
