"""Item response theory: items, abilities, and what is asked of a fit.

What flows in: answers, persons by items; an item model; what is known of groups, covariates and loadings.
What flows out: `IRT`, a value that declares itself as a separable `lem.Model`; verbs of its fits.

- `items/`: what an item is.
- `abilities/`: who answers: the distribution of ability.
- `estep/`: the separable form: blocks of items, what is summed over persons, the M-step.
- `declare/`: from data and options to blocks: responses, layout, what is fixed, complaints.
- `asked/`: what is asked of a fit: tables of items, information, scores, linking, simulation.
- `checked/`: how the fit is checked: fit of items, persons and model, DIF, the grid.
- `irt`, `verbs`: the declaration, and the table of what its fits answer.

Rooms import what lies above them in this list. To add an item model: `ItemModel(...)` is public; one with a name is a
row of `items/known.KNOWN`. To add a question: a function of a fit in `asked/` or `checked/`, and its verb.
"""

from latentem.models.irt.declare.responses import responses
from latentem.models.irt.irt import IRT
from latentem.models.irt.items import ItemModel
from latentem.models.irt.items.logit_normal import logit_normal

__all__ = ["IRT", "ItemModel", "logit_normal", "responses"]
