"""Kalman filter and smoother for Gaussian chains: state space models with missing readings, on ragged sequences.

What flows in: a `Model` whose latent is a `GaussianChain`, and `Sequences` of steps {"y": readings, "u": covariates of
moves, "v": covariates of readings}.
What flows out: `KalmanForm`, whose E-step leaves `Moments`, sums of expected products.

- `lanes`: sequences end to end, cut into lanes that run side by side.
- `algebra`: small matrices whose minor axis is the lane.
- `readings`: a step, reading by reading, forwards and backwards.
- `walk`, `smoother`: filter and smoother over the lanes.
- `start`: stationary and unknown first states.
- `moments`: what an M-step sees; the expected log density. `stepwise`: the same where matrices vary with covariates.
- `regression`: bricks of closed M-steps.
- `form`: what drivers ask for. `declared`: the same where a model declares its step instead of matrices,
  by `information`.

To add a model: a function `params -> System` in `LinearGaussian(...)`; the rest follows. To add another start or kind
of noise: `start.opened`, `readings.independent`.
"""

from latentem.forms.kalman.form import KalmanForm

__all__ = ["KalmanForm"]
