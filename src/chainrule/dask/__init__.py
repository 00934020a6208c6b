"""Networks and estimators trained by the workers of a Dask cluster, and predictions made where the rows are.

    import chainrule.dask

    model = chainrule.dask.TabularClassifier().fit(table, "income")     # table: a Dask data frame
    model.predict(new)                                                  # lazily
    model.to_local()                                                    # cr.TabularClassifier, fitted

    net = cr.Network(20, [cr.Dense(64, "relu"), cr.Dense(3, "softmax")], loss="cross_entropy")
    chainrule.dask.fit(net, X, y, epochs=10)          # X, y: Dask arrays or data frames
    chainrule.dask.predict(net, X)                    # lazily

Each worker gets partitions that follow on each other; they form a group over gloo, each with rows of its own
(`chainrule.as_group`), and what they have trained comes back.
"""

from chainrule.errors import MissingDependencyError

try:
    import dask  # noqa: F401
    import distributed  # noqa: F401
    import torch  # noqa: F401
except ImportError as error:
    raise MissingDependencyError(f"chainrule.dask needs {error.name}: pip install 'chainrule[dask]'") from None

from chainrule.dask.estimators import MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor
from chainrule.dask.networks import BATCH_SIZE, fit, predict

__all__ = [
    "BATCH_SIZE",
    "MLPClassifier",
    "MLPRegressor",
    "TabularClassifier",
    "TabularRegressor",
    "fit",
    "predict",
]
