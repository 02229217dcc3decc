"""How one climbs: from starts to a maximum, whatever the form.

What flows in: a form and prepared data; starts.
What flows out: params, the objective on the way, a `Status` whose text is advice.

- `mstep/`: the M-step: closed form, Newton, gradient; one EM iteration.
- `iteration`: EM by hand, `lem.em`; the EM map that accelerators see.
- `acceleration`: `Plain`, `SQUAREM`, `Anderson` on any EM map; `fixed_point`: on a bare step, `lem.accelerate`.
- `starts`: given, drawn by the model, or random and screened; `annealing`: led past poor optima first.
- `loop`: the compiled loop over all starts; `replicates`: over many data sets; `stream`: over batches that pass by.
- `derivatives`: objective, score (Fisher's identity), Hessian (Oakes' identity) in u; `polish`: Newton with them.
- `optima`: which starts to give up, which ended where the likelihood is unbounded, which optima were found.

To add an accelerator: a file in `acceleration/`, a frozen class below `Method` with `init(theta)` and
`step(em, state, tolerance) -> (state, info)` on raveled natural params; an EM map takes theta to (theta, objective at
the OLD theta). An M-step: a frozen class with a branch in `mstep.step.maximize` and a word in `mstep.resolve`.
"""
