"""Networks trained by the workers of a Dask cluster, and predictions that are made where the rows are.

    import chainrule.dask

    net = cr.Network(20, [cr.Dense(64, "relu"), cr.Dense(3, "softmax")], loss="cross_entropy")
    chainrule.dask.fit(net, X, y, epochs=10)          # X, y: Dask arrays or data frames
    chainrule.dask.predict(net, X)                    # lazily

Each worker gets partitions that follow on each other; they form a group over gloo, each with rows of its own
(`chainrule.as_group`), and the network comes back.
"""

from chainrule.dask.networks import BATCH_SIZE, fit, predict

__all__ = ["BATCH_SIZE", "fit", "predict"]
