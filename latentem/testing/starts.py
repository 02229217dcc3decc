"""Starts drawn by the model lie inside the constraints of their parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from latentem.ascent.starts import starts_for
from latentem.forms.choose import Problem
from latentem.model import Model
from latentem.numerics.compiled import seldom
from latentem.testing.case import STARTS
from latentem.testing.report import Part

NAME = "initial values"


def draw_starts(problem: Problem, key: Any) -> tuple[Any, Part]:
    """Three starts, moved inside their constraints where they are not, and the verdict on them.

    Args:
        problem: the model on its data.
        key: typed PRNG key.
    """
    model = problem.form.model

    def draw(problem: Problem) -> Any:
        return starts_for(problem, None, key, STARTS, "float64")

    if model.initial is None:
        return draw(problem), Part(NAME, True, f"{STARTS} random starts inside their constraints")
    try:
        starts = draw(problem)
        inside = np.asarray(_contained(model, starts))
    except (ValueError, TypeError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        advice = "return params shaped as declared from initial(key, observations, weights)"
        at_random = replace(problem, form=problem.form.of_model(replace(model, initial=None)))
        return draw(at_random), Part(NAME, False, f"{line}: {advice}")
    if inside.all():
        return starts, Part(NAME, True, f"{STARTS} starts of the model inside their constraints")
    start, which = (int(i) for i in np.argwhere(~inside)[0])
    value = np.asarray(jax.tree.leaves(starts)[which][start])
    shown = np.array2string(value, threshold=6).replace("\n", "")
    expected = model.space.constraints[which].describe()
    told = f"start {start} has {model.space.names[which]} = {shown}: expected {expected}"
    return _moved_inside(model, starts), Part(NAME, False, f"{told}; correct the model's initial")


@seldom
def _contained(model: Model, starts: Any) -> Bool[Array, "starts leaves"]:
    """Whether each parameter of each start has its shape and lies in its set."""
    constraints = model.space.constraints
    leaves = model.space.treedef.flatten_up_to(starts)
    for name, constraint, leaf in zip(model.space.names, constraints, leaves, strict=True):
        if leaf.shape[1:] != constraint.shape:
            raise ValueError(f"initial gives {name} the shape {leaf.shape[1:]}, expected {constraint.describe()}")
    answers = [jax.vmap(c.contains)(leaf) for c, leaf in zip(constraints, leaves, strict=True)]
    return jnp.stack(answers, axis=1)


@seldom
def _moved_inside(model: Model, starts: Any) -> Any:
    space = model.space

    def one(params: Any) -> Any:
        u = jnp.nan_to_num(space.unconstrain(params), posinf=1.0, neginf=-1.0)
        return space.with_fixed(space.constrain(u))

    return jax.vmap(one)(starts)
