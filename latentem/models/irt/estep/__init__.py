"""The separable form of an item response model: what an E-step sums over persons, and the M-step on those sums.

What flows in: answers as columns of features, params of blocks and of ability.
What flows out: expected tables (blocks by nodes by categories), and params that maximise on them.

`blocks`: items that share a model lie side by side; `statistics`: features, natural parameters, M-step; `bifactor`:
the sum over many abilities as products of sums over two.

To add a structure of abilities that factors: an `e_step` like that of `bifactor`.
"""
