"""MLPClassifier and MLPRegressor: scikit-learn's contract over chainrule's networks, and what was refused there."""

from chainrule.estimators.classifier import MLPClassifier
from chainrule.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
