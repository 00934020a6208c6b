"""What a notebook shows of a fitted estimator: scikit-learn's own form, and below it what was fitted."""

from __future__ import annotations

from typing import Any, cast

from chainrule.display import Displayed


class FittedForm:
    """Stands before BaseEstimator, whose form it adds to."""

    def _repr_mimebundle_(self, **asked: object) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**asked)  # type: ignore[misc]
        form = Displayed._repr_html_(cast(Displayed, self)) if "text/html" in bundle else None
        return bundle if form is None else {**bundle, "text/html": bundle["text/html"] + form}
