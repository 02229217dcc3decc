"""The E-step of a Gaussian field seen through linear records, at given parameters: log-likelihood (ML or REML),
posterior of the field, score, average information, and the parameters of the next EM step.

References:
    Henderson, C. R. (1984). Applications of Linear Models in Animal Breeding; Gilmour, A. R., Thompson, R. and Cullis,
    B. R. (1995). Average information REML. Biometrics 51, 1440-1450; Liu, C., Rubin, D. B. and Wu, Y. N. (1998).
    Parameter expansion to accelerate EM: the PX-EM algorithm. Biometrika 85, 755-770.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import scipy.linalg as la
from jaxtyping import Float

from latentem.forms.field.design import Moments
from latentem.forms.field.factor import NotPositiveDefinite
from latentem.forms.field.precision import Layout

LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, eq=False)
class System:
    """A linear mixed model on data.

    Args:
        layout: the field and the pattern of its precision.
        moments: what the records say.
        reml: fixed effects are integrated out (restricted likelihood); else they are maximised over.
    """

    layout: Layout
    moments: Moments
    reml: bool

    def shapes(self) -> list[int]:
        """Coordinates r of each effect."""
        return [effect.r for effect in self.layout.effects]

    def unpack(self, theta: Float[np.ndarray, " P"]) -> tuple[list[np.ndarray], float]:
        """(Lambda of each effect, residual standard deviation) of the vector of parameters: the lower triangles by
        rows, then the standard deviation."""
        roots, at = [], 0
        for r in self.shapes():
            root = np.zeros((r, r))
            low = _low(r)
            root[low] = theta[at : at + len(low[0])]
            roots.append(root)
            at += len(low[0])
        return roots, float(theta[-1])

    def pack(self, roots: Sequence[np.ndarray], sigma: float) -> Float[np.ndarray, " P"]:
        """The inverse of `unpack`."""
        return np.concatenate([*(root[_low(len(root))] for root in roots), [sigma]])

    def at(self, theta: Float[np.ndarray, " P"]) -> Point:
        """Everything there. Raises NotPositiveDefinite where the likelihood has no value."""
        return Point(self, *self.unpack(theta))


class Point:
    """A linear mixed model at given parameters. The arrays of effects have shapes (r, q) and (r, q, k)."""

    def __init__(self, system: System, roots: Sequence[np.ndarray], sigma: float) -> None:
        self.system, self.roots, self.sigma = system, list(roots), sigma
        moments, layout = system.moments, system.layout
        self.scale = 1 / sigma**2
        self.factor = layout.factor(moments.grams, roots, self.scale)
        both = [np.concatenate([zy[:, :, None], zx], axis=2) for zy, zx in zip(moments.zy, moments.zx, strict=True)]
        right = layout.join(
            [self.scale * np.einsum("ab,aqk->bqk", root, part) for root, part in zip(roots, both, strict=True)]
        )
        solved = self.factor.solve(right)
        self._t = solved[:, 1:]  # (N, p)
        p = self._t.shape[1]
        information = self.scale * moments.xx - right[:, 1:].T @ self._t
        if p:
            try:
                self._s = la.cho_factor(information)
            except la.LinAlgError:
                raise NotPositiveDefinite("fixed effects are not identified") from None
            self.beta = la.cho_solve(self._s, self.scale * moments.xy - right[:, 1:].T @ solved[:, 0])
        else:
            self._s, self.beta = (np.zeros((0, 0)), False), np.zeros(0)
        self._u = solved[:, 0] - self._t @ self.beta
        self.u = layout.split(self._u)
        self.quadratic = self.scale * (moments.yy - self.beta @ moments.xy) - float(right[:, 0] @ self._u)  # y'Py

    @cached_property
    def log_likelihood(self) -> float:
        """ML or REML, in nats."""
        s, p = self.system, len(self.beta)
        n = s.moments.n
        value = self.factor.log_determinant - s.layout.log_determinant + self.quadratic
        value += 2 * n * np.log(abs(self.sigma)) - s.moments.log_weights + (n - p * s.reml) * LOG_2PI
        if s.reml and p:
            value += 2 * float(np.log(np.abs(np.diagonal(self._s[0]))).sum())
        return -0.5 * float(value)

    @property
    def costly(self) -> bool:
        """Whether a factor and its inverse take long enough to save some."""
        return self.system.layout.symbolic.storage > 300_000

    @cached_property
    def fixed_covariance(self) -> Float[np.ndarray, "p p"]:
        """Covariance of the estimates of the fixed effects."""
        p = len(self.beta)
        return la.cho_solve(self._s, np.eye(p)) if p else np.zeros((0, 0))

    @cached_property
    def _spread(self) -> list[np.ndarray]:
        """(r, q, p) of each effect: T L with S^-1 = L L', the share of the fixed effects in the covariance of u."""
        p = len(self.beta)
        upper = la.solve_triangular(self._s[0], np.eye(p), lower=self._s[1]) if p else np.zeros((0, 0))
        return self.system.layout.split(self._t @ upper)

    def covariance(self, i: int, j: int, fixed: bool | None = None) -> Float[np.ndarray, "m ri rj"]:
        """Posterior covariances of u at the pairs of levels of the Gram matrix of effects i <= j.

        Args:
            fixed: with the uncertainty of the fixed effects; under REML by default.
        """
        found = self.factor.inverse[self.system.layout.pairs[i, j]]
        if self.system.reml if fixed is None else fixed:
            gram = self.system.moments.grams[i, j]
            found = found + _outer(self._spread[i][:, gram.rows], self._spread[j][:, gram.columns])
        return found

    @cached_property
    def products(self) -> dict[tuple[int, int], np.ndarray]:
        """(i, j) -> (ri, rj, ri, rj): sum over pairs of levels of Z_i'W Z_j [a, a'] Cov(u_b, u_b')."""
        found = {}
        for (i, j), gram in self.system.moments.grams.items():
            shape = gram.blocks.shape[1:]
            flat = gram.blocks.reshape(len(gram.blocks), -1).T @ self.covariance(i, j).reshape(len(gram.blocks), -1)
            found[i, j] = flat.reshape(*shape, *shape)
        return found

    @cached_property
    def residual_sums(self) -> list[np.ndarray]:
        """Z'We (r, q) of each effect, e what fixed and random effects leave of y."""
        s = self.system
        fitted = [np.einsum("ab,bq->aq", root, u)[:, :, None] for root, u in zip(self.roots, self.u, strict=True)]
        explained = s.layout.gram_times(s.moments.grams, fitted)
        return [
            zy - zx @ self.beta - g[:, :, 0] for zy, zx, g in zip(s.moments.zy, s.moments.zx, explained, strict=True)
        ]

    @cached_property
    def prior_quadratics(self) -> list[np.ndarray]:
        """E[u_a' K^-1 u_b | y], (r, r) of each effect."""
        s, found = self.system, []
        for effect, place, u, spread in zip(s.layout.effects, s.layout.priors, self.u, self._spread, strict=True):
            bound = effect.bound
            each = self.factor.inverse[place]
            if s.reml:
                each = each + _outer(spread[:, bound.rows], spread[:, bound.columns])
            off = np.where(bound.rows == bound.columns, 0.0, bound.values)
            total = np.einsum("m,mab->ab", bound.values, each) + np.einsum("m,mab->ba", off, each)
            found.append(total + u @ bound.weigh(u).T)
        return found

    @cached_property
    def expected_rss(self) -> float:
        """E[(y - Xb - ZDu)'W(y - Xb - ZDu) | y]."""
        kept = sum(float(np.trace(q)) for q in self.prior_quadratics)
        entries = self.system.layout.size + (len(self.beta) if self.system.reml else 0)
        # tr(C^-1 sD'GD) = entries - tr(C^-1 P), with the fixed effects in C under REML; y'Py = s e'We + u'Pu.
        return float(self.sigma**2 * (self.quadratic + entries - kept))

    @cached_property
    def score(self) -> Float[np.ndarray, " P"]:
        """Gradient of the log-likelihood in the parameters, by Fisher's identity."""
        s = self.system
        parts = []
        for i, e in enumerate(self.residual_sums):
            gradient = e @ self.u[i].T - self._traces[i]
            parts.append(self.scale * gradient)
        return s.pack(parts, -s.moments.n / self.sigma + self.expected_rss / self.sigma**3)

    @cached_property
    def _traces(self) -> list[np.ndarray]:
        """(r, r) of each effect: sum of Cov([beta, u], u_b) with Z_a'W[X, ZD]."""
        s = self.system
        found = [np.zeros((e.r, e.r)) for e in s.layout.effects]
        for (i, j), h in self.products.items():
            found[i] += np.einsum("acbd,cd->ab", h, self.roots[j])
            if i != j:
                found[j] += np.einsum("cadb,cd->ab", h, self.roots[i])
        return [t - c for t, c in zip(found, self._cross, strict=True)]

    @cached_property
    def _cross(self) -> list[np.ndarray]:
        """(r, r) of each effect: -sum of Z_a'WX Cov(beta, u_b), zero under ML."""
        s = self.system
        if not s.reml:
            return [np.zeros((e.r, e.r)) for e in s.layout.effects]
        weighted = s.layout.split(self._t @ self.fixed_covariance)
        return [np.einsum("aqk,bqk->ab", zx, w) for zx, w in zip(s.moments.zx, weighted, strict=True)]

    @cached_property
    def average_information(self) -> Float[np.ndarray, "P P"]:
        """y'P V_a P V_b P y / 2 in the parameters, V_a the derivative of the covariance of y."""
        s = self.system
        layout, moments = s.layout, s.moments
        working: list[list[np.ndarray]] = []
        for i, (effect, root) in enumerate(zip(layout.effects, self.roots, strict=True)):
            w = effect.bound.multiply(self.scale * self.residual_sums[i].T).T
            for a, b in zip(*_low(effect.r), strict=True):
                f = np.outer(root[:, b], w[a])
                f[a] += self.u[i][b]
                working.append([f if k == i else np.zeros((e.r, e.bound.size)) for k, e in enumerate(layout.effects)])
        stacked = [np.stack([f[i] for f in working], axis=2) for i in range(len(layout.effects))]
        through = layout.gram_times(moments.grams, stacked)
        last = [e[:, :, None] * (2 / self.sigma) for e in self.residual_sums]
        zf = [np.concatenate([t, e], axis=2) for t, e in zip(through, last, strict=True)]  # Z'WF
        flat_f, flat_g = layout.join(stacked), layout.join(through)
        k = len(working) + 1
        ff = np.empty((k, k))
        ff[:-1, :-1] = flat_f.T @ flat_g
        ff[:-1, -1] = ff[-1, :-1] = flat_f.T @ layout.join(last)[:, 0]
        own = sum(float(np.sum(u * e.bound.weigh(u))) for e, u in zip(layout.effects, self.u, strict=True))
        ff[-1, -1] = 4 * (self.quadratic - own)
        xf = np.zeros((len(self.beta), k))
        xf[:, :-1] = sum(np.einsum("aqp,aqk->pk", zx, f) for zx, f in zip(moments.zx, stacked, strict=True))
        right = layout.join(
            [self.scale * np.einsum("ab,aqk->bqk", root, z) for root, z in zip(self.roots, zf, strict=True)]
        )
        solved = self.factor.solve(right)
        inner = self.scale * ff - right.T @ solved
        if len(self.beta):
            lifted = self.scale * xf - (self.scale * self._joint_x()).T @ solved
            inner = inner - lifted.T @ la.cho_solve(self._s, lifted)
        return 0.5 * inner

    def _joint_x(self) -> np.ndarray:
        """D'Z'WX, (N, p)."""
        s = self.system
        parts = zip(self.roots, s.moments.zx, strict=True)
        return s.layout.join([np.einsum("ab,aqp->bqp", root, zx) for root, zx in parts])

    def em(self) -> Float[np.ndarray, " P"]:
        """The parameters after one EM step on covariances: Lambda Lambda' becomes E[b'K^-1 b] / levels."""
        roots = []
        for effect, root, q in zip(self.system.layout.effects, self.roots, self.prior_quadratics, strict=True):
            roots.append(_root(root @ q @ root.T / effect.bound.size))
        return self.system.pack(roots, float(np.sqrt(self.expected_rss / self.system.moments.n)))

    def px_em(self) -> Float[np.ndarray, " P"]:
        """The parameters after one step of parameter-expanded EM: least squares for Lambda, then the field is
        rescaled."""
        s = self.system
        effects, moments = s.layout.effects, s.moments
        sizes = [e.r**2 for e in effects]
        begin = np.concatenate([[0], np.cumsum(sizes)])
        left, right = np.zeros((begin[-1], begin[-1])), np.zeros(begin[-1])
        for (i, j), gram in moments.grams.items():
            means = np.einsum("bm,cm->mbc", self.u[i][:, gram.rows], self.u[j][:, gram.columns])
            flat = gram.blocks.reshape(len(means), -1).T @ means.reshape(len(means), -1)
            shape = gram.blocks.shape[1:]
            whole = (
                (flat.reshape(*shape, *shape) + self.products[i, j]).transpose(0, 2, 1, 3).reshape(sizes[i], sizes[j])
            )
            left[begin[i] : begin[i + 1], begin[j] : begin[j + 1]] = whole
            left[begin[j] : begin[j + 1], begin[i] : begin[i + 1]] = whole.T
        for i in range(len(effects)):
            target = (moments.zy[i] - moments.zx[i] @ self.beta) @ self.u[i].T + self._cross[i]
            right[begin[i] : begin[i + 1]] = target.ravel()
        ridge = 1e-12 * np.trace(left) / len(left)
        new = la.solve(left + ridge * np.eye(len(left)), right, assume_a="pos")
        old = np.concatenate([root.ravel() for root in self.roots])
        rss = self.expected_rss - 2 * (new - old) @ right + new @ left @ new - old @ left @ old
        roots = []
        for i, (effect, q) in enumerate(zip(effects, self.prior_quadratics, strict=True)):
            root = new[begin[i] : begin[i + 1]].reshape(effect.r, effect.r)
            roots.append(_root(root @ q @ root.T / effect.bound.size))
        return s.pack(roots, float(np.sqrt(max(rss, 1e-12 * self.expected_rss) / moments.n)))


@cache
def _low(r: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of a lower triangle, by rows."""
    return np.tril_indices(r)


def _outer(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(m, r, s) products over the last axis of (r, m, p) and (s, m, p)."""
    return np.einsum("amk,bmk->mab", one, two)


def _root(covariance: np.ndarray) -> np.ndarray:
    """The lower Cholesky factor of a covariance that may be singular."""
    covariance = (covariance + covariance.T) / 2
    try:
        return la.cholesky(covariance, lower=True)
    except la.LinAlgError:
        values, vectors = la.eigh(covariance)
        upper: Any = la.qr((vectors * np.sqrt(np.maximum(values, 0))).T, mode="r")[0]
        return (upper * np.where(np.diagonal(upper) < 0, -1.0, 1.0)[:, None]).T
