"""Learning from a stream of sparse records, as written for scikit-learn: only the import of MLPClassifier has changed.

python examples/sklearn_stream.py
"""

from collections.abc import Iterator

import numpy as np
from sklearn.feature_extraction import FeatureHasher
from sklearn.metrics import roc_auc_score

from chainrule import MLPClassifier

PAGES = ["home", "search", "product", "basket", "help", "account"]
SOURCES = ["mail", "advert", "direct"]


def visits(chunks: int, size: int) -> Iterator[tuple[list[dict[str, float]], np.ndarray]]:
    """Visits to a shop, and whether each ended with an order: more often after a basket, less often from an advert."""
    rng = np.random.default_rng(0)
    for _ in range(chunks):
        records, bought = [], []
        for _ in range(size):
            pages = rng.poisson([2, 1.5, 3, 0.7, 0.3, 0.5])
            source = SOURCES[rng.integers(len(SOURCES))]
            record = {f"page={page}": float(n) for page, n in zip(PAGES, pages, strict=True) if n}
            record[f"source={source}"] = 1.0
            interest = 1.8 * pages[3] - 0.9 * (source == "advert") - 0.8 * pages[4] * pages[3] - 0.6
            records.append(record)
            bought.append(rng.random() < 1 / (1 + np.exp(-interest)))
        yield records, np.where(bought, "order", "no order")


def main() -> None:
    hasher = FeatureHasher(n_features=256)
    model = MLPClassifier(hidden_layer_sizes=(32,), learning_rate_init=0.01, random_state=0)
    for k, (records, outcome) in enumerate(visits(chunks=40, size=500)):
        X = hasher.transform(records)  # sparse, CSR
        if k >= 35:
            auc = roc_auc_score(outcome == "order", model.predict_proba(X)[:, 1])
            print(f"chunk {k}: area under the curve before learning from it {auc:.3f}")
        model.partial_fit(X, outcome, classes=["no order", "order"])
    print(f"{model.t_} visits seen, loss {model.loss_:.4f}, classes {list(model.classes_)}")


if __name__ == "__main__":
    main()
