"""A closed M-step maximises Q + log prior; one that ignores the weights or the prior is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util
from jaxtyping import Array, Bool, Float

from latentem.ascent.acceleration import Plain
from latentem.ascent.iteration import em_map
from latentem.ascent.loop import Stopping, at, iterate
from latentem.ascent.mstep import Closed
from latentem.forms import Form, Prepared
from latentem.numerics.compiled import seldom
from latentem.testing.case import Case
from latentem.testing.report import Part

NAME = "closed M-step"
#: Largest slope that counts as none, relative to the sum of the weights.
TOLERANCE = 1e-6
#: A step of this length, relative to 1 + that of the params, is none.
SHORT = 1e-10
#: Steps after which a walk to the fixed point is given up.
LONGEST_WALK = 5000


class Slopes(NamedTuple):
    """What one look at the closed M-step returns; gradients in u.

    Args:
        q: gradient of Q (of the log-likelihood, at rest).
        prior: gradient of the log prior.
        inside: for each parameter whether it lies in its set.
        at_edge: whether some parameter lies on the edge of its set.
        step: length of the last step.
        fell: the largest fall of the objective on the way.
    """

    q: Float[Array, " P"]
    prior: Float[Array, " P"]
    inside: Bool[Array, " leaves"]
    at_edge: Array
    step: Array
    fell: Array


def _slopes(form: Form, params: Any, q: Callable[[Any], Array], step: Array, fell: Array) -> Slopes:
    space = form.model.space
    u = space.unconstrain(params)
    leaves = space.treedef.flatten_up_to(params)
    inside = jnp.stack([c.contains(leaf) for c, leaf in zip(space.constraints, leaves, strict=True)])
    at_edge = jnp.any(jnp.stack([jnp.any(edge) for edge in jax.tree.leaves(space.boundary(params))]))
    prior = jax.grad(lambda v: form.model.log_prior(space.constrain(v)))(u)
    return Slopes(jax.grad(lambda v: q(space.constrain(v)))(u), prior, inside, at_edge, step, fell)


@seldom
def _after_step(form: Form, params: Any, prepared: Prepared) -> Slopes:
    """After one closed M-step."""
    expected = form.statistics(params, prepared)[1]
    new = form.model.space.with_fixed(form.maximize(expected, params, prepared))
    completed = form.expect(params, prepared)[1]
    zero = jnp.zeros(())
    return _slopes(form, new, lambda p: form.q(p, completed, prepared), zero, zero)


@seldom
def _at_rest(form: Form, params: Any, prepared: Prepared) -> Slopes:
    """Where EM by the closed M-step settles."""
    em, unravel = em_map(form, Closed(), prepared, params)
    theta = flatten_util.ravel_pytree(params)[0]
    # A fall on the way does not end the walk: where it leads is what tells what the step maximises.
    stop = Stopping(0.0, SHORT * (1 + jnp.linalg.norm(theta)), LONGEST_WALK, fall=jnp.inf)
    end = iterate(Plain(), em, at(Plain(), theta), stop, jnp.sum(prepared.weights))
    further = em.update(end.safe)[0]
    step = jnp.linalg.norm(further - end.safe) / (1 + jnp.linalg.norm(further))
    settled, fell = unravel(end.safe), end.fell
    # By Fisher's identity the gradient of Q(. | settled) there is the score.
    return _slopes(form, settled, lambda p: form.q(p, form.expect(settled, prepared)[1], prepared), step, fell)


def closed_form_part(case: Case) -> Part | None:
    """Whether the closed M-step leaves no slope of Q + log prior, or settles where the objective has none.

    Steps that maximise block by block, or that complete the data further than z (a Student t's scale), leave
    a slope of Q at every step, but none of the objective where they settle.
    """
    labels = case.model.space.free_names
    if not case.form.has_closed_form or not labels:
        return None
    n = len(case.prepared.weights)
    # Weights that differ, so that a step that counts rows shows.
    varied = case.weighted(np.asarray(case.data.weights) * (1.0 + np.arange(n) % 3))
    equal = case.weighted(np.ones(n))
    total = 1.0 + float(jnp.sum(varied.weights))

    def look(compute: Callable[..., Slopes], prepared: Prepared) -> tuple[Slopes, np.ndarray, float]:
        """(what was found, slopes with the prior, the largest slope without it); NaN counts as infinite."""
        found: Slopes = jax.tree.map(np.asarray, compute(case.form, case.point, prepared))
        with_prior, without = (np.nan_to_num(np.abs(a), nan=np.inf) for a in (found.q + found.prior, found.q))
        return found, with_prior, float(np.max(without))

    after, slopes, _ = look(_after_step, varied)
    if not after.inside.all():
        leaf = int(np.argmin(after.inside))
        told = f"leaves {case.model.space.names[leaf]} outside {case.model.space.constraints[leaf].describe()}"
        if look(_after_step, equal)[0].inside.all():
            return Part(NAME, False, f"{told} unless all weights are 1: it ignores the weights")
        return Part(NAME, False, f"{told}: correct maximize")
    if np.max(slopes) <= TOLERANCE * total:
        return Part(NAME, True, f"leaves no slope of Q + log prior beyond {np.max(slopes):.1e}")
    if after.at_edge:
        return Part(NAME, True, "ends at the edge of a constraint, where slopes say nothing: not decided")
    rest, slopes, without_prior = look(_at_rest, varied)
    if np.max(slopes) <= TOLERANCE * total:
        return Part(NAME, True, f"settles where the objective has no slope beyond {np.max(slopes):.1e}")
    i = int(np.argmax(slopes))
    told = f"settles where the objective still has slope {slopes[i]:.4g} in {labels[i]}"
    if not rest.step <= 1e-8:
        if not rest.fell > 1e-9 * total:
            told = f"has not settled after {LONGEST_WALK} steps, the last {rest.step:.1e} long"
            return Part(NAME, True, f"{told}: not decided")
        told = f"does not settle, and lets the objective fall by {rest.fell:.4g}"
    elif without_prior <= TOLERANCE * total:
        return Part(NAME, False, f"{told}: it ignores the prior; maximise Q + log prior, or drop includes_prior")
    if np.max(look(_at_rest, equal)[1]) <= TOLERANCE * total:
        return Part(NAME, False, f"{told}: it ignores the weights; count rows by the sum of their weights")
    return Part(NAME, False, f"{told}: it does not maximise the expected log p(x, z)")
