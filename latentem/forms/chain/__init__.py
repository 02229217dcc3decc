"""Forward-backward on sequences of any lengths: the form of models with `lem.Chain`.

What flows in: `Sequences` and a model of steps, in factors (`Factored`) or as declared.
What flows out: `form.ChainForm`, with the same methods as any form; expected counts of states and moves.

- `lanes`, `layout`: where steps lie: sequences end to end on lanes, lanes in groups, stretches and blocks.
- `codebook`: steps that take few distinct values are computed once for each.
- `factors`, `potentials`: log potentials of a stretch.
- `scaled`, `logarithmic`: the recursions in two arithmetics of one signature; the second where numbers underflow.
- `walk`: the recursions over the data; only what passes between stretches is kept.
- `paths`: most probable paths and draws; what users ask for is `latentem.chain`.

To add an arithmetic: a file with the functions of `scaled`, and the rule of `walk.Walk.arithmetic`.
"""
