"""Forms: how log p(x, z | params) is computed on all observations, so that an E-step adds over rows.

What flows in: a `Model`, and checked data.
What flows out: a `Form`, a hashable value, and the data as it wants them, `Prepared`. These two are all that M-steps,
drivers and inference know about data: `expect`, `q`, `statistics`, `maximize`, `log_prob`.

- `base`: `Form` and `Prepared`.
- `rows`: the declaration evaluated on every observation.
- `separable`: features . natural, two matrix products; `hard`: the same where only the most probable value counts.
- `anchors/`: a separable form that is found numerically.
- `chain/`: forward-backward on sequences.
- `choose`: which of them a model and its data get, the cheapest exact one.

To add one: a frozen dataclass below `base.Form` in a file (or folder) of its own. Write `of_new`, `chunk`,
`row_log_prob`, `expect(params, prepared) -> (log-likelihood, completed)`, `q(params, completed, prepared)`,
`statistics` and `maximize` with `has_closed_form`; `can(what)` where there is something it cannot do, and a rule in
`choose.RULES`. Fits, starts, polish, standard errors, rates and checks then work: Fisher's and Oakes' identities need
`expect` and `q` only. Rows are the minor axis of everything elementwise: (K, n). A row in
`tests/contracts/registry.py` holds it to its contract.
"""

from latentem.forms.base import Form, Prepared
from latentem.forms.rows import RowForm
from latentem.forms.separable import GivenSeparableForm, SeparableForm

__all__ = ["Form", "GivenSeparableForm", "Prepared", "RowForm", "SeparableForm"]
