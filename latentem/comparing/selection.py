"""Choosing between models: information criteria, cross-validation, likelihood-ratio tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.ascent.replicates import refit
from latentem.fitting.batch import fit
from latentem.forms.choose import choose_form
from latentem.numerics.compiled import jit
from latentem.results.fit import Fit

CRITERIA = ("bic", "aic", "icl", "cv")


@dataclass(frozen=True)
class Candidate:
    """One row of a selection.

    Args:
        name: what the model was called.
        fit: its Fit to all data.
        aic, bic: smaller is better.
        icl: integrated completed likelihood, BIC + 2 * entropy of the posteriors (Biernacki, Celeux and Govaert 2000),
            smaller is better; NaN where the latent is not a sum over nodes.
        cv: held-out log-likelihood per observation, larger is better; None unless asked for.
    """

    name: str
    fit: Fit
    aic: float
    bic: float
    icl: float
    cv: float | None


@dataclass(frozen=True)
class Selection:
    """Models compared by one criterion; `winner` names the best, `best` is its Fit, `str()` prints the table."""

    criterion: str
    candidates: tuple[Candidate, ...]

    @property
    def ranked(self) -> tuple[Candidate, ...]:
        """Candidates from best to worst; those whose fit failed or whose criterion is NaN come last."""
        sign = -1.0 if self.criterion == "cv" else 1.0

        def order(c: Candidate) -> tuple[bool, float]:
            value = getattr(c, self.criterion)
            return (not c.fit.status.ok or not np.isfinite(value), sign * value if np.isfinite(value) else 0.0)

        return tuple(sorted(self.candidates, key=order))

    @property
    def winner(self) -> str:
        """Name of the best model."""
        return self.ranked[0].name

    @property
    def best(self) -> Fit:
        """Fit of the best model."""
        return self.ranked[0].fit

    def __str__(self) -> str:
        width = max(len("model"), *(len(c.name) for c in self.candidates))
        with_cv = any(c.cv is not None for c in self.candidates)
        head = f"{'model':<{width}}  {'log-lik':>14} {'P':>4} {'AIC':>12} {'BIC':>12} {'ICL':>12}"
        lines = [head + (f" {'CV':>12}" if with_cv else "") + "  status"]
        for c in self.ranked:
            cv = f" {c.cv:>12.6f}" if c.cv is not None else (f" {'-':>12}" if with_cv else "")
            lines.append(
                f"{c.name:<{width}}  {c.fit.log_likelihood:>14.4f} {c.fit.n_parameters:>4d} {c.aic:>12.4f} "
                f"{c.bic:>12.4f} "
                f"{c.icl:>12.4f}{cv}  {c.fit.status.name}"
            )
        return "\n".join([*lines, f"best by {self.criterion}: {self.winner}"])


def select(
    models: Mapping[str, Any] | Sequence[Any],
    data: Any,
    *,
    criterion: str = "bic",
    weights: Any = None,
    key: Any = None,
    starts: int = 10,
    folds: int = 10,
    **options: Any,
) -> Selection:
    """Fit several models to the same data and compare them.

    Args:
        models: {name: model}, or a sequence of models, named by themselves.
        data: observations, N rows.
        criterion: "bic", "aic", "icl" or "cv"; the first three are always in the table.
        weights: (N,).
        key: typed PRNG key of the starts and of the folds.
        starts: per model.
        folds: of cross-validation; they are refitted as one vmapped program from the fit to all data.
        options: more arguments of `lem.fit`.

    Returns:
        A `Selection`.

    Raises:
        ValueError: an unknown criterion, no models, two with one name, or more folds than observations.
    """
    if criterion not in CRITERIA:
        raise ValueError(f"criterion={criterion!r}: expected one of {CRITERIA}")
    named = _named(models)
    candidates = []
    for name, model in named.items():
        found = fit(model, data, weights=weights, key=key, starts=starts, **options)
        cv = cross_validated(found, folds, key) if criterion == "cv" else None
        candidates.append(Candidate(name, found, found.aic, found.bic, found.bic + 2 * posterior_entropy(found), cv))
    return Selection(criterion, tuple(candidates))


def _named(models: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    if isinstance(models, Mapping):
        named = {str(name): model for name, model in models.items()}
    else:
        names = [getattr(m, "name", str(m)) for m in models]
        if len(set(names)) < len(names):
            raise ValueError(f"models: two are called {max(names, key=names.count)!r}; pass a dict of names")
        named = dict(zip(names, models, strict=True))
    if not named:
        raise ValueError("models: expected at least one")
    return named


def posterior_entropy(found: Fit) -> float:
    """Weighted sum over observations of the entropy of the posterior, in nats; NaN where it is not a sum over nodes."""
    if found.data is None or found.model.latent.nodes() is None:
        return float("nan")
    r = found.responsibilities()
    entropy = -np.sum(np.where(r > 0, r * np.log(np.where(r > 0, r, 1.0)), 0.0), axis=1)
    return float(np.asarray(found.data.weights) @ entropy)


def cross_validated(found: Fit, folds: int, key: Any) -> float:
    """Held-out log-likelihood per observation of K-fold cross-validation.

    Args:
        found: a Fit with its data; every fold is refitted from its params, all folds in one program.
        folds: K.
        key: typed PRNG key that deals rows to folds.

    Raises:
        ValueError: fewer rows than folds, fewer than two folds, or no key.
    """
    if found.data is None:
        raise ValueError("cross-validation: this Fit holds no data")
    n = found.data.n
    if not 2 <= folds <= n:
        raise ValueError(f"folds={folds}: expected 2 to {n}, the number of rows")
    if key is None:
        raise ValueError("cross-validation deals rows to folds at random: pass key=jax.random.key(0)")
    dealt = np.asarray(jax.random.permutation(key, n)) % folds
    held_out = dealt[None, :] == np.arange(folds)[:, None]
    with jax.enable_x64(True):
        form, prepared = choose_form(found.model, found.data)
        training = replace(prepared, weights=jnp.where(jnp.asarray(held_out), 0.0, prepared.weights))
        fits = refit(form, jax.tree.map(jnp.asarray, found.params), training, "weights")
        scores = np.asarray(_row_scores(form, fits.params, prepared))
    # A held-out row of weight zero counts for nothing, also where the training folds call it impossible.
    weight = held_out * np.asarray(found.data.weights)
    return float(np.sum(np.where(weight > 0, weight * np.where(weight > 0, scores, 0.0), 0.0)) / found.data.total)


_row_scores = jit(
    lambda form, params, prepared: jax.lax.map(lambda p: form.log_prob(p, prepared), params), static_argnums=0
)
