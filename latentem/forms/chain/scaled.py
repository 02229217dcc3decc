"""Forward-backward with scaling (Baum, Petrie, Soules and Weiss 1970; Rabiner 1989): the fast arithmetic.

Each step is divided by its largest emission and its filtered distribution by its sum. The scan bodies are as small as
they can be, so that XLA compiles a step into one function; everything else is whole-array work outside of them.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from latentem.forms.chain.potentials import Forward, Potentials, Smoothed, shifted

#: Up to this many states sums over states are written out; beyond, they are a matrix product.
UNROLLED = 16
#: A step whose scaled likelihood is below this may have lost digits to underflow: it is NaN here, and has to be
#: computed in logarithms.
UNDERFLOW = 1e-280


def push(alpha: Float[Array, "K B"], transition: Float[Array, "K K *B"]) -> Float[Array, "K B"]:
    """sum_i alpha[i] transition[i, :]: from the distribution of one state to that of the next."""
    if transition.ndim == 2 and len(alpha) > UNROLLED:
        return transition.T @ alpha
    matrix = _lanes(transition)
    total = alpha[0] * matrix[0]
    for i in range(1, len(alpha)):
        total = total + alpha[i] * matrix[i]
    return total


def pull(beta: Float[Array, "K B"], transition: Float[Array, "K K *B"]) -> Float[Array, "K B"]:
    """sum_j transition[:, j] beta[j]."""
    if transition.ndim == 2 and len(beta) > UNROLLED:
        return transition @ beta
    matrix = _lanes(transition)
    total = matrix[:, 0] * beta[0]
    for j in range(1, len(beta)):
        total = total + matrix[:, j] * beta[j]
    return total


def _sum(a: Float[Array, "K B"]) -> Float[Array, " B"]:
    return jnp.sum(a, axis=0) if len(a) > UNROLLED else sum((a[i] for i in range(1, len(a))), start=a[0])


def _inverse(c: Array) -> Array:
    return 1.0 / jnp.where(c > 0, c, 1.0)


def _numbers(p: Potentials) -> tuple[Array, Array, Array, Float[Array, "L B"]]:
    """(first, transition, emission, shift): numbers, each step's emissions divided by exp(shift)."""
    emission, shift = shifted(p.emission, 1) if p.numbers is None else p.numbers
    return jnp.exp(p.first), jnp.exp(p.transition), emission, shift


#: What the first stretch of the lanes gets from before it, and the last from after it.
OUTSIDE = (0.0, 1.0)


def forward(p: Potentials, end: Float[Array, "K B"]) -> Forward:
    """Filtered distributions and scales, from what the stretch before ended with."""
    first, transition, emission, shift = _numbers(p)
    moving = transition.ndim == 4

    def body(a: Array, x: tuple[Array, ...]) -> tuple[Array, Array]:
        b, start, *rest = x
        # The distribution of the step before is normalised on its way in, so that one array goes out of the loop.
        predicted = push(a, rest[0] if moving else transition) * _inverse(_sum(a))
        a = jnp.where(start, first, predicted) * b
        return a, a

    end, a = lax.scan(body, end, (emission, p.start, *((transition,) if moving else ())))
    c = jnp.sum(a, axis=1)
    kept = c > (UNDERFLOW if c.dtype == jnp.float64 else 1e-30)
    log_scale = jnp.where(kept, jnp.log(jnp.where(kept, c, 1.0)) + shift, jnp.nan)
    return Forward(a * _inverse(c)[:, None], log_scale, end)


def transfer(p: Potentials) -> Float[Array, "K K B"]:
    """What a stretch does to the filtered distribution before it: row i is, up to one factor for all rows, what it ends
    with when it begins in state i."""
    first, transition, emission, _ = _numbers(p)
    moving = transition.ndim == 4
    k, lanes = emission.shape[1:]

    def body(m: Array, x: tuple[Array, ...]) -> tuple[Array, None]:
        b, start, *rest = x
        matrix = _lanes(rest[0] if moving else transition)
        total = m[0, 0]
        for i in range(k):
            for j in range(0 if i else 1, k):
                total = total + m[i, j]
        moved = m[:, :1] * matrix[:1]
        for i in range(1, k):
            moved = moved + m[:, i : i + 1] * matrix[i : i + 1]
        # Where a sequence begins the row keeps its weight: the likelihood of what ended there.
        arrived = sum((m[:, j : j + 1] for j in range(1, k)), start=m[:, :1])
        return jnp.where(start, arrived * first, moved) * _inverse(total) * b, None

    begin = jnp.broadcast_to(jnp.eye(k, dtype=emission.dtype)[..., None], (k, k, lanes))
    return lax.scan(body, begin, (emission, p.start, *((transition,) if moving else ())))[0]


def joints(
    transfers: Float[Array, "m K K B"], begin: Float[Array, "K B"], end: Float[Array, "K B"]
) -> tuple[Float[Array, "m K B"], Float[Array, "m K B"]]:
    """(what each of m stretches begins with, what each ends with) where they follow one another along the lanes."""

    def forth(a: Array, m: Array) -> tuple[Array, Array]:
        new = jnp.einsum("ib,ijb->jb", a, m)
        return new * _inverse(jnp.sum(new, axis=0)), a

    def back(beta: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
        m, a = x
        new = jnp.einsum("ijb,jb->ib", m, beta)
        # As in the recursion itself: the filtered distribution times beta adds up to one.
        return new * _inverse(jnp.sum(a * new, axis=0)), beta

    # The first stretch begins with a sequence: whatever stands before it, none of it passes.
    uniform = jnp.full_like(begin, 1.0 / len(begin))
    _, begins = lax.scan(forth, uniform, transfers)
    _, ends = lax.scan(back, end, (transfers, begins), reverse=True)
    return begins, ends


def _lanes(transition: Float[Array, "K K *B"]) -> Float[Array, "K K B"]:
    return transition[..., None] if transition.ndim == 2 else transition


def backward(
    p: Potentials, f: Forward, before: Float[Array, "K B"], end: Float[Array, "K B"], weight: Float[Array, "L B"]
) -> Smoothed:
    """Smoothed distributions and pairs.

    Args:
        p, f: potentials and forward pass of this stretch.
        before: what the stretch before ended with (`Forward.end`).
        end: what the stretch after ended with (`Smoothed.end`).
        weight: (L, B) of each step.
    """
    _, transition, emission, shift = _numbers(p)
    moving = transition.ndim == 4
    # Larger than the inverse of the smallest filtered probability means that this state is impossible: 0 times it is 0.
    largest = jnp.finfo(emission.dtype).max ** 0.9
    scale = jnp.exp(jnp.where(jnp.isfinite(f.log_scale), f.log_scale - shift, 0.0))
    ratio = emission * _inverse(scale)[:, None]

    # What goes around is beta times the step's own ratio, and what goes out is the same array: XLA then makes one
    # function of the body. A step needs what leads into the NEXT one; the last takes `end`.
    following = jnp.roll(p.start, -1, axis=0)
    last = jnp.arange(len(ratio)) == len(ratio) - 1

    def body(right: Array, x: tuple[Array, ...]) -> tuple[Array, Array]:
        r, start, at_end, *rest = x
        carried = jnp.minimum(pull(right, rest[0] if moving else transition), largest)
        right = jnp.where(at_end, end, jnp.where(start, 1.0, carried)) * r
        return right, right

    xs = (ratio, following, last, *((jnp.roll(transition, -1, axis=0),) if moving else ()))
    first, right = lax.scan(body, jnp.ones_like(end), xs, reverse=True)
    before_it = pull(first, transition[0] if moving else transition)
    onward = jnp.where(p.start[0], 1.0, jnp.minimum(before_it, largest))
    tiny = jnp.finfo(ratio.dtype).tiny
    beta = jnp.where(ratio >= tiny, right / jnp.where(ratio >= tiny, ratio, 1.0), 0.0)
    possible = jnp.isfinite(f.log_scale)[:, None]
    smoothed = jnp.where((f.filtered > 0) & possible, f.filtered * beta, 0.0)
    earlier = jnp.concatenate([(before * _inverse(jnp.sum(before, axis=0)))[None], f.filtered[:-1]])
    left = jnp.where(p.start[:, None] | ~possible, 0.0, earlier)
    if moving:
        joint = left[:, :, None] * transition * right[:, None]
        return Smoothed(smoothed, jnp.where(left[:, :, None] > 0, joint, 0.0), onward)
    k = left.shape[1]
    lanes = jnp.where(possible, right * weight[:, None], 0.0)
    both = jnp.moveaxis(left, 1, 0).reshape(k, -1) @ jnp.moveaxis(lanes, 1, 0).reshape(k, -1).T
    return Smoothed(smoothed, both * transition, onward)
