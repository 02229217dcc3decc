"""Ways to climb of models whose records share one latent, beside `Plain` and `SQUAREM`: what `lem.Mixed` takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PX:
    """Parameter-expanded EM: after each M-step the latent is rescaled, which an M-step alone would take many steps for.

    References:
        Liu, C., Rubin, D. B. and Wu, Y. N. (1998). Parameter expansion to accelerate EM: the PX-EM algorithm.
        Biometrika 85, 755-770.
    """


@dataclass(frozen=True)
class AverageInformation:
    """Some steps of parameter-expanded EM, then Newton with the average of observed and expected information, then with
    the exact one.

    Args:
        em_steps: of parameter-expanded EM.

    References:
        Gilmour, A. R., Thompson, R. and Cullis, B. R. (1995). Average information REML. Biometrics 51, 1440-1450.
    """

    em_steps: int = 3

    def __post_init__(self) -> None:
        if not isinstance(self.em_steps, int) or self.em_steps < 0:
            raise ValueError(f"em_steps={self.em_steps!r}: expected a whole number of at least 0")
