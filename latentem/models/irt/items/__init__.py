"""What an item is: log-probabilities of the categories of ONE item at ONE ability.

What flows in: the params of one item, one ability.
What flows out: log-probabilities (C,); params, where they start, what is fixed: `ItemModel`.

`densities`: formulas; `known`: a table whose rows are the models with a name; `logit_normal`: a prior on asymptotes.

To add one: a density, and a row of `known.KNOWN`.
"""

from latentem.models.irt.items.item import ItemModel

__all__ = ["ItemModel"]
