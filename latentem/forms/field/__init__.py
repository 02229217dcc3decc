"""Gaussian fields: one latent vector that all observations share, with a sparse precision.

What flows in: structures (how the levels of a field hang together), and records that see some of its entries: linear
ones, added up once, or a declaration evaluated record by record.
What flows out: the log-likelihood at given params, the posterior of the field, scores; EM steps and, of linear records,
the average information.

- `symbolic`, `ordering`, `factor`: sparse Cholesky by levels of the elimination tree; its selected inverse.
- `levels`, `structures`, `pedigree`, `constructors`: names of levels; covariances K by their inverse; what users write.
- `design`, `precision`, `linear`: linear mixed models, whitened: D'Z'WZD + K^-1, its E-step.
- `latent`, `records`: `lem.Field` declared by hand; Laplace's approximation where it is not quadratic.

It is no `Form` of rows: nothing adds over observations that share a latent, so `lem.fit` hands the whole data over and
Newton runs on the host (`ascent.newton_on_host`). Patterns hold their entries explicitly: SciPy's sums of sparse
matrices drop zeros, and inverses of relationship matrices have some that cancel.

To add a structure: a frozen value with `bind(seen, name) -> Bound` in `structures` or a file of its own, and its
constructor.
"""
