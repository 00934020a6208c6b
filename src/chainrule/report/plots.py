"""The pictures, as `chainrule.plot`: each returns a matplotlib Figure and shows nothing by itself.

    import chainrule as cr
    cr.plot.learning_curves(history).savefig("curves.png", dpi=200)

theme="dark" is for dark paper.  Needs matplotlib: pip install 'chainrule[report]'.
"""

from chainrule.report.card import card
from chainrule.report.curves import gradient_flow, learning_curves
from chainrule.report.network_pictures import activation_histograms, network, weights
from chainrule.report.outcomes import confusion_matrix, decision_regions, numbers_beside_truth, worst_mistakes

__all__ = [
    "activation_histograms",
    "card",
    "confusion_matrix",
    "decision_regions",
    "gradient_flow",
    "learning_curves",
    "network",
    "numbers_beside_truth",
    "weights",
    "worst_mistakes",
]
