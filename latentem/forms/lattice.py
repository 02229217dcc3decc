"""Labels on a lattice: Gaussian classes with a Potts field, p(z) = exp(coupling * pairs of equal neighbours) / Z.

The posterior of the labels is out of reach; two E-steps stand in for it.

- Mean field (Zhang 1992, IEEE Trans. Signal Processing 40): q is a product over sites, and is set site by site to
  exp(E log p) of its neighbours, in colours, so that sites set at once are no neighbours. Each step raises a bound of
  the log-likelihood. log Z is replaced by an upper bound over spanning trees (Wainwright, Jaakkola and Willsky 2005),
  exact without coupling, so that the objective stays a bound and images of one model can be compared.
- Graph cut, for two classes: the most probable labels exactly, by a maximum flow (Greig, Porteous and Seheult 1989);
  classes are then fitted to those labels (hard EM), and the objective is log p(image, labels).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from latentem.forms.host import HostForm
from latentem.numerics.lattice import colours, count_pairs, every_second, pairs

Vector = Float[np.ndarray, " D"]


def log_partition_bound(shape: tuple[int, ...], neighbours: int, classes: int, coupling: float) -> float:
    """An upper bound of log Z of a Potts field: the mean over spanning trees of the lattice, couplings raised so that
    the mean of the trees is the lattice; a tree is summed in closed form. Exact without coupling, and of trees."""
    sites, edges = int(np.prod(shape)), count_pairs(shape, neighbours)
    if not edges:
        return sites * float(np.log(classes))
    share = (sites - 1) / edges  # of the trees in which an edge occurs
    of_edge = np.logaddexp(coupling / share, np.log(classes - 1)) if classes > 1 else coupling / share
    return sites * float(np.log(classes)) + (sites - 1) * float(of_edge - np.log(classes))


@dataclass(eq=False)
class LatticeForm(HostForm):
    """EM of Gaussian classes on a lattice.

    Theta is the params of the classes, then q (K, *lattice).

    Args:
        image: (*lattice, D).
        classes: K.
        neighbours: of a site.
        coupling: of neighbours that are equal.
        sweeps: of the mean field in every E-step.
        first: (K, *lattice) responsibilities that the first M-step is made on.
        fixed: (*lattice) labels that are known, -1 where not; None where none is.
        floor: least variance of a class.
        note: what else there is to say of every fit.
    """

    image: Float[np.ndarray, "*lattice D"]
    classes: int
    neighbours: int
    coupling: float
    sweeps: int
    first: Float[np.ndarray, " K *lattice"]
    fixed: np.ndarray | None = None
    floor: float = 1e-12
    note: str | None = None

    exact: ClassVar[bool] = False
    #: The bound is further than this from the likelihood.
    tolerance: ClassVar[float] = 1e-8
    extrapolates: ClassVar[bool] = False
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.shape = self.image.shape[:-1]
        d, k = self.image.shape[-1], self.classes
        self.n_observations = float(np.prod(self.shape))
        self.sizes = (k * d, k * d * d)
        self.n_parameters = k * d + k * d * (d + 1) // 2
        self.constant = log_partition_bound(self.shape, self.neighbours, k, self.coupling)

    # --- theta

    def split(self, theta: Vector) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(means (K, D), covariances (K, D, D), q (K, *lattice)), views."""
        d, k, (a, b) = self.image.shape[-1], self.classes, self.sizes
        q = theta[a + b :].reshape(k, *self.shape)
        return theta[:a].reshape(k, d), theta[a : a + b].reshape(k, d, d), q

    def joined(self, mean: np.ndarray, covariance: np.ndarray, q: np.ndarray) -> Vector:
        """The vector of the three."""
        return np.concatenate([mean.ravel(), covariance.ravel(), q.ravel()])

    def start(self, rng: np.random.Generator, first: bool) -> Vector:
        q = self.first
        if not first:  # the same classes, blurred by chance
            q = 0.7 * q + 0.3 * rng.dirichlet(np.ones(self.classes), int(np.prod(self.shape))).T.reshape(q.shape)
        q = self.clamped(q.copy())
        return self.joined(*self.maximize(q), q)

    def clamped(self, q: np.ndarray) -> np.ndarray:
        """q with the known labels certain."""
        if self.fixed is not None:
            known = self.fixed >= 0
            q[:, known] = 0.0
            q[self.fixed[known], known] = 1.0
        return q

    # --- EM

    def log_density(self, mean: np.ndarray, covariance: np.ndarray) -> Float[np.ndarray, " K *lattice"]:
        """log N(pixel | class), for every class and pixel."""
        d = self.image.shape[-1]
        out = np.empty((self.classes, *self.shape))
        for k in range(self.classes):
            if d == 1:
                v = float(covariance[k, 0, 0])
                np.subtract(self.image[..., 0], mean[k, 0], out=out[k])
                np.square(out[k], out=out[k])
                out[k] *= -0.5 / v
                out[k] -= 0.5 * np.log(2 * np.pi * v)
                continue
            root = np.linalg.cholesky(covariance[k])
            white = (self.image - mean[k]) @ np.linalg.inv(root).T
            out[k] = -0.5 * np.einsum("...d,...d->...", white, white)
            out[k] -= np.log(np.diag(root)).sum() + 0.5 * d * np.log(2 * np.pi)
        return out

    def maximize(self, q: Float[np.ndarray, " K *lattice"]) -> tuple[np.ndarray, np.ndarray]:
        """(means, covariances) of the classes, weighted by q."""
        d = self.image.shape[-1]
        flat, weights = self.image.reshape(-1, d), q.reshape(self.classes, -1)
        count = np.maximum(weights.sum(axis=1), 1e-10)
        mean = (weights @ flat) / count[:, None]
        covariance = np.empty((self.classes, d, d))
        for k in range(self.classes):
            centred = flat - mean[k]
            covariance[k] = (centred * weights[k][:, None]).T @ centred / count[k]
            covariance[k] += self.floor * np.eye(d)
        return mean, covariance

    def sweep(self, padded: np.ndarray, density: np.ndarray) -> None:
        """Set q of every site once to what its neighbours say, in place, colour by colour.

        Args:
            padded: q with a margin of zeros, (K, *lattice + 2).
            density: (K, *lattice) log densities.
        """
        still = (0,) * len(self.shape)
        offsets = [o for p in pairs(len(self.shape), self.neighbours) for o in (p.offset, tuple(-i for i in p.offset))]
        for corner, sites in colours(self.shape):
            logit = np.zeros((self.classes, *sites))
            for offset in offsets:
                logit += padded[(slice(None), *every_second(corner, sites, offset))]
            logit *= self.coupling
            logit += density[(slice(None), *(slice(c, None, 2) for c in corner))]
            logit -= logit.max(axis=0)
            np.exp(logit, out=logit)
            logit /= logit.sum(axis=0)
            padded[(slice(None), *every_second(corner, sites, still))] = logit
            if self.fixed is not None:
                self.clamped(padded[self._inside])

    @property
    def _inside(self) -> tuple[slice, ...]:
        return (slice(None), *(slice(1, -1) for _ in self.shape))

    def update(self, theta: Vector) -> tuple[Vector, float]:
        mean, covariance, q = self.split(theta)
        density = self.log_density(mean, covariance)
        padded = np.pad(q, ((0, 0), *((1, 1) for _ in self.shape)))
        for _ in range(self.sweeps):
            self.sweep(padded, density)
        q = padded[self._inside]
        return self.joined(*self.maximize(q), q), self.bound(q, density)

    def bound(self, q: np.ndarray, density: np.ndarray) -> float:
        """The lower bound of log p(image): E log p(image, labels) + entropy of q, with the bound of log Z."""
        axes = "abcd"[: q.ndim]
        dot = f"{axes},{axes}->"  # einsum copies no slices
        alike = sum(
            float(np.einsum(dot, q[(slice(None), *p.first)], q[(slice(None), *p.second)]))
            for p in pairs(len(self.shape), self.neighbours)
        )
        logs = np.maximum(q, 1e-300)
        np.log(logs, out=logs)
        np.subtract(density, logs, out=logs)
        return float(np.einsum(dot, q, logs)) + self.coupling * alike - self.constant

    def values(self, theta: Vector) -> tuple[float, float]:
        mean, covariance, q = self.split(theta)
        return self.bound(q, self.log_density(mean, covariance)), 0.0

    def params(self, theta: Vector) -> Any:
        mean, covariance, q = self.split(theta)
        return {
            "mean": mean.copy(),
            "covariance": covariance.copy(),
            "coupling": np.float64(self.coupling),
            "probabilities": np.moveaxis(q, 0, -1).copy(),
        }

    def theta(self, params: Any) -> Vector:
        d, k = self.image.shape[-1], self.classes
        try:
            mean = np.asarray(params["mean"], np.float64).reshape(k, d)
            covariance = np.asarray(params["covariance"], np.float64).reshape(k, d, d)
            q = params.get("probabilities")
            q = self.first if q is None else np.moveaxis(np.asarray(q, np.float64), -1, 0).reshape(k, *self.shape)
        except (KeyError, TypeError, ValueError, AttributeError):
            told = f'"mean": ({k}, {d}), "covariance": ({k}, {d}, {d}) and, if known, "probabilities"'
            raise ValueError(f"initial: expected {{{told}}}") from None
        return self.joined(mean, covariance, self.clamped(q.copy()))

    def remarks(self, theta: Vector) -> tuple[str, ...]:
        told = "the objective is a lower bound of the log-likelihood, by mean field; labels are approximate"
        return (told, self.note) if self.note else (told,)
