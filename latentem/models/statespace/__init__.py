"""State space models: a Gaussian vector that moves, and readings of it, with any of them missing.

- `statespace`: the general model, every matrix with given, free and equal entries. `pattern`: what may be said of a
  matrix; `m_step`, `rough`: its EM, and where it begins.
- `structural`: level, trend, season, cycle, regression. `blocks`: their matrices; `components`: a series taken apart.
- `autoregression`: AR. `factor`: dynamic factors.
- `chained`: what they have in common. `verbs`: what a fit is asked; `ahead`, `draws`, `innovations`: the answers.
"""

from latentem.models.statespace.autoregression import AR
from latentem.models.statespace.factor import DynamicFactor
from latentem.models.statespace.statespace import StateSpace
from latentem.models.statespace.structural import LocalLevel, LocalTrend, Structural

__all__ = ["AR", "DynamicFactor", "LocalLevel", "LocalTrend", "StateSpace", "Structural"]
