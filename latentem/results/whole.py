"""Fits of models whose observations share one latent, so that nothing adds over rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from scipy.special import ndtri

from latentem.results import reporting
from latentem.results.fit import Fit


@dataclass(frozen=True)
class WholeFit(Fit):
    """A Fit whose observations share one latent: what other fits answer row by row, it refuses with what to ask in its
    place.

    Args:
        frame: the data, as they were given.
        weights: frequencies, or None.
    """

    frame: Any = field(default=None, repr=False)
    weights: Any = field(default=None, repr=False)

    def facts(self) -> dict[str, Any]:
        """The numbers of a fit but for its params, by name."""
        return reporting.facts(self)

    def refuse_bare(self) -> None:
        """ValueError where the fit was loaded without its model or its data, which all its verbs take."""
        missing = "model" if self.declaration is None else "data" if self.frame is None else None
        if missing is not None:
            told = f"this Fit was loaded without its {missing}"
            raise ValueError(f"{told}: pass lem.load(path, model=..., data=...) for these")

    def _refused(self, what: str, instead: str) -> Any:
        raise ValueError(f"{what}: the records of {self.name} share one latent: use {instead}")

    def confidence_intervals(self, level: float = 0.95, *, kind: str = "observed", scale: str = "natural") -> Any:
        """(lower, upper) of Wald intervals, shaped like params."""
        if not 0 < level < 1:
            raise ValueError(f"level={level!r}: expected a number between 0 and 1")
        if scale != "natural":
            raise ValueError(f"scale={scale!r}: this fit has 'natural' intervals only")
        reach = float(ndtri(0.5 + level / 2))
        errors = self.standard_errors(kind)
        return tuple(jax.tree.map(lambda a, e, r=r: a + r * e, self.params, errors) for r in (-reach, reach))

    def log_prob(self, x: Any = None) -> np.ndarray:
        """Refused: the records are not independent."""
        return self._refused("log_prob", "fit.log_likelihood")

    def posterior(self, x: Any = None) -> Any:
        """Refused: the shared latent has a verb of its own."""
        return self._refused("posterior", "the fit's predictions of its levels")

    def expect(self, *_: Any, **__: Any) -> Any:
        """Refused: the shared latent has a verb of its own."""
        return self._refused("expect", "the fit's predictions of its levels")

    def responsibilities(self, x: Any = None) -> np.ndarray:
        """Refused: the latent is not finite."""
        return self._refused("responsibilities", "the fit's predictions of its levels")

    def augment(self, data: Any = None, *, prefix: str = "") -> Any:
        """Refused: the shared latent has a verb of its own."""
        return self._refused("augment", "the fit's predictions of its levels")

    def relabel(self, order: Any) -> Any:
        """Refused: there are no components."""
        return self._refused("relabel", "the levels as they are")

    def rate(self) -> Any:
        """Refused: the fit ends with Newton's method."""
        return self._refused("rate", "fit.information()")

    def scores_per_observation(self) -> np.ndarray:
        """Refused: the records are not independent."""
        return self._refused("scores_per_observation", "fit.information()")

    def sensitivity(self, model: Any) -> Any:
        """Refused."""
        return self._refused("sensitivity", "lem.fit of the other model")

    def wald_test(self, hypothesis: Any, value: Any = 0.0, *, kind: str = "observed") -> Any:
        """Refused."""
        return self._refused("wald_test", "fit.covariance() or lem.likelihood_ratio_test")

    def influence(self) -> Any:
        """Refused, where a model has none of its own."""
        return self._refused("influence", "lem.fit without the record")

    @property
    def optima(self) -> Any:
        """None beside the one found: there is one start."""
        return ()
