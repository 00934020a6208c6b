"""A grid search over a pipeline, as it was written for scikit-learn: only the import of MLPClassifier has changed.

python examples/sklearn_search.py
"""

from sklearn.datasets import load_digits
from sklearn.metrics import classification_report
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from chainrule import MLPClassifier


def main() -> None:
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)

    pipeline = Pipeline([
        ("scale", StandardScaler()),
        ("mlp", MLPClassifier(early_stopping=True, learning_rate_init=0.01, max_iter=150, random_state=0)),
    ])  # fmt: skip
    grid = {"mlp__hidden_layer_sizes": [(32,), (64,)], "mlp__alpha": [1e-4, 1e-2]}
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2)
    search.fit(X_train, y_train)

    print("best parameters:", search.best_params_)
    print(f"accuracy in cross-validation: {search.best_score_:.4f}")
    print(f"accuracy on the test set: {search.score(X_test, y_test):.4f}")
    print(classification_report(y_test, search.predict(X_test)))

    mlp = search.best_estimator_.named_steps["mlp"]
    print(f"{mlp.n_iter_} iterations, best validation score {mlp.best_validation_score_:.4f}, loss {mlp.loss_:.6f}")


if __name__ == "__main__":
    main()
