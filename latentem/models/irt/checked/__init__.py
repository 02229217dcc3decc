"""How the fit of an item response model is checked.

What flows in: a `Fit` of an `IRT` with its data.
What flows out: statistics with degrees of freedom and p-values, residuals, tests, as dicts of columns.

`item_fit`, `person_fit`, `model_fit`: S-X2, infit and outfit, M2 and its kin; `residuals`: pairs of items;
`deviations`: what these add up; `dif`: items that work otherwise in another group; `check_grid`: whether nodes are
enough.

To add a check: a function of a fit in a file of its own, and its verb in `verbs`.
"""
