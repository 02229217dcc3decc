"""What a fit returns.

What flows in: params, status, trace and what the driver ran on.
What flows out: `fit.Fit`: NumPy arrays, and verbs that ask for what follows: log p, posteriors, standard errors, the
file.

- `fit`: `Fit`. Verbs of a ready model are `declaration.verb(fit, ...)`.
- `estimates`, `augmenting`: estimates, and the data with what the fit says of them, as tables.
- `relabelling`: components and states in another order.
- `text`: what a statistician reads.
- `archive`: the format of the file: a NumPy archive with a JSON header. It names no module and no class of the
  package, so that files outlive moves. `load` reads it.

To add a number that every fit has: a field with a default, which older files lack. To add a question: a function in
`inference/`, and a method here that calls it.
"""
