"""The declaration: what a model is, never how it is computed.

What flows in: log p(x, z | params) of ONE observation and ONE latent value, a latent, a tree of constraints, a prior.
What flows out: `Model`, a frozen, hashable value; equal models compile once.

- `base`: `Model`, and what follows from it directly: posterior, evidence, score of the declaration as it stands.
- `shortcuts`: what a model may say besides, as data: an M-step in closed form (`ClosedForm`), an exponential-family
  form (`Separable`), the factors of a chain (`Factored`).
- `latents`, `quadrature`: what z is, and how its posterior follows from log p(x, z); nodes and weights.
- `labelled`: what the entries of params are called: components, columns, categories, items.
- `advice`: one table, from exceptions of tracing to what to write instead.
- `checks`: a declaration is looked at before anything is compiled: one number per observation and z, of the right
  type.

To add a latent: a frozen class below `latents.Latent` with `posterior(cll, params, x)` for one observation,
`example()`, and `nodes()` where all observations sum over the same values. It is then fitted row by row, checked,
saved and asked for standard errors like any other; a faster way to compute it is a form, in `forms/`.
"""

from latentem.model.base import Model
from latentem.model.shortcuts import ClosedForm, Factored, Separable

__all__ = ["ClosedForm", "Factored", "Model", "Separable"]
