"""M-steps: closed form, damped Newton, gradient by any optax transformation.

What flows in: a form, completed data or expected statistics, the params before.
What flows out: params of higher expected complete-data log-likelihood (+ log prior).

`step` has one EM iteration, and the choice that "auto" stands for (`resolve`); `newton` and `gradient` climb
`form.q(params, completed)` in the free vector.

To add one: a frozen class that maximises a function of u, like `Newton`, a branch in `step.maximize`, a word in
`resolve`.
"""

from latentem.ascent.mstep.gradient import Gradient
from latentem.ascent.mstep.newton import Newton
from latentem.ascent.mstep.step import Closed, MStep, resolve

__all__ = ["Closed", "Gradient", "MStep", "Newton", "resolve"]
