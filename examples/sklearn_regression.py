"""A regression from a table to a saved model, as written for scikit-learn: only the import of MLPRegressor has changed.

python examples/sklearn_regression.py
"""

import tempfile
from pathlib import Path

import joblib
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.inspection import permutation_importance
from sklearn.model_selection import KFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from chainrule import MLPRegressor


def main() -> None:
    data = load_diabetes()
    X_train, X_test, y_train, y_test = train_test_split(data.data, data.target, test_size=0.2, random_state=0)

    mlp = MLPRegressor(
        hidden_layer_sizes=(20, 10), activation="tanh", solver="lbfgs", alpha=30.0, max_iter=500, random_state=1
    )
    model = TransformedTargetRegressor(make_pipeline(StandardScaler(), mlp), transformer=StandardScaler())

    folds = KFold(5, shuffle=True, random_state=0)
    scores = cross_val_score(model, X_train, y_train, cv=folds)
    print(f"R2 in cross-validation: {scores.mean():.3f} +/- {scores.std():.3f}")

    model.fit(X_train, y_train)
    print(f"R2 on the test set: {model.score(X_test, y_test):.3f}")

    importance = permutation_importance(model, X_test, y_test, n_repeats=10, random_state=0).importances_mean
    for k in np.argsort(importance)[::-1][:3]:
        print(f"  {data.feature_names[k]}: {importance[k]:.3f}")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.joblib"
        joblib.dump(model, path)
        again = joblib.load(path)
    print("the loaded model predicts the same:", np.array_equal(again.predict(X_test), model.predict(X_test)))


if __name__ == "__main__":
    main()
