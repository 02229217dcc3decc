"""Drivers: from what a user passes to a `Fit`.

What flows in: a model or ready model, data, options.
What flows out: a `Fit`; of `implicit`, params that JAX can differentiate.

- `batch`: `lem.fit`, a straight line: door, form, starts, loop, polish, proof, Fit.
- `climb`, `outcome`: from starts to where the best of them ended: the loop in chunks, the choice among starts, Newton.
- `attempt`, `remedies`: one climb of a fit; what is run next where it ended badly.
- `online`: `method="online"`: batches pass by, averages of the statistics stay.
- `implicit`: `lem.solve`, differentiable in the data, the weights and hyperparameters.
- `progress`: the line that long fits show.

To add a driver: a file here that checks at the door (`data`, `model.checks`), asks `forms.choose` for form and data,
and climbs with what `ascent` has. A new way to climb belongs there, not here.
"""
