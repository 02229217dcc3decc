"""Who answers: the distribution of ability on the nodes, and what answers say of persons.

What flows in: nodes, groups, covariates; answers and item params.
What flows out: log weights of the nodes for each group or person; log p of a person's answers at nodes.

`ability`: the distribution; `persons`: answers at nodes and at any ability; `rotation`: exploratory abilities; `seen`:
what the data say beside the answers.

To add a distribution of ability: a branch of `Ability` with its params, log weights on the nodes and M-step.
"""
