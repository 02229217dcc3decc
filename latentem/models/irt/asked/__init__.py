"""What is asked of a fitted item response model.

What flows in: a `Fit` of an `IRT`, new persons or abilities.
What flows out: NumPy arrays, tables as dicts of columns.

`parameters`: the table of items; `information`: of items and test, reliability; `scores`: abilities of persons;
`sum_scores`, `lord_wingersky`: the same from sums alone; `link`: a common scale; `simulate`: new persons.

To add a question: a function of a fit in a file of its own, and its verb in `verbs`.
"""
