"""What follows from a fit by differentiation: information, standard errors, tests, rate, scores, influence.

What flows in: `estimate.Estimate`: a model, its data and the params at a maximum.
What flows out: matrices in the free vector u or in natural coordinates, pytrees shaped like params; NaN with its
reason where something is fixed, at the edge of its set or not identified.

`information` (observed, complete, score, expected), `errors`, `intervals`, `rate`, `scores`, `influence`,
`sensitivity`: one question a file.

To add one: a function of an `Estimate` in a file of its own, and its verb in `results/fit.py`; test it on every model
of `tests/inference/zoo.py`.
"""
